//! What a copy may be asked for. Values only: read from the hook file (serde) and from flags (`FromStr`), shown
//! in help and plans (`Display`).

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Everything that changes how a copy decides or works. The default copies as the image says.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Who wins where image and volume differ.
    pub policy: Policy,
    /// What is removed that the image does not have.
    pub prune: Prune,
    /// Patterns in gitignore syntax, relative to the source: what matches is not copied, and not touched on the volume.
    pub exclude: Vec<String>,
    /// Patterns in gitignore syntax: when there are any, only what matches is copied. `exclude` wins over it.
    pub include: Vec<String>,
    /// Owner for everything copied, in place of the image's.
    pub chown: Option<Owner>,
    /// Change to the permission bits of everything copied.
    pub chmod: Option<ModeChange>,
    /// Metadata that this user may not set fails the copy; otherwise it is reported once.
    pub strict_metadata: bool,
    /// A source file of the size and mtime in the manifest is taken for unchanged without reading it.
    pub trust_mtime: bool,
    /// Directory symbolic links on the volume are followed, even out of the destination.
    pub follow_destination_links: bool,
    /// Only say what would change.
    pub dry_run: bool,
    /// Try even when the estimate says that the content does not fit.
    pub ignore_space: bool,
    /// Threads at the most; 16 where not given.
    pub workers: Option<NonZeroUsize>,
    /// This copier's part of a tree that several copy together.
    pub shard: Option<Shard>,
    /// The name of the copy, which its entries on the volume are owned by; its source where not given.
    pub owner: Option<String>,
    /// Prune also when the source holds nothing at all.
    pub allow_empty_source: bool,
    /// What the source is called (an image's digest): where it is called as it was at the last copy, it is not read.
    pub source_version: Option<String>,
    /// Copy what symbolic links of the source lead to, not the links.
    pub dereference: bool,
}

macro_rules! keywords {
    ($type:ident { $($word:literal => $variant:ident),+ $(,)? }) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }
        impl FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("{text:?} is none of {}", [$($word),+].join(", "))),
                }
            }
        }
        impl $type {
            /// The words of the command line and the hook file.
            pub const WORDS: &'static [&'static str] = &[$($word),+];
        }
    };
}

/// Who wins where image and volume differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// The image wins.
    #[default]
    Replace,
    /// What the user changed since it was installed stays; the image's version goes beside it as `NAME.from-image`.
    KeepModified,
    /// Only what is absent is created.
    Missing,
}
keywords!(Policy { "replace" => Replace, "keep-modified" => KeepModified, "missing" => Missing });

/// What is removed that the image does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prune {
    /// Nothing.
    #[default]
    None,
    /// What an earlier copy installed and nobody has changed since.
    Owned,
    /// Everything: the destination becomes a mirror of the image.
    All,
}
keywords!(Prune { "none" => None, "owned" => Owned, "all" => All });

/// A numeric owner, `UID:GID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl FromStr for Owner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // (uid_t) -1 means "leave as it is" to chown(2), so it is no id.
        let digits = |part: &str| (1..=10).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let id = |part: &str| part.parse().ok().filter(|id| digits(part) && *id != u32::MAX);
        text.split_once(':')
            .and_then(|(uid, gid)| Some(Self { uid: id(uid)?, gid: id(gid)? }))
            .ok_or_else(|| format!("{text:?} is not UID:GID in numbers, as in 65532:65532"))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

/// A change to permission bits: octal (`0644`, set for files and, with execute where there is read, for
/// directories) or symbolic clauses as chmod(1) has them (`u=rwX,go-w,+X`), applied to the image's mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeChange {
    text: String,
    clauses: Vec<Clause>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Clause {
    /// Permission bits that the clause reaches (`u` = 0o4700, `g` = 0o2070, `o` = 0o1007).
    who: u32,
    operation: Operation,
    /// `rwxst` spread over all three classes.
    bits: u32,
    /// `X`: execute for directories and for files that somebody may execute.
    execute_if_any: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Add,
    Remove,
    Set,
    /// An octal mode: sets everything; directories gain execute where they have read.
    Octal,
}

