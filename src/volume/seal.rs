//! The log of the attempt in progress, as its end needs it: what the command did to its name is undone, the footer is
//! written, everything is made durable, and the name is checked as the last thing before success.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

use super::archive::rename_to_free;
use super::paths::Volume;
use crate::support::rooted_dir::Dir;

/// What the command left in the log's place is kept under this ending.
const BESIDE: &str = ".from-volume";
/// Bytes that are copied at a time.
const BLOCK: usize = 1 << 20;

/// Why the log is not durable under its name.
#[derive(Debug)]
pub enum SealError {
    /// A call failed.
    Io {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The log was removed and cannot be put back, or what is in it is not what was written.
    Removed(String),
}

/// The log of the attempt in progress.
#[derive(Debug)]
pub struct OpenLog {
    /// Open for reading and appending.
    file: File,
    /// The log's path; where the state directory was given, its path.
    log: PathBuf,
    state: Option<PathBuf>,
    /// Where this attempt's header begins, and the header.
    offset: u64,
    header: Vec<u8>,
}

/// Where the log's name leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    /// To the file that was written.
    Here,
    /// To nothing.
    Nowhere,
    /// To something else.
    Elsewhere,
}

impl OpenLog {
    /// `file` is open for reading and appending and ends with `header`, which begins at `offset`.
    pub fn new(file: File, volume: &Volume, offset: u64, header: &str) -> Self {
        Self {
            file,
            log: volume.log_path.clone(),
            state: volume.state_is_elsewhere.then(|| volume.state_path.clone()),
            offset,
            header: header.as_bytes().to_vec(),
        }
    }

    /// Puts the log back under its name where the command removed, moved or replaced it, or its directory; says so in a
    /// line for the log. `output` bytes were written after the header.
    pub fn put_back(&mut self, output: u64) -> Result<Option<String>, SealError> {
        self.check_content(self.offset + self.header.len() as u64 + output)?;
        let what = match self.name() {
            Name::Here => return Ok(None),
            Name::Nowhere => "removed",
            Name::Elsewhere => "replaced",
        };
        let kept = self.restore().map_err(|error| {
            SealError::Removed(format!("it was {what} while the hook ran, and cannot be put back: {error}"))
        })?;
        let kept = kept.map_or(String::new(), |name| format!("; what was in its place is {name} now"));
        let line = format!("hook-runner: the log was {what} while the hook ran, and is put back{kept}\n");
        Ok(Some(line))
    }

