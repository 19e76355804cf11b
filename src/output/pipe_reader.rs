//! Reads the command's pipes in two steps: look at the bytes, then, once they are in the sinks, take them. Owns the
//! pipes; does not know where the bytes go.
//!
//! A look duplicates the pipe's content into a pipe of our own (tee(2): references to pages, no copy) and reads it
//! there. A byte leaves the command's pipe only after it was written to the log, so that a killed runner loses nothing
//! it has read. The duplicate can also be moved to stdout without a copy (splice(2)). Kernels without these calls get
//! read(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, tee};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{pipe2, read};
use rustix::buffer::spare_capacity;

use super::stream::Stream;

/// Bytes per look. More would not fit the processor's second-level cache.
const CHUNK: usize = 256 * 1024;

/// Default capacity (pipe(7): 16 pages).
const DEFAULT_CAPACITY: usize = 64 * 1024;

/// A burst of small writes would wake the thread for each of them. After this many looks with less than `BURST_GAP`
/// between them, the thread naps each time it has emptied the pipe, so that the pipe can fill. Measured: half the CPU
/// at 4 KiB per write.
const BURST: u32 = 16;
const BURST_GAP: Duration = Duration::from_millis(1);

/// Bytes per microsecond. A faster command keeps the pipe full, so that the thread never naps; a slower one cannot fill
/// the pipe during a nap of capacity divided by this.
const FASTEST: u64 = 1024;

#[derive(Debug)]
pub(super) struct Source {
    pub(super) stream: Stream,
    pub(super) fd: OwnedFd,
    /// The pipe's capacity in bytes.
    pub(super) capacity: usize,
}

/// The result of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// The end of the pipe.
    End,
    /// Nothing yet.
    Nothing,
    /// This many bytes, in [`PipeReader::seen`].
    Bytes(usize),
}

/// The duplicate pipe.
#[derive(Debug)]
enum Spare {
    Untried,
    Open {
        read: OwnedFd,
        write: OwnedFd,
        /// Its capacity in bytes.
        capacity: usize,
    },
    /// The kernel does not support it.
    Refused,
}

/// The command's pipes and the state of reading them.
#[derive(Debug)]
pub(super) struct PipeReader {
    pub(super) sources: Vec<Source>,
    spare: Spare,
    /// The bytes of the last look. Allocated at the first look, because a command may print nothing.
    buffer: Vec<u8>,
    /// Bytes of the last look that are still in the pipe.
    untaken: usize,
    /// Looks in a row without a pause.
    burst: u32,
    /// The last look emptied the pipe.
    emptied: bool,
    last_look: Instant,
}

impl PipeReader {
    pub(super) fn new() -> Self {
        Self {
            sources: Vec::new(),
            spare: Spare::Untried,
            buffer: Vec::new(),
            untaken: 0,
            burst: 0,
            emptied: false,
            last_look: Instant::now(),
        }
    }

    /// A pipe that has something to read now.
    pub(super) fn readable(&self) -> Option<usize> {
        self.sources.iter().position(|source| {
            let mut fds = [PollFd::new(source.fd.as_fd(), PollFlags::POLLIN)];
            matches!(poll(&mut fds, PollTimeout::ZERO), Ok(n) if n > 0)
        })
    }

    /// During a burst: how long to let the pipe fill before the next look.
    pub(super) fn nap(&self) -> Option<Duration> {
        let capacity = self.sources.iter().map(|source| source.capacity).min()?;
        (self.burst >= BURST && self.emptied).then(|| Duration::from_micros(capacity as u64 / FASTEST))
    }

    /// A nap does not count as a pause of the command.
    pub(super) fn napped(&mut self) {
        self.last_look = Instant::now();
    }

