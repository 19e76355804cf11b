//! A value in the hook file: how to read it, and its JSON Schema. Both are defined together, so that they accept the
//! same.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::hook::pattern::whole;
use crate::hook::yaml::{Content, Mistake, Node, Scalar, ScalarKind};

/// A value of the hook file.
pub trait FileValue: Sized {
    /// Reads it; the error says what was expected.
    fn read(node: &Node) -> Result<Self, Mistake>;
    fn schema() -> Value;
}

/// The text of a scalar (text, number, date or boolean) as written.
pub fn scalar<'a>(node: &'a Node, expected: &str) -> Result<&'a Scalar, Mistake> {
    match &node.content {
        Content::Scalar(scalar) if scalar.kind == ScalarKind::Null => {
            Err(node.mistake(format!("nothing stands here; expected {expected}")))
        }
        Content::Scalar(scalar) => Ok(scalar),
        Content::List(_) => Err(node.mistake(format!("expected {expected}, not a list"))),
        Content::Map(_) => Err(node.mistake(format!("expected {expected}, not keys with values"))),
    }
}

/// A scalar that both YAML 1.1 and 1.2 read as text. Helm would rewrite any other kind.
pub fn text<'a>(node: &'a Node, expected: &str) -> Result<&'a str, Mistake> {
    let Scalar { text, kind } = scalar(node, expected)?;
    let what = match kind {
        ScalarKind::Text | ScalarKind::Null => return Ok(text),
        ScalarKind::Boolean => "true or false",
        ScalarKind::Number => "a number",
        ScalarKind::Date => "a date",
    };
    Err(node.mistake(format!("{text} without quotes is {what} to YAML; expected {expected}: write '{text}'")))
}

/// A whole number in YAML. A leading zero means octal in YAML 1.1 and decimal in YAML 1.2.
pub fn whole_number(node: &Node, expected: &str) -> Result<u64, Mistake> {
    let Scalar { text, kind } = scalar(node, expected)?;
    let wrong = || node.mistake(format!("'{text}' is not {expected}"));
    if *kind != ScalarKind::Number {
        return Err(wrong());
    }
    let digits = text.strip_prefix('+').unwrap_or(text).replace('_', "");
    if let Some(hexadecimal) = digits.strip_prefix("0x") {
        return u64::from_str_radix(hexadecimal, 16).map_err(|_| wrong());
    }
    let digits = digits.split_once('.').map_or(digits.as_str(), |(digits, fraction)| {
        if fraction.bytes().all(|digit| digit == b'0') { digits } else { "" }
    });
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(
            node.mistake(format!("'{text}' begins with 0, which some take for octal; write it without"))
        );
    }
    digits.parse().map_err(|_| wrong())
}

/// The JSON Schema of any scalar; the pattern applies to those that are texts.
pub fn any_scalar(pattern: &str) -> Value {
    json!({"not": {"type": ["null", "array", "object"]}, "pattern": pattern})
}

/// A text without NUL, which no path or argument can hold.
fn free_text<'a>(node: &'a Node, expected: &str) -> Result<&'a str, Mistake> {
    let text = &scalar(node, expected)?.text;
    if text.contains('\0') {
        return Err(
            node.mistake("a NUL character stands in the text, which no path and no argument can hold")
        );
    }
    Ok(text)
}

impl FileValue for String {
    fn read(node: &Node) -> Result<Self, Mistake> {
        free_text(node, "a text").map(Self::from)
    }
    fn schema() -> Value {
        any_scalar("^[^\\u0000]*$")
    }
}

impl FileValue for OsString {
    fn read(node: &Node) -> Result<Self, Mistake> {
        free_text(node, "a text").map(Self::from)
    }
    fn schema() -> Value {
        String::schema()
    }
}

impl FileValue for PathBuf {
    fn read(node: &Node) -> Result<Self, Mistake> {
        match free_text(node, "a path")? {
            "" => Err(node.mistake("an empty path; expected one such as /data")),
            path => Ok(path.into()),
        }
    }
    fn schema() -> Value {
        any_scalar("^[^\\u0000]+$")
    }
}

macro_rules! whole_numbers {
    ($($type:ty: $least:literal, $expected:literal;)+) => {$(
        impl FileValue for $type {
            fn read(node: &Node) -> Result<Self, Mistake> {
                let number = whole_number(node, $expected)?;
                let fits = Self::try_from(number).ok();
                fits.ok_or_else(|| node.mistake(format!("{number} is too large; expected {}", $expected)))
            }
            fn schema() -> Value {
                json!({"type": "integer", "minimum": $least, "maximum": <$type>::MAX})
            }
        }
    )+};
}
whole_numbers! {
    u32: 0, "a whole number such as 3";
    usize: 0, "a whole number such as 3";
}

impl FileValue for NonZeroUsize {
    fn read(node: &Node) -> Result<Self, Mistake> {
        let number = usize::read(node)?;
        Self::new(number).ok_or_else(|| node.mistake("0 is too small; expected 1 or more"))
    }
    fn schema() -> Value {
        json!({"type": "integer", "minimum": 1, "maximum": usize::MAX})
    }
}

impl<T: FileValue> FileValue for Vec<T> {
    fn read(node: &Node) -> Result<Self, Mistake> {
        match &node.content {
            Content::List(items) => items.iter().map(T::read).collect(),
            _ => Err(node.mistake("expected a list, as in [one, two] or lines that begin with `- `")),
        }
    }
    fn schema() -> Value {
        json!({"type": "array", "items": T::schema()})
    }
}

/// For a required key whose field is optional on the command line.
impl<T: FileValue> FileValue for Option<T> {
    fn read(node: &Node) -> Result<Self, Mistake> {
        T::read(node).map(Some)
    }
    fn schema() -> Value {
        T::schema()
    }
}

/// Reads a text with `FromStr`; the pattern describes what that accepts.
macro_rules! form {
    ($type:ty, $expected:literal, $pattern:expr) => {
        impl crate::hook::file_value::FileValue for $type {
            fn read(node: &crate::hook::yaml::Node) -> Result<Self, crate::hook::yaml::Mistake> {
                let written = &crate::hook::file_value::scalar(node, $expected)?.text;
                let value: Self = written.parse().map_err(|error| node.mistake(format!("{error}")))?;
                crate::hook::file_value::text(node, $expected)?;
                Ok(value)
            }
            fn schema() -> serde_json::Value {
                let pattern = crate::hook::pattern::whole(&$pattern);
                serde_json::json!({"type": "string", "pattern": pattern})
            }
        }
    };
}
pub(super) use form;

/// Reads one of a few words with `FromStr`.
macro_rules! words {
    ($type:ty) => {
        impl crate::hook::file_value::FileValue for $type {
            fn read(node: &crate::hook::yaml::Node) -> Result<Self, crate::hook::yaml::Mistake> {
                let expected = format!("one of {}", Self::WORDS.join(", "));
                let written = &crate::hook::file_value::scalar(node, &expected)?.text;
                written.parse().map_err(|error| node.mistake(format!("{error}")))
            }
            fn schema() -> serde_json::Value {
                serde_json::json!({"enum": Self::WORDS})
            }
        }
    };
}
pub(super) use words;

/// The JSON Schema of a whole number or a text with a pattern.
pub fn number_or_form(least: u64, most: u64, pattern: &str) -> Value {
    json!({"anyOf": [
        {"type": "integer", "minimum": least, "maximum": most},
        {"type": "string", "pattern": whole(pattern)},
    ]})
}
