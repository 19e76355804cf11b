//! `--max-log`: the first half of an endless log is in the log itself; of the rest, the last part is kept in two
//! segment files that take turns, in the state directory. When the attempt ends they are appended to the log behind a
//! marker that says how many bytes are left out. When the runner is killed they stay, and the next attempt does that.
//!
//! Why files: the end of an endless log is what is worth reading after a kill too, so it may not be in memory; a log
//! that is appended to verbatim cannot hold a ring itself; and cutting a file at its front is not portable.
//! On the disk: at most the limit while the command runs, and at most half of it more while the end is appended.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use rustix::fs::{FileType, OFlags};

use crate::support::log_end::{append_all, first_line, marker, names, parse_segment};
use crate::support::rooted_dir::{Dir, is_in_the_way};

/// Where the end of the log is kept meanwhile, and how much is kept in all.
#[derive(Debug)]
pub struct MaxLog {
    /// Bytes of one attempt's output that are kept.
    pub bytes: u64,
    /// The state directory.
    pub directory: Dir,
    /// Name of the log file, which tells segments of several logs apart.
    pub log_name: OsString,
}

#[derive(Debug)]
pub(super) struct Tail {
    directory: Dir,
    names: [OsString; 2],
    /// Bytes that one segment takes.
    capacity: u64,
    /// Output bytes in the log's first part.
    head: u64,
    /// Output bytes so far, those of the first part included.
    total: u64,
    current: Option<Segment>,
    /// The other segment, if it is in use. Both stay open: the command may remove their names.
    previous: Option<Segment>,
    /// Which name is in use.
    turn: usize,
}

#[derive(Debug)]
struct Segment {
    file: File,
    start: u64,
    room: u64,
}

impl Tail {
    /// The tail of a log whose first part has taken `head` bytes.
    pub(super) fn new(max: MaxLog, head: u64) -> Self {
        Self {
            names: names(&max.log_name),
            directory: max.directory,
            capacity: (max.bytes / 4).max(1),
            head,
            total: head,
            current: None,
            previous: None,
            turn: 0,
        }
    }

    /// Keeps `bytes`; on an error, how many of them were kept.
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

    /// Of more than both segments take, the beginning would be written only to be overwritten: how much of it to leave out, so
    /// that the segments begin where they would have begun.
    fn pass_over(&mut self, bytes: usize) -> io::Result<usize> {
        let room = self.current.as_ref().map_or(0, |segment| segment.room);
        let segments = (bytes as u64).saturating_sub(room).div_ceil(self.capacity);
        if segments <= 2 {
            return Ok(0);
        }
        // None may stay that a gap would follow.
        (self.current, self.previous) = (None, None);
        for name in &self.names {
            free(&self.directory, name)?;
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
        let n = segment.file.write(&bytes[..bytes.len().min(room)])?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        segment.room -= n as u64;
        self.total += n as u64;
        Ok(n)
    }

    /// Output bytes that came after the log's first part.
    pub(super) fn taken(&self) -> u64 {
        self.total - self.head
    }

    /// Output bytes that are not kept, and those of the marker in their place.
    pub(super) fn left_out(&self) -> (u64, u64) {
        let first = self.previous.as_ref().or(self.current.as_ref());
        match first.map_or(0, |segment| segment.start - self.head) {
            0 => (0, 0),
            bytes => (bytes, marker(bytes).len() as u64),
        }
    }

    /// Takes the last `bytes` back, when they are all in the segment in use.
    pub(super) fn take_back(&mut self, bytes: u64) -> io::Result<()> {
        let Some(segment) = self.current.as_mut().filter(|segment| self.total - segment.start >= bytes)
        else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let end = segment.file.stream_position()? - bytes;
        segment.file.set_len(end)?;
        segment.file.seek(SeekFrom::Start(end))?;
        segment.room += bytes;
        self.total -= bytes;
        Ok(())
    }

    /// The other segment, older than everything kept, gives its place.
    fn turn_over(&mut self) -> io::Result<()> {
        let next = if self.current.is_some() { 1 - self.turn } else { self.turn };
        free(&self.directory, &self.names[next])?;
        let mut file = self.directory.open_own(&self.names[next], OFlags::RDWR | OFlags::EXCL)?;
        file.write_all(first_line(self.total, self.head).as_bytes())?;
        self.previous = self.current.take();
        self.current = Some(Segment { file, start: self.total, room: self.capacity });
        self.turn = next;
        Ok(())
    }

    /// Appends what is kept to the log, through `append`. The segments stay until [`Tail::remove`].
    pub(super) fn finish(&mut self, mut append: impl FnMut(&[u8])) -> io::Result<()> {
        let Some(current) = &self.current else { return Ok(()) };
        let (left_out, _) = self.left_out();
        if left_out > 0 {
            append(marker(left_out).as_bytes());
        }
        for segment in self.previous.iter().chain([current]) {
            let mut file = &segment.file;
            file.seek(SeekFrom::Start(0))?;
            let Some(found) = parse_segment(file)? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
            append_all(found.file, &mut append)?;
        }
        Ok(())
    }

    /// Removes the segments, after what they held is durable in the log.
    pub(super) fn remove(&self) {
        remove(&self.directory, &self.names);
    }
}

/// Appends to `log` the end of an attempt that was killed, if there is one; returns whether there was. To be called
/// before anything else is appended to the log or the log is archived. Should the runner be killed between this and
/// the removal of the segments, the end is there twice, never missing.
///
/// `log` opens the log; where it does not, the segments stay.
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

/// Frees the name of a segment: one of an earlier attempt goes, what is none is set aside.
fn free(directory: &Dir, name: &OsStr) -> io::Result<()> {
    let freed = match directory.find(name)?.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        None => Ok(()),
        Some(FileType::RegularFile) => directory.unlink(name),
        Some(_) => directory.set_aside(name).map(drop),
    };
    // The command may remove it in the same moment.
    freed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// None when there is none. What is no file of ours is set aside: a FIFO there would otherwise hold the start for ever.
fn open_segment(directory: &Dir, name: &OsStr) -> io::Result<Option<File>> {
    match directory.open_regular(name, OFlags::RDONLY, 0) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if is_foreign(&error) => free(directory, name).map(|()| None),
        Err(error) => Err(error),
    }
}

/// A FIFO, a directory, a link, a socket.
fn is_foreign(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput || is_in_the_way(error)
}

/// The first, which is made before the second, goes after it.
fn remove(directory: &Dir, names: &[OsString; 2]) {
    for name in names.iter().rev() {
        match directory.unlink(name) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // What cannot be removed is recognised and replaced later.
            Err(_) => return,
        }
    }
}
