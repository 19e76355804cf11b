//! How the runner's own lines look on stderr.

use std::str::FromStr;

use crate::hook::file_value::words;

/// How the runner's own lines look on stderr.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for a log pipeline.
    Json,
}

impl LogFormat {
    /// The words of the command line and the hook file.
    pub const WORDS: &'static [&'static str] = &["text", "json"];
}

words!(LogFormat);

impl FromStr for LogFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("'{text}' is none of {}", Self::WORDS.join(", "))),
        }
    }
}
