//! The record of an attempt: the same JSON in the frames of the log and in the index. Readers ignore unknown fields.

use serde::{Deserialize, Serialize};

/// The version of frames and index.
pub const FORMAT: u32 = 2;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Started {
    /// [`FORMAT`]; 0 if version 0.1 wrote it.
    pub format: u32,
    /// Numbers the attempts of a history, independent of the clock.
    pub seq: u64,
    /// The run's id.
    pub run: String,
    /// 1 for the run's first attempt.
    pub attempt: u32,
    /// RFC 3339.
    pub at: String,
    /// File name of the log.
    pub log: String,
    /// Bytes in the log before this attempt's header.
    pub offset: u64,
    /// BLAKE3 of the key that the footer will show.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub seal: String,
    /// Helm release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Helm revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Hook event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_name: Option<String>,
    /// Job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ended {
    /// The run's id.
    pub run: String,
    /// The attempt's number.
    pub attempt: u32,
    /// RFC 3339.
    pub at: String,
    /// Exit status of the runner.
    pub status: u8,
    /// The kind of end: succeeded, command, signal, io, …
    pub result: String,
    /// One sentence about the failure.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Number of files that copies installed.
    pub files_copied: u64,
    /// How often commands were started again, over all steps.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: u32,
    /// The steps that were started, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepEnd>,
    /// Byte ranges of the runner's own lines in the output: from, to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub own: Vec<(u64, u64)>,
    /// Bytes of the footer before the row with this record.
    #[serde(skip_serializing_if = "is_zero")]
    pub above: u64,
    /// Bytes of output between the header and the first footer.
    pub output: u64,
    /// Bytes of this attempt's earlier footers, which this one corrects.
    #[serde(skip_serializing_if = "is_zero")]
    pub corrects: u64,
    /// The last byte of the output is a newline that the command did not print.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub newline_added: bool,
    /// The key whose hash is the header's seal. Only the runner knows it before the attempt ends.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
}

impl Started {
    /// Whether the same runner wrote `ended`.
    pub fn is_sealed_by(&self, ended: &Ended) -> bool {
        let is_key = self.seal == seal(&ended.key);
        self.run == ended.run && self.attempt == ended.attempt && is_key
    }
}

/// The seal in the header, made from a footer's key.
pub fn seal(key: &str) -> String {
    blake3::hash(key.as_bytes()).to_hex().to_string()
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepEnd {
    /// What it does, as in the header: `exec ./migrate`.
    pub step: String,
    /// Its result.
    pub result: String,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Bytes of output before this step.
    pub from: u64,
    /// Bytes of output at its end.
    pub to: u64,
}

impl Ended {
    /// The record with the numbers of what precedes its footer.
    #[must_use]
    pub fn after(&self, written: Written) -> Self {
        Self {
            output: written.output,
            newline_added: written.newline_added,
            corrects: written.corrects,
            ..self.clone()
        }
    }
}

/// What the log holds after the header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes of output.
    pub output: u64,
    /// The last byte is a newline that the command did not print.
    pub newline_added: bool,
    /// Bytes of footers that are no longer valid.
    pub corrects: u64,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Line {
    /// An attempt started.
    Start(Started),
    /// An attempt ended.
    End(Ended),
}
