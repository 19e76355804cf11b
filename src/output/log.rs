//! The preserved log as a sink: appends bytes unchanged, counts what could not be written, and starts writeback. Writes
//! one descriptor, which its owner opened for appending, and syncs one directory.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::libc;

use super::append_check::AppendCheck;
use super::failure::LogFailure;
use super::own_ranges::OwnRanges;
use super::report::LeftOut;
use super::tail::{MaxLog, Tail};
use crate::support::cause::words;

/// Interval of retries while output goes on and the log fails.
const RETRY: Duration = Duration::from_millis(100);

/// Bytes after which writeback is started, so that little is left to sync at the end.
const WRITEBACK: u64 = 8 << 20;

/// The log file of this attempt.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) file: Option<File>,
    name: PathBuf,
    /// Size of the file in bytes.
    size: u64,
    /// Writeback was started up to this offset.
    started: u64,
    /// Bytes written by this sink.
    pub(super) written: u64,
    pub(super) mid_line: bool,
    /// The first failure; later ones do not replace it.
    pub(super) failure: Option<LogFailure>,
    /// Bytes not written since the last failure, for the marker.
    gap: u64,
    /// All bytes not written.
    pub(super) missed: u64,
    last_error: String,
    retry_at: Option<Instant>,
    limit: Limit,
    /// What `--max-log` left out; known once the output has ended.
    pub(super) left_out: Option<LeftOut>,
    check: AppendCheck,
    /// Size of the file when this sink began.
    began: u64,
    own: OwnRanges,
}

/// What `--max-log` still allows.
#[derive(Debug)]
enum Limit {
    None,
    /// The first part goes into the log.
    Head {
        max: MaxLog,
        taken: u64,
    },
    /// Of the rest, the tail keeps the end.
    Tail(Tail),
}

impl Log {
    pub(super) fn new(file: File, name: PathBuf, max: Option<MaxLog>) -> Self {
        let (size, mid_line) = match file.metadata() {
            Ok(meta) => (meta.size(), ends_mid_line(&file, meta.size())),
            Err(_) => (0, false),
        };
        Self {
            file: Some(file),
            name,
            size,
            started: size,
            written: 0,
            mid_line,
            failure: None,
            gap: 0,
            missed: 0,
            last_error: String::new(),
            retry_at: None,
            limit: max.map_or(Limit::None, |max| Limit::Head { max, taken: 0 }),
            left_out: None,
            check: AppendCheck::new(size),
            began: size,
            own: OwnRanges::default(),
        }
    }

