//! How the runner's own lines look on stderr.

use crate::hook::file_value::words;
use crate::support::keywords::keywords;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for a log pipeline.
    Json,
}

keywords!(LogFormat { "text" => Text, "json" => Json });
words!(LogFormat);
