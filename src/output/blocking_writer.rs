//! Writes that may wait for ever, by a thread that nobody has to wait for: a description that is shared with others and
//! cannot be asked not to wait. One write at a time; must not know whose stream it is.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use crate::support::blocking;

/// Bytes of one write: what a slow reader takes is seen after each.
const CHUNK: usize = 4096;

/// A description and the write that is under way.
#[derive(Debug)]
pub(super) struct BlockingWriter {
    fd: BorrowedFd<'static>,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    answer: Receiver<io::Result<usize>>,
    /// Has come while it was waited for.
    answered: Option<io::Result<usize>>,
    chunk: Vec<u8>,
    given_up: bool,
}

/// What was written after it had been given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Late {
    pub(super) bytes: u64,
    pub(super) mid_line: bool,
}

impl BlockingWriter {
    pub(super) fn new(fd: BorrowedFd<'static>) -> Self {
        Self { fd, pending: None }
    }

    /// The bytes written; [`io::ErrorKind::WouldBlock`] while the write is under way. It is then asked for with the same
    /// bytes again, or given up.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.pending {
            Some(pending) if pending.given_up => return Err(io::ErrorKind::WouldBlock.into()),
            Some(_) => return self.answer().unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into())),
            None => {}
        }
        let chunk = bytes[..bytes.len().min(CHUNK)].to_vec();
        let (fd, written, (tell, answer)) = (self.fd, chunk.clone(), mpsc::channel());
        let begun = blocking::detached(move || {
            // Nobody asks any more when the program has ended.
            let _ = tell.send(nix::unistd::write(fd, &written).map_err(io::Error::from));
        });
        if begun.is_err() {
            // No thread can be had (a limit of processes or memory): to wait is better than to say nothing.
            return Ok(nix::unistd::write(fd, &chunk)?);
        }
        self.pending = Some(Pending { answer, answered: None, chunk, given_up: false });
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Whether the write under way has ended within `left`; None when there is none.
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

    /// The bytes of the write under way count as not written.
    pub(super) fn give_up(&mut self) {
        if let Some(pending) = &mut self.pending {
            pending.given_up = true;
        }
    }

    /// What has been written since it was given up.
    pub(super) fn late(&mut self) -> Option<Late> {
        let pending = self.pending.as_ref().filter(|pending| pending.given_up)?;
        let chunk = pending.chunk.clone();
        let written = self.answer()?.ok()?;
        Some(Late { bytes: written as u64, mid_line: chunk[..written].last() != Some(&b'\n') })
    }

    /// The answer, if it has come; then the next write can be made.
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