    /// Appends bytes of the runner's own.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), SealError> {
        self.file.write_all(bytes).map_err(|source| SealError::Io { operation: "write", source })
    }

    /// Makes the log durable, and closes the descriptor that the output was written
    /// through; then checks that the log's name leads to it and that it holds all of its `size` bytes. Success is never
    /// said before this has returned.
    pub fn seal(&mut self, written: Option<File>, size: u64) -> Result<(), SealError> {
        self.sync()?;
        // close(2) is where NFS and FUSE may first tell of a failed write.
        if let Some(Err(errno)) = written.map(|file| nix::unistd::close(OwnedFd::from(file))) {
            return Err(SealError::Io { operation: "close", source: errno.into() });
        }
        self.check_content(size)?;
        if self.name() == Name::Here {
            return Ok(());
        }
        let failed =
            |error| SealError::Removed(format!("it was removed at the end, and cannot be put back: {error}"));
        self.restore().map_err(failed)?;
        self.sync()?;
        match self.name() {
            Name::Here => Ok(()),
            _ => Err(SealError::Removed("its name does not lead to it, even after it was put back".into())),
        }
    }

    /// Bytes in the file after `output` and a footer of `footer` bytes.
    pub fn size_with(&self, output: u64, footer: usize) -> u64 {
        self.offset + self.header.len() as u64 + output + footer as u64
    }

    /// fsync of the log and of the directory that names it.
    pub fn sync(&self) -> Result<(), SealError> {
        let failed = |operation| move |source| SealError::Io { operation, source };
        self.file.sync_all().map_err(failed("fsync"))?;
        // A directory that is gone is found by the check of the name. Some filesystems refuse to sync directories.
        if let Ok(directory) = self.parent() {
            match directory.sync() {
                Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
                    return Err(failed("fsync of its directory")(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The file holds at least `size` bytes, this attempt's header among them.
    fn check_content(&self, size: u64) -> Result<(), SealError> {
        let failed = |source| SealError::Io { operation: "read", source };
        let found = self.file.metadata().map_err(failed)?.len();
        if found < size {
            let lost = size - found;
            return Err(SealError::Removed(format!(
                "it was truncated while the hook ran: {lost} bytes are gone"
            )));
        }
        let mut header = vec![0; self.header.len()];
        self.file.read_exact_at(&mut header, self.offset).map_err(failed)?;
        if header != self.header {
            return Err(SealError::Removed("it was overwritten while the hook ran".into()));
        }
        Ok(())
    }

    fn name(&self) -> Name {
        let Ok(own) = self.file.metadata() else { return Name::Nowhere };
        match std::fs::symlink_metadata(&self.log) {
            Ok(found) if found.dev() == own.dev() && found.ino() == own.ino() => Name::Here,
            Ok(_) => Name::Elsewhere,
            Err(_) => Name::Nowhere,
        }
    }

    fn parent(&self) -> io::Result<Dir> {
        Dir::open(self.log.parent().ok_or(io::ErrorKind::NotFound)?)
    }

    /// Copies the open file into the log's place; what stands there is renamed beside it, unless it is the beginning of
    /// this log. Returns that new name.
    fn restore(&mut self) -> io::Result<Option<String>> {
        let volume = Volume::create(&self.log, self.state.as_deref()).map_err(|error| error.source)?;
        let temporary = format!("restoring-{}", std::process::id());
        let same_mount = volume.state.is_on_mount_of(&volume.directory)?;
        let workshop = if same_mount { &volume.state } else { &volume.directory };
        workshop.remove_all(&temporary)?;
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL;
        let mode = self.file.metadata()?.mode() & 0o777;
        let mut copy = workshop.open_with(&temporary, flags, mode)?;
        let copied = self.copy_to(&mut copy).and_then(|()| copy.sync_all());
        // A volume that refuses modes has its own.
        let _ = rustix::fs::fchmod(&copy, Mode::from_raw_mode(mode));
        let placed = copied.and_then(|()| {
            let kept = self.clear(&volume)?;
            rename_to_free(workshop, temporary.as_ref(), &volume.directory, &volume.log_name)?;
            Ok(kept)
        });
        if placed.is_err() {
            // Best effort: the error that ended it is the one to tell.
            let _ = workshop.unlink(&temporary);
        }
        let kept = placed?;
        self.file = copy;
        Ok(kept)
    }

    /// Frees the log's name.
    fn clear(&self, volume: &Volume) -> io::Result<Option<String>> {
        if volume.directory.find(&volume.log_name)?.is_none() {
            return Ok(None);
        }
        if self.begins_with_what_is_at(volume) {
            volume.directory.unlink(&volume.log_name)?;
            return Ok(None);
        }
        for number in 1..1000 {
            let mut name = volume.log_name.clone();
            name.push(if number == 1 { BESIDE.to_owned() } else { format!("{BESIDE}-{number}") });
            match rename_to_free(&volume.directory, &volume.log_name, &volume.directory, &name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                done => return done.map(|()| Some(name.to_string_lossy().into_owned())),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// A program that edits files in place (`sed -i`) leaves a copy of what the log was then: nothing is lost with it.
    fn begins_with_what_is_at(&self, volume: &Volume) -> bool {
        let Ok(other) = volume.directory.open_regular(&volume.log_name, OFlags::RDONLY, 0) else {
            return false;
        };
        let Ok(size) = other.metadata().map(|metadata| metadata.len()) else { return false };
        let (mut ours, mut theirs) = (vec![0; BLOCK], vec![0; BLOCK]);
        let mut at = 0;
        while at < size {
            let length = usize::try_from(size - at).unwrap_or(BLOCK).min(BLOCK);
            let read = other
                .read_exact_at(&mut theirs[..length], at)
                .and_then(|()| self.file.read_exact_at(&mut ours[..length], at));
            if read.is_err() || ours[..length] != theirs[..length] {
                return false;
            }
            at += length as u64;
        }
        true
    }

    fn copy_to(&self, copy: &mut File) -> io::Result<()> {
        let mut block = vec![0; BLOCK];
        let mut at = 0;
        loop {
            let length = self.file.read_at(&mut block, at)?;
            if length == 0 {
                return Ok(());
            }
            copy.write_all(&block[..length])?;
            at += length as u64;
        }
    }
}
