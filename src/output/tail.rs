//! `--max-log`: the first half of a long output goes into the log itself. Of the rest, the last part is kept in two
//! alternating segment files in the state directory. At the end of the attempt they are appended to the log, after a
//! marker with the number of bytes left out. If the runner is killed they stay, and the next attempt appends them.
//!
//! Why files: the end of a long output is also needed after a kill, so memory is not enough; a log that is only
//! appended to cannot be a ring; and removing the start of a file is not portable. Disk use: at most the limit while
//! the command runs, and at most half of it more while the end is appended.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use rustix::fs::{FileType, OFlags};

use crate::support::log_end::{append_all, first_line, marker, names, parse_segment};
use crate::support::rooted_dir::{Dir, is_in_the_way};

/// Where the end is kept until then, and how much is kept in all.
#[derive(Debug)]
pub struct MaxLog {
    /// Bytes of one attempt's output that are kept.
    bytes: u64,
    /// The state directory.
    directory: Dir,
    /// The names of the segments, which tell those of several logs apart.
    names: [OsString; 2],
    files: [File; 2],
}

impl MaxLog {
    /// Creates both segments in `directory`. They stay open, so that the end of the output is kept even if the command
    /// removes the directory.
    pub fn create(bytes: u64, directory: Dir, log_name: &OsStr) -> io::Result<Self> {
        let names = names(log_name);
        let files = [new_segment(&directory, &names[0])?, new_segment(&directory, &names[1])?];
        Ok(Self { bytes, directory, names, files })
    }

    /// Bytes of output for the log's first part.
    pub(super) fn head(&self) -> u64 {
        self.bytes / 2
    }

    /// Removes the segments, once their content is durable in the log.
    pub(super) fn remove(&self) {
        remove(&self.directory, &self.names);
    }
}

#[derive(Debug)]
pub(super) struct Tail {
    max: MaxLog,
    /// Capacity of one segment in bytes.
    capacity: u64,
    /// Output bytes in the log's first part.
    head: u64,
    /// Output bytes so far, including the first part.
    total: u64,
    current: Option<Segment>,
    /// The other segment, if it is in use.
    previous: Option<Segment>,
}

#[derive(Debug)]
struct Segment {
    /// Which of the two files it is in.
    turn: usize,
    start: u64,
    room: u64,
}

impl Tail {
    /// The tail of a log whose first part has `head` bytes.
    pub(super) fn new(max: MaxLog, head: u64) -> Self {
        let capacity = (max.bytes / 4).max(1);
        Self { max, capacity, head, total: head, current: None, previous: None }
    }

    /// Keeps `bytes`; an error comes with the number that were kept.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut done = self.pass_over(bytes.len()).map_err(|error| (0, error))?;
        while done < bytes.len() {
            let step = self.push_some(&bytes[done..]);
            match step {
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((done, error)),
            }
        }
        Ok(())
    }

    /// If there are more bytes than both segments hold, the first would be overwritten at once. Returns how many to
    /// skip, so that the segments begin where they would otherwise have begun.
    fn pass_over(&mut self, bytes: usize) -> io::Result<usize> {
        let room = self.current.as_ref().map_or(0, |segment| segment.room);
        let segments = (bytes as u64).saturating_sub(room).div_ceil(self.capacity);
        if segments <= 2 {
            return Ok(0);
        }
        // Segments before a gap must not stay.
        (self.current, self.previous) = (None, None);
        for turn in 0..2 {
            self.empty(turn)?;
        }
        let over = room + (segments - 2) * self.capacity;
        self.total += over;
        Ok(usize::try_from(over).unwrap_or(bytes))
    }

    fn push_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.current.as_ref().is_none_or(|segment| segment.room == 0) {
            self.turn_over()?;
        }
        let Some(segment) = &mut self.current else { return Err(io::ErrorKind::NotFound.into()) };
        let room = usize::try_from(segment.room).unwrap_or(usize::MAX);
        let n = self.max.files[segment.turn].write(&bytes[..bytes.len().min(room)])?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        segment.room -= n as u64;
        self.total += n as u64;
        Ok(n)
    }

    /// Output bytes after the log's first part.
    pub(super) fn taken(&self) -> u64 {
        self.total - self.head
    }

    /// Output bytes that are not kept, and the length of the marker.
    pub(super) fn left_out(&self) -> (u64, u64) {
        let first = self.previous.as_ref().or(self.current.as_ref());
        match first.map_or(0, |segment| segment.start - self.head) {
            0 => (0, 0),
            bytes => (bytes, marker(bytes).len() as u64),
        }
    }

    /// Removes the last `bytes`, if they are all in the current segment.
    pub(super) fn take_back(&mut self, bytes: u64) -> io::Result<()> {
        let Some(segment) = self.current.as_mut().filter(|segment| self.total - segment.start >= bytes)
        else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let file = &mut self.max.files[segment.turn];
        let end = file.stream_position()? - bytes;
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        segment.room += bytes;
        self.total -= bytes;
        Ok(())
    }

    /// Starts the next segment in place of the oldest.
    fn turn_over(&mut self) -> io::Result<()> {
        let turn = self.current.as_ref().map_or(0, |segment| 1 - segment.turn);
        self.empty(turn)?;
        self.max.files[turn].write_all(first_line(self.total, self.head).as_bytes())?;
        self.previous = self.current.take();
        self.current = Some(Segment { turn, start: self.total, room: self.capacity });
        Ok(())
    }

    /// Replaces a segment by an empty file, so that a reader of the old one is not disturbed. If that is not possible,
    /// because the command has removed the directory, the open file is emptied.
    fn empty(&mut self, turn: usize) -> io::Result<()> {
        if let Ok(file) = new_segment(&self.max.directory, &self.max.names[turn]) {
            self.max.files[turn] = file;
            return Ok(());
        }
        self.max.files[turn].set_len(0)?;
        self.max.files[turn].seek(SeekFrom::Start(0)).map(drop)
    }

    /// Appends what is kept to the log through `append`. The segments stay until [`Tail::remove`].
    pub(super) fn finish(&mut self, mut append: impl FnMut(&[u8])) -> io::Result<()> {
        let Some(current) = &self.current else { return Ok(()) };
        let (left_out, _) = self.left_out();
        if left_out > 0 {
            append(marker(left_out).as_bytes());
        }
        for segment in self.previous.iter().chain([current]) {
            let mut file = &self.max.files[segment.turn];
            file.seek(SeekFrom::Start(0))?;
            let Some(found) = parse_segment(file)? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
            append_all(found.file, &mut append)?;
        }
        Ok(())
    }

    /// Removes the segments, once their content is durable in the log.
    pub(super) fn remove(&self) {
        self.max.remove();
    }
}

