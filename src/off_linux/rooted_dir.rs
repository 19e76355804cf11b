//! Opens files below a directory without following symbolic links, for readers. Writes nothing.
//!
//! Each name is checked before it is opened. Another program could put a link there in between; but on such a system
//! the volume is a copy or the reader's own mount.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

/// How to open a file. Readers have one way; the others belong to calls that answer `Unsupported`.
#[derive(Debug, Clone, Copy)]
pub struct OFlags;

#[allow(missing_docs)]
impl OFlags {
    pub const RDONLY: Self = Self;
    pub const WRONLY: Self = Self;
    pub const RDWR: Self = Self;
    pub const APPEND: Self = Self;
    pub const EXCL: Self = Self;
}

impl std::ops::BitOr for OFlags {
    type Output = Self;

    fn bitor(self, _other: Self) -> Self {
        self
    }
}

/// The type of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FileType {
    RegularFile,
    Directory,
    Symlink,
    Unknown,
}

impl FileType {
    /// The type in [`Stat::st_mode`].
    pub fn from_raw_mode(mode: u32) -> Self {
        match mode {
            1 => Self::RegularFile,
            2 => Self::Directory,
            3 => Self::Symlink,
            _ => Self::Unknown,
        }
    }

    fn of(kind: fs::FileType) -> Self {
        match kind {
            _ if kind.is_file() => Self::RegularFile,
            _ if kind.is_dir() => Self::Directory,
            _ if kind.is_symlink() => Self::Symlink,
            _ => Self::Unknown,
        }
    }
}

/// What readers need of an entry's status.
#[derive(Debug, Clone, Copy)]
pub struct Stat {
    /// Only the type.
    pub st_mode: u32,
    /// Size in bytes.
    pub st_size: i64,
    /// The time of creation, which replaces the inode number: it also tells two files of one name apart.
    pub st_ino: u64,
}

impl From<Metadata> for Stat {
    fn from(metadata: Metadata) -> Self {
        let created = metadata.created().ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        Self {
            st_mode: FileType::of(metadata.file_type()) as u32 + 1,
            st_size: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
            st_ino: created.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0)),
        }
    }
}

/// A directory. Paths given to its methods are relative and made of plain names.
#[derive(Debug)]
pub struct Dir {
    path: PathBuf,
}

impl Dir {
    /// Opens a directory. Links in `path` are followed.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().canonicalize()?;
        if path.is_dir() { Ok(Self { path }) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    /// Opens the directory `rel`.
    pub fn open_dir(&self, rel: impl AsRef<Path>) -> io::Result<Self> {
        let path = self.plain(rel.as_ref())?;
        if fs::symlink_metadata(&path)?.is_dir() {
            Ok(Self { path })
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    /// Opens a regular file for reading.
    pub fn open_regular(&self, rel: impl AsRef<Path>, _flags: OFlags, _mode: u32) -> io::Result<File> {
        let path = self.plain(rel.as_ref())?;
        match FileType::of(fs::symlink_metadata(&path)?.file_type()) {
            FileType::RegularFile => File::open(path),
            FileType::Directory => Err(io::ErrorKind::IsADirectory.into()),
            FileType::Symlink => Err(a_link()),
            FileType::Unknown => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        }
    }

    /// The status of an entry; `None` if it does not exist.
    pub fn find(&self, rel: impl AsRef<Path>) -> io::Result<Option<Stat>> {
        let found = self.plain(rel.as_ref()).and_then(fs::symlink_metadata);
        match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.map(|metadata| Some(metadata.into())),
        }
    }

    /// The status of the directory.
    pub fn stat(&self) -> io::Result<Stat> {
        fs::metadata(&self.path).map(Stat::from)
    }

    /// The entries.
    pub fn entries(&self) -> io::Result<Vec<(OsString, FileType)>> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            Ok((entry.file_name(), FileType::of(entry.file_type()?)))
        };
        fs::read_dir(&self.path)?.map(entry).collect()
    }

    /// The path of `rel`, if no name before the last is a link.
    fn plain(&self, rel: &Path) -> io::Result<PathBuf> {
        let mut path = self.path.clone();
        let mut names = rel.components().peekable();
        while let Some(name) = names.next() {
            let Component::Normal(name) = name else { return Err(io::ErrorKind::InvalidInput.into()) };
            path.push(name);
            if names.peek().is_some() && fs::symlink_metadata(&path)?.is_symlink() {
                return Err(a_link());
            }
        }
        Ok(path)
    }
}

/// The methods that write: all answer `Unsupported`.
#[allow(missing_docs)]
impl Dir {
    pub fn open_own(&self, _name: impl AsRef<OsStr>, _flags: OFlags) -> io::Result<File> {
        unsupported()
    }

    pub fn open_for_group(&self, _name: impl AsRef<OsStr>, _flags: OFlags) -> io::Result<File> {
        unsupported()
    }

    pub fn open_own_dir(
        &self,
        _name: impl AsRef<OsStr>,
        _others: bool,
    ) -> io::Result<(Self, Option<OsString>)> {
        unsupported()
    }

    pub fn rename(&self, _from: impl AsRef<Path>, _to: &Self, _new: impl AsRef<Path>) -> io::Result<()> {
        unsupported()
    }

    pub fn rename_to_free(&self, _name: &OsStr, _to: &Self, _new: &OsStr) -> io::Result<()> {
        unsupported()
    }

    pub fn set_aside(&self, _name: impl AsRef<OsStr>) -> io::Result<OsString> {
        unsupported()
    }

    pub fn remove_all(&self, _rel: impl AsRef<Path>) -> io::Result<()> {
        unsupported()
    }

    pub fn remove_dir(&self, _rel: impl AsRef<Path>) -> io::Result<()> {
        unsupported()
    }

    pub fn unlink(&self, _rel: impl AsRef<Path>) -> io::Result<()> {
        unsupported()
    }

    pub fn sync(&self) -> io::Result<bool> {
        unsupported()
    }
}

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

fn a_link() -> io::Error {
    io::Error::new(io::ErrorKind::NotADirectory, "Too many symbolic links encountered")
}

/// Whether an open failed because the entry is of another kind.
pub fn is_in_the_way(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory)
}