    /// Looks at what the pipe holds, at most [`CHUNK`] bytes.
    pub(super) fn look(&mut self, index: usize) -> Look {
        let Some(source) = self.sources.get(index) else { return Look::End };
        if matches!(self.spare, Spare::Untried) {
            if is_over(source) {
                return Look::End;
            }
            // Not zeroed, so that short output touches few pages.
            self.buffer.reserve_exact(CHUNK);
            self.spare = Spare::open();
        }
        self.buffer.clear();
        let mut most = CHUNK.min(source.capacity);
        let looked = match &self.spare {
            Spare::Open { read: from, write, capacity } => {
                most = most.min(*capacity);
                match tee(&source.fd, write, CHUNK, SpliceFFlags::SPLICE_F_NONBLOCK) {
                    Err(errno) if !matches!(errno, Errno::EAGAIN | Errno::EINTR) => {
                        self.spare = Spare::Refused;
                        read_more(source.fd.as_fd(), &mut self.buffer)
                    }
                    Ok(n) => {
                        self.untaken = n;
                        read_all(from.as_fd(), &mut self.buffer, n).map(|()| n)
                    }
                    nothing => nothing,
                }
            }
            _ => read_more(source.fd.as_fd(), &mut self.buffer),
        };
        match looked {
            Ok(0) => Look::End,
            Ok(n) => {
                self.count(n, most);
                Look::Bytes(n)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Look::Nothing,
            Err(_) => Look::End,
        }
    }

    pub(super) fn seen(&self) -> &[u8] {
        &self.buffer
    }

    /// The duplicate pipe, if it still holds the bytes of the last look.
    pub(super) fn holder(&self, index: usize) -> Option<BorrowedFd<'_>> {
        self.sources.get(index).filter(|_| self.untaken > 0).map(|source| source.fd.as_fd())
    }

    /// Takes the bytes of the last look out of the command's pipe. The first `moved` have left the duplicate already.
    pub(super) fn taken(&mut self, index: usize, moved: usize) {
        let mut left = std::mem::take(&mut self.untaken).saturating_sub(moved);
        while left > 0 {
            let Some(source) = self.sources.get(index) else { return };
            match read(&source.fd, &mut self.buffer[..left]) {
                Ok(0) => return,
                Ok(n) => left -= n,
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Counts a look that found `bytes` of at most `most`.
    fn count(&mut self, bytes: usize, most: usize) {
        let now = Instant::now();
        self.burst = if now.duration_since(self.last_look) < BURST_GAP { self.burst + 1 } else { 0 };
        self.emptied = bytes < most;
        self.last_look = now;
    }
}

impl Spare {
    fn open() -> Self {
        let Ok((read, write)) = pipe2(OFlag::O_CLOEXEC) else { return Self::Refused };
        // Small writes leave their pages partly empty, so more pages are needed.
        let capacity = pipe_capacity(&write, 2 * CHUNK);
        Self::Open { read, write, capacity }
    }
}

/// Sets a pipe's capacity in bytes if permitted: an unprivileged user gets up to /proc/sys/fs/pipe-max-size (1 MiB by
/// default), within pipe-user-pages-soft (pipe(7)). Returns the capacity.
pub(super) fn pipe_capacity(pipe: &OwnedFd, bytes: usize) -> usize {
    let asked =
        i32::try_from(bytes).map_or(Err(Errno::EINVAL), |bytes| fcntl(pipe, FcntlArg::F_SETPIPE_SZ(bytes)));
    asked.ok().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(DEFAULT_CAPACITY)
}

/// All writers have closed the pipe without writing anything.
fn is_over(source: &Source) -> bool {
    let mut fds = [PollFd::new(source.fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok() && fds[0].revents() == Some(PollFlags::POLLHUP)
}

/// Fills `buffer` up to `bytes` from a pipe that holds no more.
fn read_all(from: BorrowedFd<'_>, buffer: &mut Vec<u8>, bytes: usize) -> nix::Result<()> {
    while buffer.len() < bytes {
        match read_more(from, buffer) {
            Ok(0) => return Err(Errno::EIO),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Appends what fits into `buffer`; returns the number of bytes read.
fn read_more(from: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> nix::Result<usize> {
    rustix::io::read(from, spare_capacity(buffer)).map_err(|errno| Errno::from_raw(errno.raw_os_error()))
}
