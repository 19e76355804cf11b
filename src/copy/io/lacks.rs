//! What a volume cannot store: modes, owners, attributes, precise times. Probed once with a file in staging, so that a
//! difference that no copy can repair is not reported as one.

use std::fs::File;

use rustix::fs::{Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

use crate::copy::manifest::Time;

/// What a volume cannot store; by default nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lacks {
    pub(crate) modes: bool,
    pub(crate) owners: bool,
    pub(crate) xattrs: bool,
    /// Times that differ by less than this many nanoseconds are equal: 0 for exact times, `u64::MAX` if times cannot be
    /// set.
    pub(crate) grain: u64,
}

/// A time that shows rounding: an odd second (FAT stores even ones) and nine digits of nanoseconds.
const TIME: Time = (1_000_000_001, 987_654_321);

impl Lacks {
    /// Probes with a new file of this process. `may_chown`: whether this user could give the file away.
    pub(crate) fn of(file: &File, may_chown: bool) -> Self {
        let mode = |mode| {
            let set = rustix::fs::fchmod(file, Mode::from_raw_mode(mode));
            set.is_ok() && rustix::fs::fstat(file).is_ok_and(|stat| stat.st_mode & 0o7777 == mode)
        };
        let time = Timespec { tv_sec: TIME.0, tv_nsec: TIME.1.into() };
        let set = rustix::fs::futimens(file, &Timestamps { last_access: time, last_modification: time });
        let found = rustix::fs::fstat(file).ok().filter(|_| set.is_ok());
        let found = found.map(|stat| (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)));
        let xattr = rustix::fs::fsetxattr(file, c"user.hook-runner", b"1", XattrFlags::empty());
        Self {
            modes: !(mode(0o640) && mode(0o604)),
            grain: found.map_or(u64::MAX, |found| grain(TIME, found)),
            xattrs: xattr.is_err(),
            owners: !may_chown || !keeps_owner(file),
        }
    }

    /// Whether two times are equal on this volume.
    pub(crate) fn is_same_time(&self, one: Time, other: Time) -> bool {
        one == other || distance(one, other) < self.grain
    }

    /// The form in the manifest's head; empty if nothing is lacking.
    pub(crate) fn words(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        for (lacking, word) in [(self.modes, "modes"), (self.owners, "owners"), (self.xattrs, "xattrs")] {
            words.extend(lacking.then(|| word.to_owned()));
        }
        words.extend((self.grain > 0).then(|| format!("times={}", self.grain)));
        words.join(",")
    }

    /// The reverse of [`Lacks::words`]; ignores unknown words.
    pub(crate) fn parse(words: &str) -> Self {
        let grain = words.split(',').find_map(|word| word.strip_prefix("times=")?.parse().ok());
        let has = |wanted| words.split(',').any(|word| word == wanted);
        Self { modes: has("modes"), owners: has("owners"), xattrs: has("xattrs"), grain: grain.unwrap_or(0) }
    }
}

fn keeps_owner(file: &File) -> bool {
    let (uid, gid) = (Uid::from_raw(1), Gid::from_raw(1));
    let set = rustix::fs::fchown(file, Some(uid), Some(gid));
    set.is_ok() && rustix::fs::fstat(file).is_ok_and(|stat| (stat.st_uid, stat.st_gid) == (1, 1))
}

/// Nanoseconds between two times.
fn distance(one: Time, other: Time) -> u64 {
    let nanoseconds =
        |(seconds, nanoseconds): Time| i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    u64::try_from((nanoseconds(one) - nanoseconds(other)).abs()).unwrap_or(u64::MAX)
}

/// The unit of time that explains the difference, of those that filesystems have: 100 ns (NTFS, SMB), 1 µs, 1 s (ext3),
/// 2 s (FAT).
fn grain(set: Time, found: Time) -> u64 {
    let units = [0, 100, 1000, 1_000_000_000, 2_000_000_000];
    let distance = distance(set, found);
    units.into_iter().find(|unit| distance == 0 || distance < *unit).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_came_back_coarser_tells_the_unit() {
        for (found, unit) in [
            ((1_000_000_001, 987_654_321), 0),
            ((1_000_000_001, 987_654_300), 100),
            ((1_000_000_001, 987_654_000), 1000),
            ((1_000_000_001, 0), 1_000_000_000),
            ((1_000_000_000, 0), 2_000_000_000),
            ((1_764_000_000, 5), u64::MAX),
        ] {
            assert_eq!(grain(TIME, found), unit, "{found:?}");
        }
        let whole_seconds = Lacks { grain: 1_000_000_000, ..Lacks::default() };
        assert!(whole_seconds.is_same_time((7, 0), (7, 999_999_999)));
        assert!(!whole_seconds.is_same_time((7, 0), (8, 0)));
        assert!(!Lacks::default().is_same_time((7, 0), (7, 1)));
    }

    #[test]
    fn what_is_lacking_reads_back_as_written() {
        let all = Lacks { modes: true, owners: true, xattrs: true, grain: 100 };
        for lacks in [Lacks::default(), all, Lacks { grain: u64::MAX, ..Lacks::default() }] {
            assert_eq!(Lacks::parse(&lacks.words()), lacks);
        }
    }
}