impl ModeChange {
    /// The mode (`st_mode & 0o7777`) after the change.
    pub fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        self.clauses.iter().fold(mode, |mode, clause| {
            let mut bits = clause.bits & clause.who;
            if clause.execute_if_any && (is_dir || mode & 0o111 != 0) {
                bits |= 0o111 & clause.who;
            }
            match clause.operation {
                Operation::Add => mode | bits,
                Operation::Remove => mode & !bits,
                Operation::Set => mode & !clause.who | bits,
                Operation::Octal if is_dir => clause.bits | (clause.bits & 0o444) >> 2,
                Operation::Octal => clause.bits,
            }
        })
    }
}

impl FromStr for ModeChange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let clauses = if text.bytes().all(|b| b.is_ascii_digit()) {
            u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777).map(|bits| {
                vec![Clause { who: 0o7777, operation: Operation::Octal, bits, execute_if_any: false }]
            })
        } else {
            text.split(',').map(clause).collect()
        };
        clauses.map(|clauses| Self { text: text.to_owned(), clauses }).ok_or_else(|| {
            format!("{text:?} is not a mode: write it octal (0644) or as chmod does (u=rwX,go-w)")
        })
    }
}

fn clause(text: &str) -> Option<Clause> {
    let at = text.find(['+', '-', '='])?;
    let (who, rest) = text.split_at(at);
    let who = if who.is_empty() {
        0o7777
    } else {
        who.bytes().try_fold(0, |mask, class| {
            Some(
                mask | match class {
                    b'u' => 0o4700,
                    b'g' => 0o2070,
                    b'o' => 0o1007,
                    b'a' => 0o7777,
                    _ => return None,
                },
            )
        })?
    };
    let (operation, permissions) = rest.split_at(1);
    let operation = match operation {
        "+" => Operation::Add,
        "-" => Operation::Remove,
        _ => Operation::Set,
    };
    let mut bits = 0;
    let mut execute_if_any = false;
    for permission in permissions.bytes() {
        match permission {
            b'r' => bits |= 0o444,
            b'w' => bits |= 0o222,
            b'x' => bits |= 0o111,
            b's' => bits |= 0o6000,
            b't' => bits |= 0o1000,
            b'X' => execute_if_any = true,
            _ => return None,
        }
    }
    Some(Clause { who, operation, bits, execute_if_any })
}

impl fmt::Display for ModeChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One copier of several that share a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0 to `count - 1`.
    pub index: u32,
    /// How many copiers there are.
    pub count: u32,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('/')
            .and_then(|(index, count)| Some(Self { index: index.parse().ok()?, count: count.parse().ok()? }))
            // As it is written: without a sign or leading zeros.
            .filter(|shard| shard.to_string() == text && shard.index < shard.count && shard.count <= 4096)
            .ok_or_else(|| format!("{text:?} is not I/N with I from 0 to N-1, as in 0/8"))
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
    fn modes_change_as_chmod_changes_them() {
        for (change, before, is_dir, after) in [
            ("0640", 0o755, false, 0o640),
            ("0640", 0o755, true, 0o750),
            ("2775", 0o644, true, 0o2775),
            ("g=u", 0, false, u32::MAX),
            ("go-w", 0o666, false, 0o644),
            ("u=rwX,go=rX", 0o640, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o700, true, 0o755),
            ("+X", 0o600, true, 0o711),
            ("+X", 0o600, false, 0o600),
            ("g+s", 0o755, true, 0o2755),
            ("u=rw", 0o4755, false, 0o655),
            ("+t", 0o777, true, 0o1777),
        ] {
            match change.parse::<ModeChange>() {
                Ok(parsed) => assert_eq!(parsed.apply(before, is_dir), after, "{change} of {before:o}"),
                Err(_) => assert_eq!(after, u32::MAX, "{change} must parse"),
            }
        }
    }

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
