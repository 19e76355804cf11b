//! The scalar values of a hook: durations, sizes, modes, copy pairs. Each reads the same from a flag, an
//! environment variable and a hook file, and names what was expected when it is wrong.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};

/// A length of time, written `30s`, `4m`, `1m30s`, `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timespan(pub Duration);

impl FromStr for Timespan {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match humantime::parse_duration(text) {
            Ok(duration) => Ok(Self(duration)),
            Err(cause) => {
                Err(format!("'{text}' is not a duration ({cause}); expected one such as 30s, 4m or 1m30s"))
            }
        }
    }
}

impl fmt::Display for Timespan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(self.0).to_string().replace(' ', ""))
    }
}

/// A number of bytes, written `1048576`, `64MiB`, `2GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<bytesize::ByteSize>()
            .map(|size| Self(size.0))
            .map_err(|_| format!("'{text}' is not a size; expected bytes or one such as 64MiB"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", bytesize::ByteSize(self.0).display().iec())
    }
}

/// Permission bits in octal, written `0640`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

impl FromStr for Mode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(Self(mode)),
            _ => Err(format!("'{text}' is not a file mode; expected octal digits such as 0640")),
        }
    }
}

/// Where the preserved log goes: a file, or nowhere (`none`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// No preserved log at all.
    None,
    /// The file, absolute or relative to the working directory.
    File(PathBuf),
}

impl From<OsString> for LogTarget {
    fn from(text: OsString) -> Self {
        if text == "none" { Self::None } else { Self::File(text.into()) }
    }
}

impl FromStr for LogTarget {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty log path; expected a file, or none".into());
        }
        Ok(OsString::from(text).into())
    }
}

/// Reads a whole number, and says what was expected where it is none.
pub fn whole_number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("'{text}' is not a number that fits; expected a whole one such as 3"))
}

/// One `--copy SRC:DST`. The last colon separates, so that a source may contain some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyPair {
    /// The content directory in the image.
    pub from: PathBuf,
    /// The directory on the volume.
    pub to: PathBuf,
}

impl CopyPair {
    /// Splits `SRC:DST`; either side may hold bytes that are not UTF-8.
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        match bytes.iter().rposition(|&byte| byte == b':') {
            Some(colon) if colon > 0 && colon + 1 < bytes.len() => Ok(Self {
                from: PathBuf::from(OsString::from_vec(bytes[..colon].to_vec())),
                to: PathBuf::from(OsString::from_vec(bytes[colon + 1..].to_vec())),
            }),
            _ => Err(format!(
                "'{}' does not name a source and a destination; expected SRC:DST such as /app:/data",
                text.to_string_lossy()
            )),
        }
    }
}

/// What a log that fails while the hook runs does to the result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum OnLogFailure {
    /// The attempt ends with 74, so that the pod and its log stay.
    #[default]
    Fail,
    /// The attempt's own result stands; the summary says that the log is incomplete.
    Warn,
}

/// Reads a value by `FromStr` from a YAML scalar, and describes it as a string to JSON Schema.
macro_rules! scalar {
    ($($type:ident: $what:literal, $pattern:literal;)*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(D::Error::custom)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": ["string", "integer"], "description": $what, "pattern": $pattern})
            }
        }
    )*};
}

scalar! {
    Timespan: "a duration such as 30s, 4m or 1m30s", "^([0-9]+ *(ms|s|m|h|d|[a-z]+) *)+$";
    Size: "bytes, or a size such as 64MiB", "^[0-9.]+ *([kKMGT]i?B?|B)?$";
    Mode: "a file mode in octal such as 0640", "^[0-7]{1,5}$";
    LogTarget: "a file, or none", ".+";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_people_write_them() {
        for (text, seconds) in [("30s", 30), ("4m", 240), ("1m30s", 90)] {
            assert_eq!(text.parse::<Timespan>().unwrap().0, Duration::from_secs(seconds));
            assert_eq!(text.parse::<Timespan>().unwrap().to_string(), text);
        }
        assert!("30".parse::<Timespan>().is_err(), "a number without a unit is refused");
    }

    #[test]
    fn the_last_colon_separates_source_from_destination() {
        let pair = CopyPair::parse(OsStr::new("/a:b:/c")).unwrap();
        assert_eq!((pair.from, pair.to), ("/a:b".into(), "/c".into()));
        for wrong in ["", "/a", ":/a", "/a:"] {
            assert!(CopyPair::parse(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_mode_is_octal() {
        assert_eq!("0640".parse::<Mode>().unwrap(), Mode(0o640));
        assert!("0999".parse::<Mode>().is_err());
    }
}
