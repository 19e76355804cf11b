//! A run id, which becomes part of file names.

use std::str::FromStr;

use serde_json::Value;

use crate::hook::file_value::{FileValue, any_scalar, scalar};
use crate::hook::pattern::whole;
use crate::hook::yaml::{Mistake, Node};

/// A run id that is valid as a file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunId(pub String);

impl FromStr for RunId {
    type Err = String;
    fn from_str(id: &str) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if (1..=128).contains(&id.len()) && !id.starts_with('.') && id.bytes().all(fits) {
            return Ok(Self(id.into()));
        }
        Err(format!(
            "the run id '{id}' cannot name a file; expected 1 to 128 of A-Z a-z 0-9 . _ -, not beginning with a dot"
        ))
    }
}

impl FileValue for RunId {
    fn read(node: &Node) -> Result<Self, Mistake> {
        let text = &scalar(node, "a run id")?.text;
        text.parse().map_err(|message: String| node.mistake(message))
    }
    fn schema() -> Value {
        any_scalar(&whole("[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}"))
    }
}
