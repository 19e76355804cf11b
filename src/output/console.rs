//! The runner's stdout or stderr as a sink that may be closed or blocked without blocking the log. Writes to descriptor
//! 1 or 2 only.
//!
//! The file description is shared with others, so it is never made non-blocking; and what poll(2) says may be outdated
//! at the write, because another process may have filled it. So one of three ways is used: a non-blocking description
//! of our own; writes that are told not to wait; or a thread that may block for ever ([`super::blocking_writer`]).

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{SpliceFFlags, splice};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::FileType;
use rustix::io::{Errno as Refusal, ReadWriteFlags, pwritev2};

use super::blocking_writer::BlockingWriter;
use super::progress::Progress;
use crate::support::cause::words;

/// How long a blocked stream may delay a line of the runner's own.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Interval of checks whether the attempt's end hurries.
const LOOK: Duration = Duration::from_millis(100);

/// Smaller amounts are written: moved by splice(2), they would occupy a whole page of the pipe.
const WORTH_MOVING: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Console {
    number: i32,
    way: Option<Way>,
    /// Why the stream is closed for good.
    pub(super) gone: Option<String>,
    /// Bytes not written since it blocked.
    blocked: u64,
    /// All bytes not written because it was blocked or closed.
    pub(super) missed: u64,
    pub(super) mid_line: bool,
    /// Tells when nothing may be waited for any longer.
    progress: Option<Arc<Progress>>,
}

