//! The options of a copy. Values only: parsed from the hook file (serde) and from flags (`FromStr`), shown in help and
//! plans (`Display`).

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::support::keywords::keywords;

pub use crate::copy::chmod::ModeChange;

/// How a copy decides and works. The default copies the image as it is.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Who wins where image and volume differ.
    pub policy: Policy,
    /// What is removed although the image does not have it.
    pub prune: Prune,
    /// Patterns in gitignore syntax, relative to the source. What matches is not copied and not touched on the volume.
    pub exclude: Vec<String>,
    /// Patterns in gitignore syntax. If there are any, only what matches is copied; `exclude` overrides it.
    pub include: Vec<String>,
    /// Owner of everything copied, instead of the image's.
    pub chown: Option<Owner>,
    /// Change to the mode of everything copied.
    pub chmod: Option<ModeChange>,
    /// Fail if this user may not set metadata; otherwise this is reported once.
    pub strict_metadata: bool,
    /// Take a source file for unchanged, without reading it, if its size and mtime are those in the manifest.
    pub trust_mtime: bool,
    /// Follow symbolic links on the volume that lead to directories, even out of the destination.
    pub follow_destination_links: bool,
    /// Only say what would change.
    pub dry_run: bool,
    /// Copy even if the content is estimated not to fit.
    pub ignore_space: bool,
    /// Maximum number of threads; by default 16.
    pub workers: Option<NonZeroUsize>,
    /// This copier's part of a tree that several copiers share.
    pub shard: Option<Shard>,
    /// The name of the copy, which owns what it installs; by default the source path.
    pub owner: Option<String>,
    /// Prune even if the source is empty.
    pub allow_empty_source: bool,
    /// A name for the source's content (an image's digest). If it is the same as at the last copy, the source is not
    /// read.
    pub source_version: Option<String>,
    /// How many changes the report lists; by default 100.
    pub listed_changes: Option<usize>,
    /// Copy what symbolic links in the source lead to, not the links.
    pub dereference: bool,
}

/// Who wins where image and volume differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// The image wins.
    #[default]
    Replace,
    /// What the user changed since it was installed stays; the image's version is put beside it as `NAME.from-image`.
    KeepModified,
    /// Only missing entries are created.
    Missing,
}
keywords!(Policy { "replace" => Replace, "keep-modified" => KeepModified, "missing" => Missing });

/// What is removed although the image does not have it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prune {
    /// Nothing.
    #[default]
    None,
    /// What an earlier copy installed and nobody has changed since.
    Owned,
    /// Everything else: the destination becomes a mirror of the image.
    All,
}
keywords!(Prune { "none" => None, "owned" => Owned, "all" => All });

/// A numeric owner, `UID:GID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

impl FromStr for Owner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // chown(2) takes -1, as an unsigned number, for "unchanged".
        let digits = |part: &str| (1..=10).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let id = |part: &str| part.parse().ok().filter(|id| digits(part) && *id != u32::MAX);
        text.split_once(':')
            .and_then(|(uid, gid)| Some(Self { uid: id(uid)?, gid: id(gid)? }))
            .ok_or_else(|| format!("'{text}' is not UID:GID in numbers, as in 65532:65532"))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

/// One of several copiers that share a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0 to `count - 1`.
    pub index: u32,
    /// The number of copiers.
    pub count: u32,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('/')
            .and_then(|(index, count)| Some(Self { index: index.parse().ok()?, count: count.parse().ok()? }))
            // Only the canonical form: no sign, no leading zeros.
            .filter(|shard| shard.to_string() == text && shard.index < shard.count && shard.count <= 4096)
            .ok_or_else(|| format!("'{text}' is not I/N with I from 0 to N-1 and N at most 4096, as in 0/8"))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

macro_rules! serde_as_text {
    ($($type:ty),+) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )+};
}
serde_as_text!(Owner, ModeChange, Shard);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_value_is_refused() {
        for text in ["", "1", "a:b", "1:", "4294967295:0"] {
            text.parse::<Owner>().unwrap_err();
        }
        for text in ["", "3/3", "0/0", "1", "-1/2", "0/9999"] {
            text.parse::<Shard>().unwrap_err();
        }
        assert_eq!("2/8".parse::<Shard>().unwrap().to_string(), "2/8");
        for word in Policy::WORDS {
            assert_eq!(word.parse::<Policy>().unwrap().to_string(), *word);
        }
        assert!("mirror".parse::<Prune>().unwrap_err().contains("none, owned, all"));
    }
}
