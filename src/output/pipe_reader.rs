//! The command's pipes, and how their bytes are taken: first looked at, then, when they are in the sinks, taken.
//! Reads the pipes and owns them; must not know where the bytes go.
//!
//! A look duplicates what the pipe holds into a pipe of our own (tee(2): references to pages, no copy) and reads it
//! there. So a byte leaves the command's pipe only after it has been written to the log, and a runner killed in between
//! has lost nothing that it read. What was looked at can also be moved to stdout as it is (splice(2)), without a
//! copy. A kernel without these calls gets read(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, tee};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{pipe2, read};
use rustix::buffer::spare_capacity;

use super::stream::Stream;

/// Bytes of one look. Larger ones leave the processor's second-level cache.
const CHUNK: usize = 256 * 1024;

/// pipe(7): 16 pages.
const DEFAULT_CAPACITY: usize = 64 * 1024;

/// In a burst of small writes the thread would be woken for each. After this many looks, none of them a `BURST_GAP`
/// after the one before, it lets the pipe fill whenever it has emptied it. Measured: half the CPU at 4 KiB per write.
const BURST: u32 = 16;
const BURST_GAP: Duration = Duration::from_millis(1);

/// Bytes per microsecond: a command that writes faster fills the pipe faster than the tee empties it, so it never
/// meets a nap; a slower one does not fill it during a nap of its capacity by this.
const FASTEST: u64 = 1024;

/// One pipe of the command.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) stream: Stream,
    pub(super) fd: OwnedFd,
    /// Bytes that the pipe holds.
    pub(super) capacity: usize,
}

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing will come any more.
    End,
    /// Not now.
    Nothing,
    /// So many bytes: [`PipeReader::seen`].
    Bytes(usize),
}

/// The pipe of our own.
#[derive(Debug)]
enum Spare {
    Untried,
    Open {
        read: OwnedFd,
        write: OwnedFd,
        /// Bytes that it holds.
        capacity: usize,
    },
    /// The kernel does not have it.
    Refused,
}

/// Where the command's bytes come from.
#[derive(Debug)]
pub(super) struct PipeReader {
    pub(super) sources: Vec<Source>,
    spare: Spare,
    /// The bytes of the last look. Made for the first: a command may print nothing.
    buffer: Vec<u8>,
    /// Of the last look, still in the pipe.
    untaken: usize,
    /// Looks in a row without a pause between them.
    burst: u32,
    /// The last look has seen the pipe's end.
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

    /// Which source has something to say, without waiting.
    pub(super) fn readable(&self) -> Option<usize> {
        self.sources.iter().position(|source| {
            let mut fds = [PollFd::new(source.fd.as_fd(), PollFlags::POLLIN)];
            matches!(poll(&mut fds, PollTimeout::ZERO), Ok(n) if n > 0)
        })
    }

    /// How long the pipe should be let fill before the next look, in a burst.
    pub(super) fn nap(&self) -> Option<Duration> {
        let capacity = self.sources.iter().map(|source| source.capacity).min()?;
        (self.burst >= BURST && self.emptied).then(|| Duration::from_micros(capacity as u64 / FASTEST))
    }

    /// A nap is no pause of the command's.
    pub(super) fn napped(&mut self) {
        self.last_look = Instant::now();
    }

    /// Looks at what the source holds, [`CHUNK`] bytes at most.
    pub(super) fn look(&mut self, index: usize) -> Look {
        let Some(source) = self.sources.get(index) else { return Look::End };
        if matches!(self.spare, Spare::Untried) {
            if is_over(source) {
                return Look::End;
            }
            // Not zeroed: of a command that prints little, few pages are touched.
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

    /// The bytes of the last look.
    pub(super) fn seen(&self) -> &[u8] {
        &self.buffer
    }

    /// The pipe in which the bytes of the last look still are, in case they are.
    pub(super) fn holder(&self, index: usize) -> Option<BorrowedFd<'_>> {
        self.sources.get(index).filter(|_| self.untaken > 0).map(|source| source.fd.as_fd())
    }

    /// The bytes of the last look are where they belong; the first `moved` of them have left the pipe already.
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

    /// A look has found `bytes` of the `most` that it could have found.
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
        // Writes that do not fill their pages need more of them.
        let capacity = pipe_capacity(&write, 2 * CHUNK);
        Self::Open { read, write, capacity }
    }
}

/// Gives a pipe another capacity in bytes, if that is allowed: an unprivileged user gets up to
/// /proc/sys/fs/pipe-max-size (1 MiB by default) and within pipe-user-pages-soft (pipe(7)). Returns what it has.
pub(super) fn pipe_capacity(pipe: &OwnedFd, bytes: usize) -> usize {
    let asked =
        i32::try_from(bytes).map_or(Err(Errno::EINVAL), |bytes| fcntl(pipe, FcntlArg::F_SETPIPE_SZ(bytes)));
    asked.ok().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(DEFAULT_CAPACITY)
}

/// Nobody has written anything, and nobody will.
fn is_over(source: &Source) -> bool {
    let mut fds = [PollFd::new(source.fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok() && fds[0].revents() == Some(PollFlags::POLLHUP)
}

/// Fills `buffer` to `bytes` from a pipe that holds no more.
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

/// Reads what fits behind what `buffer` holds; returns the bytes read.
fn read_more(from: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> nix::Result<usize> {
    rustix::io::read(from, spare_capacity(buffer)).map_err(|errno| Errno::from_raw(errno.raw_os_error()))
}