/// How to write without blocking.
#[derive(Debug)]
enum Way {
    /// Regular files never block in the sense of poll(2).
    Plain(BorrowedFd<'static>),
    /// Our own non-blocking description of the same pipe or terminal.
    NonBlocking { file: File, pipe: bool },
    /// The shared description with writes that do not wait (`RWF_NOWAIT`: pipes since Linux 6.4, sockets).
    Unwaiting { fd: BorrowedFd<'static>, pipe: bool },
    /// The shared description, written by a detached thread.
    BlockingWriter { beside: BlockingWriter, pipe: bool },
}

impl Console {
    fn new(number: i32) -> Self {
        Self { number, way: None, gone: None, blocked: 0, missed: 0, mid_line: false, progress: None }
    }

    /// A stream that is waited for until `progress` hurries.
    pub(super) fn held_by(number: i32, progress: Arc<Progress>) -> Self {
        Self { progress: Some(progress), ..Self::new(number) }
    }

    /// For a few lines: without a description of our own, which would cost more than they do.
    pub(super) fn careful(number: i32) -> Self {
        Self { way: Some(Way::Unwaiting { fd: shared(number), pipe: false }), ..Self::new(number) }
    }

    /// As [`Console::write`]. If `holder` is a pipe that begins with the same bytes and this stream is a pipe too, they
    /// are moved without a copy (splice(2)). Returns how many were moved.
    pub(super) fn forward(
        &mut self,
        bytes: &[u8],
        holder: Option<BorrowedFd<'_>>,
        patience: Option<Duration>,
    ) -> usize {
        let (moved, blocked) = match holder {
            Some(holder) if bytes.len() >= WORTH_MOVING && self.gone.is_none() && self.blocked == 0 => {
                self.move_from(holder, bytes.len(), patience)
            }
            _ => (0, false),
        };
        if let Some(last) = moved.checked_sub(1) {
            self.mid_line = bytes[last] != b'\n';
        }
        // The patience holds for both together.
        let patience = patience.map(|patience| if blocked { Duration::ZERO } else { patience });
        self.write(&bytes[moved..], patience);
        moved
    }

    /// Stops early for any reason; the following write meets the same reason and handles it. Returns the bytes moved,
    /// and whether `patience` has passed.
    fn move_from(
        &mut self,
        holder: BorrowedFd<'_>,
        bytes: usize,
        patience: Option<Duration>,
    ) -> (usize, bool) {
        if self.way.is_none() {
            self.way = Way::to(self.number).ok();
        }
        let mut done = 0;
        let mut waited = false;
        while done < bytes {
            let Some(pipe) = self.way.as_ref().and_then(Way::pipe) else { break };
            match splice(holder, None, pipe, None, bytes - done, SpliceFFlags::SPLICE_F_NONBLOCK) {
                Ok(0) => break,
                Ok(n) => {
                    done += n;
                    waited = false;
                }
                Err(Errno::EINTR) => {}
                // The stream is full, or somebody else has emptied the holder.
                Err(Errno::EAGAIN) if !waited => {
                    let since = Instant::now();
                    while !self.wait(until_next_look(patience, since)) {
                        if patience.is_none() || self.is_over(patience, since) {
                            return (done, true);
                        }
                    }
                    waited = true;
                }
                Err(_) => break,
            }
        }
        (done, false)
    }

    /// Writes all of `bytes`. After `patience` without progress, skips the rest and reports that once the stream
    /// accepts data again.
    pub(super) fn write(&mut self, bytes: &[u8], patience: Option<Duration>) {
        if bytes.is_empty() {
            return;
        }
        if self.gone.is_some() {
            self.missed += bytes.len() as u64;
            return;
        }
        if self.blocked > 0 && !self.resume() {
            self.skip(bytes.len());
            return;
        }
        let written = self.push(bytes, patience);
        if let Some(last) = written.checked_sub(1) {
            self.mid_line = bytes[last] != b'\n';
        }
        if written < bytes.len() {
            self.skip(bytes.len() - written);
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.missed += bytes as u64;
        if self.gone.is_none() {
            self.blocked += bytes as u64;
        }
    }

    /// After a block: tells the reader what is missing.
    fn resume(&mut self) -> bool {
        if let Some(Way::BlockingWriter { beside, .. }) = &mut self.way
            && let Some(late) = beside.late()
        {
            // They were counted as missed when they were given up.
            self.missed -= late.bytes;
            self.blocked -= late.bytes;
            self.mid_line = late.mid_line;
            if self.blocked == 0 {
                return true;
            }
        }
        let newline = if self.mid_line { "\n" } else { "" };
        let marker = format!(
            "{newline}hook-runner: {} bytes are missing here: this stream was blocked\n",
            self.blocked
        );
        if self.push(marker.as_bytes(), Some(Duration::ZERO)) < marker.len() {
            return false;
        }
        self.blocked = 0;
        self.mid_line = false;
        true
    }

    /// At the end of the output: tells what is missing, if somebody reads again.
    pub(super) fn tell_what_is_missing(&mut self) {
        if self.gone.is_none() && self.blocked > 0 {
            self.resume();
        }
    }

    /// Whether to stop waiting for what began at `since`.
    fn is_over(&self, patience: Option<Duration>, since: Instant) -> bool {
        let hurries = self.progress.as_ref().is_some_and(|progress| progress.hurries());
        patience.is_some_and(|patience| hurries || since.elapsed() >= patience)
    }

    /// Returns the number of bytes written.
    fn push(&mut self, bytes: &[u8], patience: Option<Duration>) -> usize {
        let mut done = 0;
        let mut since = Instant::now();
        while done < bytes.len() {
            match self.attempt(&bytes[done..]) {
                Ok(n) => {
                    done += n;
                    since = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.is_over(patience, since) {
                        if let Some(Way::BlockingWriter { beside, .. }) = &mut self.way {
                            beside.give_up();
                        }
                        return done;
                    }
                    self.wait(until_next_look(patience, since));
                }
                Err(error) => {
                    self.gone = Some(words(&error));
                    return done;
                }
            }
        }
        done
    }

    fn attempt(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.way.is_none() {
            self.way = Some(Way::to(self.number)?);
        }
        if let Some(Way::Unwaiting { fd, .. }) = &self.way {
            if let Some(written) = unless_it_waits(*fd, bytes)? {
                return Ok(written);
            }
            self.way = Some(Way::to(self.number)?.or_beside());
        }
        match &mut self.way {
            Some(Way::Plain(fd)) => Ok(nix::unistd::write(fd.as_fd(), bytes)?),
            Some(Way::NonBlocking { file, .. }) => file.write(bytes),
            Some(Way::BlockingWriter { beside, .. }) => beside.write(bytes),
            Some(Way::Unwaiting { .. }) | None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Whether the stream accepts data within `left`.
    fn wait(&mut self, left: Option<Duration>) -> bool {
        if let Some(Way::BlockingWriter { beside, .. }) = &mut self.way
            && let Some(answered) = beside.wait(left)
        {
            return answered;
        }
        let fd = match &self.way {
            Some(Way::Plain(fd) | Way::Unwaiting { fd, .. }) => fd.as_fd(),
            Some(Way::NonBlocking { file, .. }) => file.as_fd(),
            Some(Way::BlockingWriter { beside, .. }) => beside.as_fd(),
            None => return false,
        };
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            // Rounded up, so that less than a millisecond does not become a busy loop.
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        ready(fd, timeout)
    }
}

/// How long to wait before the next check whether the attempt's end hurries, within `patience` from `since`.
fn until_next_look(patience: Option<Duration>, since: Instant) -> Option<Duration> {
    patience.map(|patience| patience.saturating_sub(since.elapsed()).min(LOOK))
}

impl Way {
    fn to(number: i32) -> io::Result<Self> {
        let fd = shared(number);
        let kind = FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode);
        if kind == FileType::RegularFile {
            return Ok(Self::Plain(fd));
        }
        let pipe = kind == FileType::Fifo;
        if pipe || kind == FileType::CharacterDevice {
            let own = OpenOptions::new()
                .write(true)
                .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
                .open(format!("/proc/self/fd/{number}"));
            // Refused if the pipe belongs to another user; ENXIO if a FIFO has lost its reader.
            if let Ok(own) = own {
                return Ok(Self::NonBlocking { file: own, pipe });
            }
        }
        Ok(Self::Unwaiting { fd, pipe })
    }

    /// Replaces a way that turned out to need waiting. A regular file may be on a volume that hangs.
    fn or_beside(self) -> Self {
        match self {
            Self::Plain(fd) => Self::BlockingWriter { beside: BlockingWriter::new(fd), pipe: false },
            Self::Unwaiting { fd, pipe } => Self::BlockingWriter { beside: BlockingWriter::new(fd), pipe },
            way => way,
        }
    }

    /// The descriptor, if it is a pipe.
    fn pipe(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::NonBlocking { file, pipe: true } => Some(file.as_fd()),
            Self::Unwaiting { fd, pipe: true } => Some(fd.as_fd()),
            Self::BlockingWriter { beside, pipe: true } => Some(beside.as_fd()),
            _ => None,
        }
    }
}

/// The runner's own stream. Not duplicated, so that messages work without a free descriptor.
const fn shared(number: i32) -> BorrowedFd<'static> {
    // SAFETY: descriptors 1 and 2 stay open for the life of the program: the standard library opens 0 to 2 if they are
    // closed, and nothing here closes them.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Writes what there is room for, or returns [`io::ErrorKind::WouldBlock`]. `None` if the kernel cannot do this without
/// waiting: terminals, regular files, pipes before Linux 6.4.
fn unless_it_waits(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<Option<usize>> {
    // An offset of -1 means the current position, as for write(2).
    let written = pwritev2(fd, &[IoSlice::new(bytes)], u64::MAX, ReadWriteFlags::NOWAIT);
    match written {
        Ok(written) => Ok(Some(written)),
        Err(Refusal::AGAIN) if !ready(fd, PollTimeout::ZERO) => Err(io::ErrorKind::WouldBlock.into()),
        // Not supported by the kernel or the file, or refused by a seccomp filter.
        Err(Refusal::AGAIN | Refusal::OPNOTSUPP | Refusal::INVAL | Refusal::NOSYS | Refusal::PERM) => {
            Ok(None)
        }
        Err(errno) => Err(errno.into()),
    }
}

fn ready(fd: BorrowedFd<'_>, timeout: PollTimeout) -> bool {
    // POLLERR (no reader left) counts: the write then answers EPIPE.
    matches!(poll(&mut [PollFd::new(fd, PollFlags::POLLOUT)], timeout), Ok(n) if n > 0)
}

/// Whether stdout and stderr are the same file or terminal, so that an unfinished line on one is continued on the
/// other.
pub(super) fn are_one() -> bool {
    let stat = |number| rustix::fs::fstat(shared(number)).map(|stat| (stat.st_dev, stat.st_ino));
    matches!((stat(1), stat(2)), (Ok(stdout), Ok(stderr)) if stdout == stderr)
}

/// Whether [`are_one`] holds for anything but a terminal or another device.
pub(super) fn share_a_file() -> bool {
    let kind = |stat: rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode);
    are_one() && rustix::fs::fstat(shared(2)).is_ok_and(|stat| kind(stat) != FileType::CharacterDevice)
}
