//! A pattern of `exclude` or `include`, in gitignore(5) syntax. The copy applies it.

use std::str::FromStr;

use serde_json::Value;

use crate::copy;
use crate::hook::file_value::{FileValue, any_scalar};
use crate::hook::yaml::{Mistake, Node};

/// A pattern that is neither empty nor a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(pub String);

impl FromStr for Glob {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if copy::is_pattern(text) {
            return Ok(Self(text.into()));
        }
        Err(format!(
            "'{text}' is empty or a comment and matches nothing; leave it out, or write \\# for a name that begins with #"
        ))
    }
}

impl FileValue for Glob {
    fn read(node: &Node) -> Result<Self, Mistake> {
        String::read(node)?.parse().map_err(|message: String| node.mistake(message))
    }
    fn schema() -> Value {
        any_scalar("^(?!#)(?!!?[ \\t\\n\\r\\f]*$(?!\\n))[^\\u0000]+$")
    }
}
