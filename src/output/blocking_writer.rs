//! Makes writes that may block for ever on a detached thread, for a file description that is shared with others and
//! must not be made non-blocking. One write at a time; does not know whose stream it is.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use crate::support::blocking;

/// Bytes per write, small enough to see the progress of a slow reader.
const CHUNK: usize = 4096;

/// The file description and the write in progress.
#[derive(Debug)]
pub(super) struct BlockingWriter {
    fd: BorrowedFd<'static>,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    answer: Receiver<io::Result<usize>>,
    /// The answer, if it came while somebody waited.
    answered: Option<io::Result<usize>>,
    chunk: Vec<u8>,
    given_up: bool,
}

/// What was written after the write had been given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Late {
    pub(super) bytes: u64,
    pub(super) mid_line: bool,
}

impl BlockingWriter {
    pub(super) fn new(fd: BorrowedFd<'static>) -> Self {
        Self { fd, pending: None }
    }

    /// Returns the bytes written, or [`io::ErrorKind::WouldBlock`] while the write is in progress. Then call again with
    /// the same bytes, or give up.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.pending {
            Some(pending) if pending.given_up => return Err(io::ErrorKind::WouldBlock.into()),
            Some(_) => return self.answer().unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into())),
            None => {}
        }
        let chunk = bytes[..bytes.len().min(CHUNK)].to_vec();
        let (fd, written, (tell, answer)) = (self.fd, chunk.clone(), mpsc::channel());
        let begun = blocking::detached(move || {
            // Nobody may be waiting any more.
            let _ = tell.send(nix::unistd::write(fd, &written).map_err(io::Error::from));
        });
        if begun.is_err() {
            // No thread can be started (a limit of processes or memory): blocking is better than losing the message.
            return Ok(nix::unistd::write(fd, &chunk)?);
        }
        self.pending = Some(Pending { answer, answered: None, chunk, given_up: false });
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Whether the write in progress has ended within `left`; `None` if there is none.
    pub(super) fn wait(&mut self, left: Option<Duration>) -> Option<bool> {
        let pending = self.pending.as_mut()?;
        if pending.answered.is_none() {
            let answer = match left {
                Some(left) => pending.answer.recv_timeout(left),
                None => pending.answer.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            pending.answered = match answer {
                Ok(answer) => Some(answer),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Err(ended())),
            };
        }
        Some(pending.answered.is_some())
    }

    /// Counts the bytes of the write in progress as not written.
    pub(super) fn give_up(&mut self) {
        if let Some(pending) = &mut self.pending {
            pending.given_up = true;
        }
    }

    /// What was written since the last give-up.
    pub(super) fn late(&mut self) -> Option<Late> {
        let pending = self.pending.as_ref().filter(|pending| pending.given_up)?;
        let chunk = pending.chunk.clone();
        let written = self.answer()?.ok()?;
        Some(Late { bytes: written as u64, mid_line: chunk[..written].last() != Some(&b'\n') })
    }

    /// The result of the write, if it has ended; then the next one may start.
    fn answer(&mut self) -> Option<io::Result<usize>> {
        let pending = self.pending.as_mut()?;
        let answer = match pending.answered.take() {
            Some(answer) => answer,
            None => match pending.answer.try_recv() {
                Ok(answer) => answer,
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => Err(ended()),
            },
        };
        self.pending = None;
        Some(answer)
    }
}

impl AsFd for BlockingWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd
    }
}

fn ended() -> io::Error {
    io::Error::other("the thread that wrote has ended")
}
