//! Lists of entries that a copy reports.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Serialize, Serializer};

use crate::copy::differs::Differs;
use crate::copy::io::path::shown;
use crate::support::raw_path::Written;

/// Length limit of each list, so that memory stays bounded; `more` counts the rest.
pub(crate) const LISTED: usize = 100;

/// A path relative to the destination. Displayed, what a terminal would obey is escaped. In JSON no byte is lost: `path`, or
/// `path_base64` if it is not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryPath(Vec<u8>);

impl EntryPath {
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }
}

impl From<Vec<u8>> for EntryPath {
    fn from(path: Vec<u8>) -> Self {
        Self(path)
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

impl Serialize for EntryPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields {
            #[serde(skip_serializing_if = "Option::is_none")]
            path: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            path_base64: Option<String>,
        }
        let Written { text, base64 } = Written::of(&self.0);
        Fields { path: text, path_base64: base64 }.serialize(serializer)
    }
}

#[cfg(test)]
impl PartialEq<&str> for EntryPath {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

/// What became of one entry, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    #[serde(flatten)]
    pub path: EntryPath,
    /// `installed`, `replaced`, `kept`, `conflict`, `metadata`, `removed`.
    pub action: &'static str,
    /// In words.
    pub reason: &'static str,
    /// Of `replaced` and `metadata`: what was not as it is now.
    #[serde(skip_serializing_if = "Differs::is_empty")]
    pub differs: Differs,
}

/// A list of changes, up to the number asked for, by default a hundred.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Changes {
    /// Sorted by path.
    pub items: Vec<Change>,
    /// The number of those not listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: u64,
    /// Length limit of the list.
    #[serde(skip)]
    pub(crate) most: usize,
}

impl Changes {
    /// One line per change.
    pub fn lines(&self) -> Vec<String> {
        let line = |c: &Change| format!("{:<9} {} ({})", c.action, c.path, c.reason);
        self.items.iter().map(line).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn push(&mut self, path: &[u8], action: &'static str, reason: &'static str) {
        self.push_differing(path, (action, reason), Differs::default());
    }

    pub(crate) fn push_differing(
        &mut self,
        path: &[u8],
        (action, reason): (&'static str, &'static str),
        differs: Differs,
    ) {
        if self.items.len() < self.most {
            self.items.push(Change { path: path.to_vec().into(), action, reason, differs });
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.more += other.more;
        for change in other.items {
            if self.items.len() < self.most {
                self.items.push(change);
            } else {
                self.more += 1;
            }
        }
    }
}

/// A list that keeps its first hundred items and counts the rest.
#[derive(Debug, Clone, Serialize)]
pub struct List<T = String> {
    /// The items kept.
    pub items: Vec<T>,
    /// The number of those not kept.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: u64,
    /// Keep all: for a dry run, the list is the result.
    #[serde(skip)]
    pub(crate) whole: bool,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { items: Vec::new(), more: 0, whole: false }
    }
}

impl<T> List<T> {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The number of items, kept or not.
    pub fn len(&self) -> u64 {
        self.items.len() as u64 + self.more
    }

    pub(crate) fn push(&mut self, item: impl Into<T>) {
        if self.whole || self.items.len() < LISTED {
            self.items.push(item.into());
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.more += other.more;
        for item in other.items {
            self.push(item);
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde asks for
pub(crate) fn is_zero(n: &u64) -> bool {
    *n == 0
}
