//! The tee's thread: its jobs, the way from the command's pipes through redaction to the sinks, and when it waits. The
//! only code that reads and writes during the attempt.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::{Arc, mpsc};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll, ppoll};
use nix::sys::eventfd::EventFd;
use tokio::sync::oneshot;

use super::line_prefix::LinePrefix;
use super::log::Log;
use super::options::Options;
use super::pipe_reader::{Look, PipeReader, Source};
use super::progress::Progress;
use super::redact::{self, Redactor};
use super::report::Report;
use super::sinks::Sinks;
use super::stream::Stream;

/// How much is still read from pipes that are given up: their capacity.
const LAST_BYTES: usize = 1 << 20;

/// After this many milliseconds without output, the command counts as pausing, and what redaction holds back is
/// written.
const PAUSE: u8 = 100;

/// The jobs of the thread, done in order.
#[derive(Debug)]
pub(super) enum Job {
    Attach { sources: Vec<Source>, done: oneshot::Sender<()> },
    Detach,
    Note(String),
    Written(oneshot::Sender<u64>),
    Finish(oneshot::Sender<(Report, Option<File>)>),
}

#[derive(Debug)]
pub(super) struct Worker {
    queue: mpsc::Receiver<Job>,
    wake: Arc<EventFd>,
    pipes: PipeReader,
    done: VecDeque<oneshot::Sender<()>>,
    redactor: Option<Redactor>,
    /// The redaction state of each stream.
    redacted: Vec<(Stream, redact::Stream)>,
    sinks: Sinks,
}

impl Worker {
    pub(super) fn new(
        options: Options,
        queue: mpsc::Receiver<Job>,
        wake: Arc<EventFd>,
        progress: Arc<Progress>,
    ) -> Self {
        let log = options.log.map(|log| Log::new(log.file, log.name, log.max));
        let prefix = LinePrefix::new(options.timestamps, options.annotate);
        Self {
            queue,
            wake,
            pipes: PipeReader::new(),
            done: VecDeque::new(),
            redactor: options.redact,
            redacted: Vec::new(),
            sinks: Sinks::new(progress, log, prefix),
        }
    }

    /// Runs until the output has ended or the handle is dropped.
    pub(super) fn work(mut self) {
        loop {
            self.nap();
            let ready = self.wait();
            if ready.jobs {
                // The counter only wakes us; the queue holds the jobs.
                let _ = self.wake.read();
                loop {
                    match self.queue.try_recv() {
                        Ok(Job::Finish(reply)) => {
                            // The caller may have stopped waiting.
                            let _ = reply.send(self.sinks.finish());
                            return;
                        }
                        Ok(job) => self.run(job),
                        Err(mpsc::TryRecvError::Empty) => break,
                        Err(mpsc::TryRecvError::Disconnected) => return,
                    }
                }
            }
            for index in (0..2).rev().filter(|&index| ready.sources[index]) {
                self.pump(index);
            }
            if ready.pause || self.pipes.sources.is_empty() {
                self.flush();
            }
            self.tell_when_drained();
        }
    }

    /// Lets the pipe fill during a burst. A job still wakes the thread.
    fn nap(&mut self) {
        if let Some(nap) = self.pipes.nap() {
            let mut fds = [PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
            let _ = ppoll(&mut fds, Some(nap.into()), None);
            self.pipes.napped();
        }
    }

    fn wait(&self) -> Ready {
        let mut fds = Vec::with_capacity(3);
        fds.push(PollFd::new(self.wake.as_fd(), PollFlags::POLLIN));
        let sources = self.pipes.sources.iter();
        fds.extend(sources.map(|source| PollFd::new(source.fd.as_fd(), PollFlags::POLLIN)));
        // All signals are blocked in this thread, so that only a lack of kernel memory can fail this: try again.
        let held = self.redacted.iter().any(|(_, stream)| stream.holds());
        let timeout = if held { PollTimeout::from(PAUSE) } else { PollTimeout::NONE };
        let pause = poll(&mut fds, timeout) == Ok(0);
        let at = |index: usize| fds.get(index).and_then(PollFd::any).unwrap_or(false);
        Ready { jobs: at(0), sources: [at(1), at(2)], pause }
    }

    fn run(&mut self, job: Job) {
        match job {
            Job::Attach { sources, done } => {
                self.redacted = match &self.redactor {
                    Some(redactor) => {
                        sources.iter().map(|source| (source.stream, redactor.stream())).collect()
                    }
                    None => Vec::new(),
                };
                self.pipes.sources = sources;
                self.done.push_back(done);
            }
            Job::Detach => self.detach(),
            Job::Note(sentence) => match &self.redactor {
                Some(redactor) => self.sinks.note(&redactor.redact(sentence.as_bytes())),
                None => self.sinks.note(sentence.as_bytes()),
            },
            // The caller may have stopped waiting.
            Job::Written(reply) => drop(reply.send(self.sinks.written())),
            Job::Finish(_) => {}
        }
    }

    /// Looks at a pipe, writes what it holds, then takes it. Removes the pipe at its end. Returns the number of bytes.
    fn pump(&mut self, index: usize) -> usize {
        let bytes = match self.pipes.look(index) {
            Look::Bytes(bytes) => bytes,
            Look::Nothing => return 0,
            Look::End => {
                if index < self.pipes.sources.len() {
                    self.pipes.sources.remove(index);
                }
                return 0;
            }
        };
        let Some(stream) = self.pipes.sources.get(index).map(|source| source.stream) else { return 0 };
        let mut seen = &self.pipes.seen()[..bytes];
        if let Some((_, state)) = self.redacted.iter_mut().find(|(other, _)| *other == stream) {
            let pushed = state.push(seen);
            self.sinks.pass(pushed.bytes, stream, None);
            seen = &seen[..pushed.verbatim];
        }
        let moved = self.sinks.pass(seen, stream, self.pipes.holder(index));
        self.pipes.taken(index, moved);
        bytes
    }

    /// Writes what was held back: the command pauses or has closed its output.
    fn flush(&mut self) {
        for (stream, state) in self.redacted.iter_mut().filter(|(_, state)| state.holds()) {
            self.sinks.pass(state.flush(), *stream, None);
        }
    }

    fn detach(&mut self) {
        let mut left = LAST_BYTES;
        while left > 0 && !self.pipes.sources.is_empty() {
            let Some(index) = self.pipes.readable() else { break };
            left = left.saturating_sub(self.pump(index));
        }
        self.pipes.sources.clear();
        self.flush();
    }

    fn tell_when_drained(&mut self) {
        if self.pipes.sources.is_empty() {
            for done in self.done.drain(..) {
                // Nobody may be waiting any more.
                let _ = done.send(());
            }
        }
    }
}

struct Ready {
    /// There was no output for a while.
    pause: bool,
    jobs: bool,
    sources: [bool; 2],
}
