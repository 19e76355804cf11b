//! Staging: `stage/<owner>.<n>/` in the state directory. It has one directory per destination directory that gets new
//! entries, named by the hash of its path. Each entry in it is complete and only has to be renamed. Nothing of the
//! volume's ever gets here, because staging gets deleted.
//!
//! An interrupted copy leaves its staging behind. The owner's next copy starts a new generation and reuses earlier
//! files whose size, mtime and content match, so that a copy longer than one attempt ends. A successful copy removes
//! all generations.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::copy::io::lacks::Lacks;
use crate::copy::io::listing;
use crate::copy::state::STAGE;
use crate::support::rooted_dir::Dir;

/// Maximum number of earlier generations that are kept.
const GENERATIONS: usize = 8;

/// The staging of one copy.
#[derive(Debug)]
pub(crate) struct Stage {
    /// `stage/` of the state directory.
    home: Dir,
    name: String,
    pub(crate) dir: Dir,
    /// The status of a new file here: its owner and group.
    pub(crate) sample: Stat,
    /// What the volume cannot store.
    pub(crate) lacks: Lacks,
    /// The set-group-ID bit, if the destination has it.
    sample_mode: u32,
}

/// Staging of earlier copies of the same owner, the latest first.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    home: Option<Dir>,
    generations: Vec<(u32, String, Dir)>,
    /// Staging of copiers that cannot be at work beside this one.
    stale: Vec<String>,
    /// The highest generation that this user may not read.
    others: u32,
}

/// A file that an earlier copy staged.
#[derive(Debug)]
pub(crate) struct Leftover<'a> {
    generation: &'a Dir,
    path: PathBuf,
    pub(crate) file: File,
    pub(crate) stat: Stat,
}

impl Leftovers {
    /// Finds the leftovers of the copies called `owner`, and what `is_stale`.
    pub(crate) fn find(state: &Dir, owner: &str, is_stale: impl Fn(&str) -> bool) -> io::Result<Self> {
        let home = match state.open_dir(STAGE) {
            Ok(home) => home,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let (mut generations, mut stale, mut others) = (Vec::new(), Vec::new(), 0);
        for (name, _) in home.entries()? {
            let Some(name) = name.to_str() else { continue };
            let number = name.strip_prefix(owner).and_then(|rest| rest.strip_prefix('.'));
            if is_stale(name) {
                stale.push(name.to_owned());
            }
            let Some(number) = number.and_then(|number| number.parse::<u32>().ok()) else { continue };
            match home.open_dir(name) {
                Ok(dir) => generations.push((number, name.to_owned(), dir)),
                // Another user's, removed by that user's next copy.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => others = others.max(number),
                Err(error) => return Err(error),
            }
        }
        generations.sort_by_key(|(number, ..)| std::cmp::Reverse(*number));
        while generations.len() > GENERATIONS {
            if let Some((_, name, _)) = generations.pop() {
                unless_others(home.remove_all(name))?;
            }
        }
        Ok(Self { home: Some(home), generations, stale, others })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.generations.is_empty()
    }

    fn next(&self) -> u32 {
        self.generations.first().map_or(0, |(number, ..)| *number).max(self.others) + 1
    }

    /// The file staged for `path`, in the staging directory with this `key`.
    pub(crate) fn open(&self, key: u64, path: &[u8]) -> Option<Leftover<'_>> {
        let path = PathBuf::from(key_name(key)).join(std::ffi::OsStr::from_bytes(path));
        self.generations.iter().find_map(|(.., generation)| {
            let file = generation.open_read(&path).ok()?;
            let stat = rustix::fs::fstat(&file).ok()?;
            let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            (is_file && stat.st_nlink == 1).then(|| Leftover { generation, path: path.clone(), file, stat })
        })
    }

    /// Their size on the volume in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let mut bytes = 0;
        let reopened = self.generations.iter().filter_map(|(.., dir)| dir.reopen().ok());
        let mut todo: Vec<Dir> = reopened.collect();
        while let Some(dir) = todo.pop() {
            for (name, kind) in dir.entries().unwrap_or_default() {
                if kind == FileType::Directory {
                    todo.extend(dir.open_dir(&name));
                } else if let Ok(stat) = dir.stat_at(&name) {
                    bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
                }
            }
        }
        bytes
    }

    pub(crate) fn remove(&self) -> io::Result<()> {
        let Some(home) = &self.home else { return Ok(()) };
        let names = self.generations.iter().map(|(_, name, _)| name).chain(&self.stale);
        names.into_iter().try_for_each(|name| unless_others(home.remove_all(name)))
    }
}