/// Appends to `log` the kept end of a killed attempt; returns whether there was one. Call it before anything else is
/// appended to the log and before the log is archived. If the runner is killed before the segments are removed, the end
/// is in the log twice, but never missing.
///
/// `log` opens the log; if it returns `None`, the segments stay.
pub fn recover(directory: &Dir, log_name: &OsStr, log: impl FnOnce() -> Option<File>) -> io::Result<bool> {
    let names = names(log_name);
    let mut there = false;
    let mut segments = Vec::new();
    for name in &names {
        let Some(file) = open_segment(directory, name)? else { continue };
        there = true;
        segments.extend(parse_segment(file)?);
    }
    segments.sort_by_key(|segment| segment.start);
    let Some(first) = segments.first() else {
        if there {
            remove(directory, &names);
        }
        return Ok(false);
    };
    let Some(mut log) = log() else { return Ok(false) };
    let left_out = first.start.saturating_sub(first.head);
    let mut text = Vec::new();
    if left_out > 0 {
        text.extend_from_slice(marker(left_out).as_bytes());
    }
    log.write_all(&text)?;
    for segment in segments {
        let mut result = Ok(());
        append_all(segment.file, |bytes| {
            if result.is_ok() {
                result = log.write_all(bytes);
            }
        })?;
        result?;
    }
    log.sync_all()?;
    remove(directory, &names);
    Ok(true)
}

/// An empty file under the name of a segment.
fn new_segment(directory: &Dir, name: &OsStr) -> io::Result<File> {
    free(directory, name)?;
    directory.open_own(name, OFlags::RDWR | OFlags::EXCL)
}

/// Frees the name of a segment: removes one of an earlier attempt, and sets anything else aside.
fn free(directory: &Dir, name: &OsStr) -> io::Result<()> {
    let freed = match directory.find(name)?.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        None => Ok(()),
        Some(FileType::RegularFile) => directory.unlink(name),
        Some(_) => directory.set_aside(name).map(drop),
    };
    // The command may have removed it at the same moment.
    freed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// `None` if there is none. A foreign entry is set aside, because opening a FIFO would otherwise block for ever.
fn open_segment(directory: &Dir, name: &OsStr) -> io::Result<Option<File>> {
    match directory.open_regular(name, OFlags::RDONLY, 0) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if is_foreign(&error) => free(directory, name).map(|()| None),
        Err(error) => Err(error),
    }
}

fn is_foreign(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput || is_in_the_way(error)
}

/// In reverse order of creation.
fn remove(directory: &Dir, names: &[OsString; 2]) {
    for name in names.iter().rev() {
        match directory.unlink(name) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // A segment that stays is recognized and replaced later.
            Err(_) => return,
        }
    }
}
