//! What the copies of an attempt changed: `<run>.<attempt>.changes` beside the archived logs, one JSON object per
//! entry. Kept as long as a log of its run is.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Write};

use serde::{Deserialize, Serialize};

use super::error::VolumeError;
use super::history_dir::History;
use crate::support::os::OsStrExt;
use crate::support::raw_path::Written;
use crate::support::rooted_dir::OFlags;

const SUFFIX: &str = ".changes";

/// One changed entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Row", try_from = "Row")]
pub struct Change {
    /// The copy's destination.
    pub to: Vec<u8>,
    /// Relative to the destination.
    pub path: Vec<u8>,
    /// `file`, `directory`, `link`, `other`; empty if nothing is there any more.
    pub kind: String,
    /// The target of a link; else empty.
    pub target: Vec<u8>,
    /// `installed`, `replaced`, `kept`, `conflict`, `removed`, `left`.
    pub action: String,
    /// The reason in words.
    pub reason: String,
    /// Of `replaced` and `metadata`: letters of what was not as it is now; `+` if it was of another type.
    pub differs: String,
}

/// A change as JSON has it. A path that is not UTF-8 is in the field of its name with `_base64`.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_base64: Option<String>,
    action: String,
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    differs: String,
}

impl From<Change> for Row {
    fn from(change: Change) -> Self {
        let (to, path) = (Written::of(&change.to), Written::of(&change.path));
        let target = if change.target.is_empty() { Written::default() } else { Written::of(&change.target) };
        Self {
            to: to.text,
            to_base64: to.base64,
            path: path.text,
            path_base64: path.base64,
            kind: change.kind,
            target: target.text,
            target_base64: target.base64,
            action: change.action,
            reason: change.reason,
            differs: change.differs,
        }
    }
}

impl TryFrom<Row> for Change {
    type Error = &'static str;
    fn try_from(row: Row) -> Result<Self, Self::Error> {
        let read = |text, base64| Written { text, base64 }.read();
        Ok(Self {
            to: read(row.to, row.to_base64).ok_or("no destination")?,
            path: read(row.path, row.path_base64).ok_or("no path")?,
            kind: row.kind,
            target: read(row.target, row.target_base64).unwrap_or_default(),
            action: row.action,
            reason: row.reason,
            differs: row.differs,
        })
    }
}

/// The changes of an attempt.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// In the order of the copies, each sorted by path.
    pub items: Vec<Change>,
    /// The number of those not listed.
    pub more: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    More { more: u64 },
    Change(Change),
}

impl History {
    /// Adds the changes of one copy of the attempt, possibly none.
    pub fn keep_changes(&self, run: &str, attempt: u32, changes: Changes) -> Result<(), VolumeError> {
        let name = name(run, attempt);
        let more = (changes.more > 0).then_some(Line::More { more: changes.more });
        let write = || {
            let mut text = Vec::new();
            for line in changes.items.into_iter().map(Line::Change).chain(more) {
                serde_json::to_writer(&mut text, &line)?;
                text.push(b'\n');
            }
            let mut file = self.directory.open_for_group(&name, OFlags::WRONLY | OFlags::APPEND)?;
            file.write_all(&text)?;
            file.sync_data()
        };
        write().map_err(VolumeError::at("write to", self.path.join(&name)))
    }

    /// The changes of the attempt; `None` if it copied nothing or its run's logs are gone.
    pub fn changes(&self, run: &str, attempt: u32) -> Result<Option<Changes>, VolumeError> {
        let name = name(run, attempt);
        let file = match self.directory.open_regular(&name, OFlags::RDONLY, 0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(VolumeError::at("open", self.path.join(&name)))?,
        };
        let mut changes = Changes::default();
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(VolumeError::at("read", self.path.join(&name)))?;
            match serde_json::from_slice(&line) {
                Ok(Line::Change(change)) => changes.items.push(change),
                Ok(Line::More { more }) => changes.more += more,
                // Torn by a power failure.
                Err(_) => changes.more += 1,
            }
        }
        Ok(Some(changes))
    }

    /// Removes the changes of runs without a log.
    pub(super) fn prune_changes(&self, runs: &HashSet<&str>) -> Result<(), VolumeError> {
        let entries = self.directory.entries().map_err(VolumeError::at("list", &self.path))?;
        for (name, _) in entries {
            let Some(stem) = name.as_bytes().strip_suffix(SUFFIX.as_bytes()) else { continue };
            let stem = String::from_utf8_lossy(stem);
            let run = stem.rsplit_once('.').map_or(&*stem, |(run, _)| run);
            if !runs.contains(run) {
                self.directory.unlink(&name).map_err(VolumeError::at("remove", self.path.join(&name)))?;
            }
        }
        Ok(())
    }
}

fn name(run: &str, attempt: u32) -> String {
    format!("{run}.{attempt}{SUFFIX}")
}