impl Leftover<'_> {
    /// Moves it to the current staging and opens it there. It is closed during the rename, because some network volumes
    /// cannot rename an open file. `None` if somebody has replaced it; then it is removed, because setting its metadata
    /// could change a foreign file.
    pub(crate) fn take(self, place: &OwnedFd, name: &std::ffi::CStr) -> io::Result<Option<File>> {
        drop(self.file);
        let place = Dir::from_fd(rustix::io::fcntl_dupfd_cloexec(place, 0)?);
        let name = std::ffi::OsStr::from_bytes(name.to_bytes());
        self.generation.rename(&self.path, &place, name)?;
        let file = place.open_read(name)?;
        let now = rustix::fs::fstat(&file)?;
        if (now.st_dev, now.st_ino, now.st_nlink) == (self.stat.st_dev, self.stat.st_ino, 1) {
            return Ok(Some(file));
        }
        place.unlink(name).map(|()| None)
    }
}

/// Another user's staging may not be removable; that user's next copy removes it.
fn unless_others(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::PermissionDenied { Ok(()) } else { Err(error) })
}

impl Stage {
    /// Creates a new generation of an owner's staging in the state directory.
    pub(crate) fn open(
        (state, destination): (&Dir, &Dir),
        owner: &str,
        leftovers: &Leftovers,
        may_chown: bool,
    ) -> io::Result<Self> {
        let (home, _) = state.open_own_dir(STAGE, false)?;
        let name = format!("{owner}.{}", leftovers.next());
        home.create_dir(&name, 0o770)?;
        let dir = home.open_dir(&name)?;
        // New files here must get the set-group-ID bit and group that they would get in the destination.
        let there = destination.stat()?;
        let _ = rustix::fs::fchown(&dir, None, Some(Gid::from_raw(there.st_gid)));
        let _ = rustix::fs::fchmod(&dir, Mode::from_raw_mode(0o770 | there.st_mode & 0o2000));
        // A default ACL would affect everything created below. If this fails, there is none, or modes are set
        // explicitly anyway.
        let _ = rustix::fs::fremovexattr(&dir, c"system.posix_acl_default");
        let file = dir.create_new("sample", 0o600)?;
        let sample = dir.stat_at("sample")?;
        let lacks = Lacks::of(&file, may_chown);
        drop(file);
        // If it is still busy, it is removed with all of staging.
        let _ = dir.unlink("sample");
        Ok(Self { home, name, dir, sample, lacks, sample_mode: there.st_mode & 0o2000 })
    }

    /// Creates a directory for new entries of the destination directory `path`.
    pub(crate) fn add(&self, path: &[u8]) -> io::Result<(u64, Arc<OwnedFd>)> {
        let key = key(path);
        let name = key_name(key);
        match rustix::fs::mkdirat(&self.dir, &*name, Mode::from_raw_mode(0o770)) {
            // A shared tree's piece that was published early had it before.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let dir = listing::open(&self.dir, &*name)?;
        let _ = rustix::fs::fchmod(&dir, self.mode());
        Ok((key, Arc::new(dir)))
    }

    /// Lets other users of the volume's group remove it.
    fn mode(&self) -> Mode {
        Mode::from_raw_mode(0o770 | self.sample_mode)
    }

    /// Removes the staging directory with this key, if it is empty.
    pub(crate) fn discard(&self, key: u64) {
        // If it stays, it is removed with all of staging.
        let _ = rustix::fs::unlinkat(&self.dir, key_name(key), AtFlags::REMOVEDIR);
    }

    /// An unnamed file for what does not fit into memory.
    pub(crate) fn overflow(&self) -> io::Result<File> {
        let name = "overflow";
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let file = self.dir.open_with(name, flags, 0o600)?;
        // If an open file cannot be removed, it goes with all of staging.
        let _ = self.dir.unlink(name);
        Ok(file)
    }

    /// Removes this generation with all its content.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.home.remove_all(&self.name)
    }
}

/// The name of a directory's staging.
pub(crate) fn key(path: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(path).as_bytes()[..8]);
    u64::from_le_bytes(first)
}

fn key_name(key: u64) -> String {
    format!("{key:016x}")
}
