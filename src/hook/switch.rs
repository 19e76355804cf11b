//! True or false, in the words of YAML 1.1.

use serde_json::{Value, json};

use crate::hook::file_value::{FileValue, scalar};
use crate::hook::yaml::{Mistake, Node};

/// The accepted words in lower case; all capitals or a leading capital are also accepted, as in YAML 1.1.
const WORDS: [&str; 6] = ["true", "false", "yes", "no", "on", "off"];

pub fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Ok(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Ok(false),
        _ => Err(format!("'{text}' is neither true nor false; expected one of {}", WORDS.join(", "))),
    }
}

impl FileValue for bool {
    fn read(node: &Node) -> Result<Self, Mistake> {
        let text = &scalar(node, "true or false")?.text;
        switch(text).map_err(|message| node.mistake(message))
    }
    fn schema() -> Value {
        let words = WORDS.iter().flat_map(|word| {
            [(*word).to_owned(), word.to_uppercase(), word[..1].to_uppercase() + &word[1..]]
        });
        json!({"anyOf": [{"type": "boolean"}, {"enum": words.collect::<Vec<_>>()}]})
    }
}
