//! A pattern of `exclude` or `include`, in gitignore(5) syntax. The copy applies it.

use std::str::FromStr;

use serde_json::Value;

use crate::copy;
use crate::hook::file_value::{FileValue, any_scalar};
use crate::hook::yaml::{Mistake, Node};

/// A pattern that can match a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(pub String);

impl FromStr for Glob {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        copy::pattern_mistake(text).map_or_else(|| Ok(Self(text.into())), Err)
    }
}

impl FileValue for Glob {
    fn read(node: &Node) -> Result<Self, Mistake> {
        String::read(node)?.parse().map_err(|message: String| node.mistake(message))
    }
    fn schema() -> Value {
        let nothing = "(?!#)(?!!?[ \\t\\n\\r\\f]*$(?!\\n))(?!!?/ *$)";
        // Within brackets, dots and slashes mean something else.
        let no_path = "(?![^\\[]*//)(?!!?(?:[^\\[]*/)?\\.\\.?(?:/| *$))";
        any_scalar(&format!("^{nothing}{no_path}[^\\u0000]+$"))
    }
}
