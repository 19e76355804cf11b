//! Where the preserved log goes, and what its failure does to the result.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::hook::scalar::scalar;

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

scalar! {
    LogTarget: "a file, or none", ".+";
}