    /// Appends `bytes`, or counts them as missed. On the first failure, returns a line that reports it.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Option<String> {
        if bytes.is_empty() {
            return None;
        }
        if self.gap > 0 && (self.retry_at.is_some_and(|at| Instant::now() < at) || !self.mark_gap()) {
            self.skip(bytes.len());
            return None;
        }
        match self.push(bytes) {
            Ok(()) => None,
            Err((written, error)) => {
                self.skip(bytes.len() - written);
                self.fail("write", &error)
            }
        }
    }

    /// As [`Log::append`], but at the start of a line, and without the pause after a failed attempt.
    pub(super) fn append_line(&mut self, bytes: &[u8]) -> Option<String> {
        self.retry_at = None;
        let newline: &[u8] = if self.mid_line { b"\n" } else { b"" };
        let line = [newline, bytes].concat();
        let missed = self.missed;
        let failed = self.append(&line);
        if self.missed == missed {
            self.is_own(line.len());
        }
        failed
    }

    /// Records that the last `bytes` of the output are the runner's own. Others may append to the log too, so the
    /// file's position counts, except for what went into the tail.
    fn is_own(&mut self, bytes: usize) {
        let end = match self.limit {
            Limit::Tail(_) => self.position(),
            _ => self.check.end().saturating_sub(self.began),
        };
        self.own.add(end.saturating_sub(bytes as u64)..end);
    }

    /// The ranges of the runner's own lines; for use once the output has ended.
    pub(super) fn own(&mut self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.own).in_log(self.left_out)
    }

    /// Ends the command's output: appends what `--max-log` kept of its end, marks a gap at the end, and ends the last
    /// line. On the first failure, returns a line that reports it.
    pub(super) fn finish(&mut self) -> Option<String> {
        let mut line = self.append_tail();
        if self.gap > 0 {
            self.retry_at = None;
            self.mark_gap();
        }
        if self.mid_line && self.gap == 0 {
            line = line.or(self.append(b"\n"));
        }
        line.or(self.look())
    }

    /// Checks that what was written is still there. Returns as [`Log::append`] does.
    fn look(&mut self) -> Option<String> {
        let whole = self.file.as_ref().is_none_or(|file| self.check.is_whole(file));
        if whole || self.failure.is_some() {
            return None;
        }
        let failure = LogFailure::truncated(self.size);
        let line = format!("hook-runner: {}: {}\n", self.name.display(), failure.message);
        self.failure = Some(failure);
        Some(line)
    }

    /// Bytes of output so far, including what `--max-log` may leave out later and what the command itself appended to
    /// its log.
    pub(super) fn position(&self) -> u64 {
        let size = self.file.as_ref().and_then(|file| file.metadata().ok()).map(|metadata| metadata.size());
        match &self.limit {
            Limit::Tail(tail) => self.written + tail.taken(),
            _ => size.map_or(self.written, |size| size.saturating_sub(self.started)),
        }
    }

    fn append_tail(&mut self) -> Option<String> {
        let mut tail = match std::mem::replace(&mut self.limit, Limit::None) {
            Limit::Tail(tail) => tail,
            Limit::Head { max, .. } => {
                max.remove();
                return None;
            }
            Limit::None => return None,
        };
        let (bytes, marker) = tail.left_out();
        self.left_out = Some(LeftOut { at: self.written, bytes, marker });
        let mut line = None;
        let finished = tail.finish(|bytes| line = line.take().or(self.append(bytes)));
        if let Err(error) = finished {
            line = line.or(self.fail("read of its end in the state directory", &error));
        }
        // The tail's files are removed once the log is on stable storage.
        match self.file.as_ref().map_or(Ok(()), File::sync_data) {
            Ok(()) if self.failure.is_none() => tail.remove(),
            Ok(()) => {}
            Err(error) => line = line.or(self.fail("fsync", &error)),
        }
        line
    }

    fn fail(&mut self, operation: &'static str, error: &io::Error) -> Option<String> {
        self.last_error = words(error);
        self.retry_at = Some(Instant::now() + RETRY);
        if self.failure.is_some() {
            return None;
        }
        let failure = LogFailure::new(operation, self.size, error);
        let line = sentence(&self.name, &failure);
        self.failure = Some(failure);
        Some(line)
    }

    fn skip(&mut self, bytes: usize) {
        self.gap += bytes as u64;
        self.missed += bytes as u64;
    }

    /// Once the volume has recovered, writes a marker where the gap is. A marker that was written only in part is
    /// removed again.
    fn mark_gap(&mut self) -> bool {
        let newline = if self.mid_line { "\n" } else { "" };
        let marker =
            format!("{newline}hook-runner: {} bytes are missing here: {}\n", self.gap, self.last_error);
        let (size, written, mid_line) = (self.size, self.written, self.mid_line);
        match self.push(marker.as_bytes()) {
            Ok(()) => {
                self.gap = 0;
                self.retry_at = None;
                self.is_own(marker.len());
                true
            }
            Err((part, error)) => {
                self.last_error = words(&error);
                self.retry_at = Some(Instant::now() + RETRY);
                if part > 0 && self.take_back(part as u64, size).is_ok() {
                    (self.size, self.written, self.mid_line) = (size, written, mid_line);
                }
                false
            }
        }
    }

    /// Removes the last `bytes`, if the file has only grown by them since it had `size`.
    fn take_back(&mut self, bytes: u64, size: u64) -> io::Result<()> {
        let in_file = self.size - size;
        if let Limit::Tail(tail) = &mut self.limit
            && bytes > in_file
        {
            tail.take_back(bytes - in_file)?;
        }
        match &self.file {
            Some(file) if in_file > 0 => {
                self.check.cut(size);
                file.set_len(size)
            }
            _ => Ok(()),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let head = self.room_in_head(bytes.len());
        self.push_to_file(&bytes[..head])?;
        let Limit::Tail(tail) = &mut self.limit else { return Ok(()) };
        let result = tail.push(&bytes[head..]);
        let kept = result.as_ref().map_or_else(|(done, _)| *done, |()| bytes.len() - head);
        if let Some(last) = bytes[head..head + kept].last() {
            self.mid_line = *last != b'\n';
        }
        result.map_err(|(done, error)| (head + done, error))
    }

    /// How many of `bytes` go into the log itself. When its first part is full, the tail begins.
    fn room_in_head(&mut self, bytes: usize) -> usize {
        match &mut self.limit {
            Limit::None => bytes,
            Limit::Tail(_) => 0,
            Limit::Head { max, taken } => {
                let room = usize::try_from(max.head() - *taken).unwrap_or(usize::MAX);
                *taken += bytes.min(room) as u64;
                if bytes > room
                    && let Limit::Head { max, taken } = std::mem::replace(&mut self.limit, Limit::None)
                {
                    self.limit = Limit::Tail(Tail::new(max, taken));
                }
                bytes.min(room)
            }
        }
    }

    /// Does not wait; errors are found by the later fsync(2).
    fn start_writeback(&mut self) {
        let range = |at: u64| i64::try_from(at).unwrap_or(0);
        if let Some(file) = &self.file {
            let (from, length) = (range(self.started), range(self.size - self.started));
            // SAFETY: sync_file_range(2) takes an open descriptor and numbers.
            unsafe { libc::sync_file_range(file.as_raw_fd(), from, length, libc::SYNC_FILE_RANGE_WRITE) };
        }
        self.started = self.size;
    }

    fn push_to_file(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut done = 0;
        let mut result = Ok(());
        while done < bytes.len() {
            let Some(file) = &mut self.file else { break };
            match file.write(&bytes[done..]) {
                Ok(0) => {
                    result = Err(io::ErrorKind::WriteZero.into());
                    break;
                }
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        if let Some(file) = &mut self.file {
            self.check.wrote(file, &bytes[..done]);
        }
        self.size += done as u64;
        self.written += done as u64;
        if self.size >= self.started + WRITEBACK {
            self.start_writeback();
        }
        if let Some(last) = done.checked_sub(1) {
            self.mid_line = bytes[last] != b'\n';
        }
        result.map_err(|error| (done, error))
    }
}

fn sentence(name: &std::path::Path, failure: &LogFailure) -> String {
    format!(
        "hook-runner: {}: the log ends at byte {}: {} failed: {}; the output goes on here only\n",
        name.display(),
        failure.at,
        failure.operation,
        failure.message
    )
}

fn ends_mid_line(file: &File, size: u64) -> bool {
    use std::os::unix::fs::FileExt;
    let mut last = [b'\n'];
    // A file opened for writing only cannot be read; its owner has ended its last line.
    size > 0 && file.read_exact_at(&mut last, size - 1).is_ok() && last != [b'\n']
}
