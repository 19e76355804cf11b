//! Where the preserved log goes, and what its failure does to the result.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::hook::file_value::{FileValue, any_scalar, scalar, words};
use crate::hook::yaml::{Mistake, Node};
use crate::support::keywords::keywords;
use crate::support::os::OsStrExt;

/// The preserved log: a file, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// No preserved log at all.
    None,
    /// The file, absolute or relative to the working directory.
    File(PathBuf),
}

impl LogTarget {
    /// Reads `none` or the path of a file.
    pub fn parse(text: OsString) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        let path = PathBuf::from(text);
        if names_file(&path) {
            return Ok(Self::File(path));
        }
        let path = path.display();
        Err(format!(
            "'{path}' names no file; give the path of one, as in /data/post-hook-output.txt, or none"
        ))
    }
}

/// Whether the path can name a file: the last name is not missing, `.` or `..`, and no slash follows it.
fn names_file(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    let last = bytes.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    !bytes.contains(&0) && !matches!(last, b"" | b"." | b"..")
}

impl FileValue for LogTarget {
    fn read(node: &Node) -> Result<Self, Mistake> {
        let text = &scalar(node, "a path, or none")?.text;
        Self::parse(text.into()).map_err(|message| node.mistake(message))
    }
    fn schema() -> Value {
        any_scalar("^(?![^\\u0000]*(?:^|/)\\.{0,2}$(?!\\n))[^\\u0000]+$")
    }
}

/// What a log failure during the hook does to the result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnLogFailure {
    /// The attempt ends with 74, so that the pod and its log are kept.
    #[default]
    Fail,
    /// The attempt's own result stands, and the summary says that the log is incomplete.
    Warn,
}

keywords!(OnLogFailure { "fail" => Fail, "warn" => Warn });
words!(OnLogFailure);
