//! A name or version from the user. An empty one is a mistake, probably an unset variable in a template.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::hook::file_value::{FileValue, any_scalar};
use crate::hook::yaml::{Mistake, Node};

/// A text of at least one character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonEmpty(pub String);

impl FromStr for NonEmpty {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("an empty value; leave it out, or give one (is a variable in it not set?)".into()),
            text => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for NonEmpty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FileValue for NonEmpty {
    fn read(node: &Node) -> Result<Self, Mistake> {
        String::read(node)?.parse().map_err(|message: String| node.mistake(message))
    }
    fn schema() -> Value {
        any_scalar("^[^\\u0000]+$")
    }
}
