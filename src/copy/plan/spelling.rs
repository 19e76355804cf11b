//! Finds different spellings of one entry, on volumes that ignore case, normalize Unicode, or strip trailing
//! characters. Compares device and inode, because only the volume knows its rules. Changes nothing.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use unicode_normalization::UnicodeNormalization as _;

use crate::support::rooted_dir::Dir;

/// Device and inode.
pub(crate) type Inode = (u64, u64);

/// A directory of the volume, as this file needs it.
pub(crate) trait Directory {
    /// Whether the listing has exactly this name.
    fn lists(&self, name: &[u8]) -> bool;
    /// What a name leads to, in whatever spelling.
    fn look(&self, name: &[u8]) -> io::Result<Option<Inode>>;
}

/// A directory of the volume with its listing.
pub(crate) struct Listed<'a> {
    dir: BorrowedFd<'a>,
    names: HashSet<Vec<u8>>,
}

impl<'a> Listed<'a> {
    pub(crate) fn of(dir: &'a impl AsFd) -> io::Result<Self> {
        let again = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let again = Dir::from_fd(rustix::fs::openat(dir, c".", again, Mode::empty())?);
        let names = again.entries()?.into_iter().map(|(name, _)| name.as_bytes().to_vec());
        Ok(Self { dir: dir.as_fd(), names: names.collect() })
    }
}

impl Directory for Listed<'_> {
    fn lists(&self, name: &[u8]) -> bool {
        self.names.contains(name)
    }

    fn look(&self, name: &[u8]) -> io::Result<Option<Inode>> {
        match rustix::fs::statat(self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some((stat.st_dev, stat.st_ino))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Pairs of names from two disjoint sets that are one entry of a directory. Two names that are both listed are two
/// entries, perhaps hard links.
pub(crate) fn pairs<'a, 'b>(
    ones: &[&'a [u8]],
    others: &[&'b [u8]],
    directory: &impl Directory,
) -> io::Result<Vec<(&'a [u8], &'b [u8])>> {
    let hidden = |names: &[&[u8]]| -> io::Result<bool> {
        for name in names.iter().filter(|name| !directory.lists(name)) {
            if directory.look(name)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    };
    if ones.is_empty() || others.is_empty() || !(hidden(ones)? || hidden(others)?) {
        return Ok(Vec::new());
    }
    let mut entries: HashMap<Inode, Vec<&[u8]>> = HashMap::new();
    for name in ones {
        if let Some(inode) = directory.look(name)? {
            entries.entry(inode).or_default().push(name);
        }
    }
    let mut found = Vec::new();
    for other in others {
        let Some(inode) = directory.look(other)? else { continue };
        let same = entries.get(&inode).into_iter().flatten();
        let one = same.copied().find(|one| !(directory.lists(one) && directory.lists(other)));
        found.extend(one.map(|one| (one, *other)));
    }
    Ok(found)
}

/// The case-folded name: on a case-insensitive volume, names with the same result are one.
pub(crate) fn fold(name: &[u8]) -> String {
    String::from_utf8_lossy(name).nfc().collect::<String>().to_lowercase().nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fake directory: listed names with their inodes, and its rule for equal names.
    struct Names(Vec<(&'static str, u64)>, fn(&str) -> String);

    impl Directory for Names {
        fn lists(&self, name: &[u8]) -> bool {
            self.0.iter().any(|(listed, _)| listed.as_bytes() == name)
        }
        fn look(&self, name: &[u8]) -> io::Result<Option<Inode>> {
            let name = std::str::from_utf8(name).unwrap();
            let exact = self.0.iter().find(|(listed, _)| *listed == name);
            let found = exact.or_else(|| self.0.iter().find(|(listed, _)| self.1(listed) == self.1(name)));
            Ok(found.map(|(_, inode)| (1, *inode)))
        }
    }

    #[test]
    fn names_are_one_entry_where_the_volume_says_so_and_hard_links_are_not() {
        let exact: fn(&str) -> String = str::to_owned;
        let caseless: fn(&str) -> String = |name| fold(name.as_bytes());
        let dots: fn(&str) -> String = |name| name.trim_end_matches('.').to_owned();
        for (listed, same, ones, others, expected) in [
            (vec![("Lib", 1)], caseless, vec!["lib"], vec!["Lib"], vec![("lib", "Lib")]),
            (vec![("lib", 1)], caseless, vec!["lib"], vec!["Lib"], vec![("lib", "Lib")]),
            (vec![("LIB", 1)], caseless, vec!["lib"], vec!["Lib"], vec![("lib", "Lib")]),
            (vec![("é", 1)], caseless, vec!["e\u{301}"], vec!["é"], vec![("e\u{301}", "é")]),
            (vec![("a", 1)], dots, vec!["a."], vec!["a"], vec![("a.", "a")]),
            (vec![("Lib", 1)], exact, vec!["lib"], vec!["Lib"], vec![]),
            (vec![("lib", 1), ("Lib", 2)], exact, vec!["lib"], vec!["Lib"], vec![]),
            (vec![("one", 1), ("other", 1)], exact, vec!["one"], vec!["other"], vec![]),
            (vec![("one", 1), ("other", 1)], exact, vec!["one", "gone"], vec!["other"], vec![]),
        ] {
            let bytes = |names: &[&'static str]| -> Vec<&'static [u8]> {
                names.iter().map(|name| name.as_bytes()).collect()
            };
            let found = pairs(&bytes(&ones), &bytes(&others), &Names(listed.clone(), same)).unwrap();
            let expected: Vec<_> =
                expected.iter().map(|(a, b): &(&str, &str)| (a.as_bytes(), b.as_bytes())).collect();
            assert_eq!(found, expected, "{listed:?} {ones:?} {others:?}");
        }
    }
}
