//! The tee's thread: reads the command's pipes, writes the log, then stdout. The only place that does.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll, ppoll};
use nix::sys::eventfd::EventFd;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, read};
use tokio::sync::oneshot;

use super::console::{Console, PATIENCE};
use super::log::Log;
use super::progress::{
    ENTERING_END, IDLE, Progress, SYNCING_LOG, SYNCING_VOLUME, WRITING_LOG, WRITING_STDOUT,
};
use super::redact::{self, Redactor};
use super::stamp::Stamper;
use super::tee::{Audience, Closing, Options, Report, Stream};

/// Bytes of one read. Larger ones leave the processor's second-level cache.
const CHUNK: usize = 64 * 1024;

/// What is still taken from pipes that are given up: their capacity.
const LAST_BYTES: usize = 1 << 20;

/// How long stderr may hold up the tee with one line of the runner's own.
const NOTE_PATIENCE: Duration = PATIENCE;

/// A command that has printed nothing for this many milliseconds pauses: what the redaction holds back is shown.
const PAUSE: u8 = 100;

/// In a burst of small writes the thread would be woken for each. After this many reads, none of them a `BURST_GAP`
/// after the one before, it lets the pipe fill whenever it has emptied it. Measured: half the CPU at 4 KiB per write.
const BURST: u32 = 16;
const BURST_GAP: Duration = Duration::from_millis(1);

/// Bytes per microsecond that no command writes into a pipe: so long a nap never makes it wait.
const FASTEST: u64 = 4096;

/// One pipe of the command.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) stream: Stream,
    pub(super) fd: OwnedFd,
    /// Bytes that the pipe holds.
    pub(super) capacity: u64,
}

/// What the thread is asked to do, in order.
#[derive(Debug)]
pub(super) enum Job {
    Attach { sources: Vec<Source>, done: oneshot::Sender<()> },
    Detach,
    Note { line: String, to: Audience },
    Frame(Vec<u8>),
    Report(oneshot::Sender<Report>),
    Seal { closing: Closing, reply: oneshot::Sender<Report> },
}

/// The state of the thread.
#[derive(Debug)]
pub(super) struct Worker {
    queue: mpsc::Receiver<Job>,
    wake: Arc<EventFd>,
    progress: Arc<Progress>,
    /// Jobs done.
    jobs: u64,
    sources: Vec<Source>,
    done: VecDeque<oneshot::Sender<()>>,
    log: Option<Log>,
    stamper: Stamper,
    redactor: Option<Redactor>,
    /// One state per stream of the command.
    redacted: Vec<(Stream, redact::Stream)>,
    /// Reads in a row without a pause between them.
    burst: u32,
    /// The last read has emptied the pipe.
    emptied: bool,
    last_read: Instant,
    stdout: Console,
    /// stderr of the runner, where the command's goes when the streams are kept apart.
    stderr: Console,
}

impl Worker {
    pub(super) fn new(
        options: Options,
        queue: mpsc::Receiver<Job>,
        wake: Arc<EventFd>,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            queue,
            wake,
            progress,
            jobs: 0,
            sources: Vec::new(),
            done: VecDeque::new(),
            log: options.log.map(|log| Log::new(log.file, log.directory, log.name, options.max_log)),
            stamper: Stamper::new(options.timestamps, options.annotate),
            redactor: options.redact,
            redacted: Vec::new(),
            burst: 0,
            emptied: false,
            last_read: Instant::now(),
            stdout: Console::new(1),
            stderr: Console::new(2),
        }
    }

    /// Until the log is sealed or the handle is gone.
    pub(super) fn work(mut self) {
        // Not zeroed: a command that prints little would have all of its pages touched for nothing.
        let mut buffer = Vec::with_capacity(CHUNK);
        loop {
            if self.burst >= BURST && self.emptied {
                self.nap();
            }
            let ready = self.wait();
            if ready.jobs {
                // The counter is only there to wake us; the queue says what to do.
                let _ = self.wake.read();
                loop {
                    match self.queue.try_recv() {
                        Ok(Job::Seal { closing, reply }) => {
                            let report = self.seal(closing);
                            // The caller may have stopped waiting.
                            let _ = reply.send(report);
                            return;
                        }
                        Ok(job) => {
                            self.run(job, &mut buffer);
                            self.jobs += 1;
                        }
                        Err(mpsc::TryRecvError::Empty) => break,
                        Err(mpsc::TryRecvError::Disconnected) => return,
                    }
                }
            }
            for index in (0..2).rev().filter(|&index| ready.sources[index]) {
                self.pump(index, &mut buffer);
            }
            if ready.pause || self.sources.is_empty() {
                self.flush();
            }
            self.tell_when_drained();
        }
    }

    fn wait(&self) -> Ready {
        let mut fds = Vec::with_capacity(3);
        fds.push(PollFd::new(self.wake.as_fd(), PollFlags::POLLIN));
        fds.extend(self.sources.iter().map(|source| PollFd::new(source.fd.as_fd(), PollFlags::POLLIN)));
        // All signals are blocked in this thread, so the only error left is a lack of kernel memory: try again.
        let held = self.redacted.iter().any(|(_, stream)| stream.holds());
        let timeout = if held { PollTimeout::from(PAUSE) } else { PollTimeout::NONE };
        let pause = poll(&mut fds, timeout) == Ok(0);
        let at = |index: usize| fds.get(index).and_then(PollFd::any).unwrap_or(false);
        Ready { jobs: at(0), sources: [at(1), at(2)], pause }
    }

    fn run(&mut self, job: Job, buffer: &mut Vec<u8>) {
        match job {
            Job::Attach { sources, done } => {
                self.redacted = match &self.redactor {
                    Some(redactor) => {
                        sources.iter().map(|source| (source.stream, redactor.stream())).collect()
                    }
                    None => Vec::new(),
                };
                self.sources = sources;
                self.done.push_back(done);
            }
            Job::Detach => self.detach(buffer),
            Job::Note { line, to } => self.note(&line, to),
            Job::Frame(bytes) => self.append_line(&bytes),
            // The caller may have stopped waiting.
            Job::Report(reply) => drop(reply.send(self.report())),
            Job::Seal { .. } => {}
        }
    }

    /// One read and its writes. The source is removed at its end; returns the bytes read.
    fn pump(&mut self, index: usize, buffer: &mut Vec<u8>) -> usize {
        let Some(source) = self.sources.get(index) else { return 0 };
        let stream = source.stream;
        buffer.clear();
        match read(source.fd.as_fd(), spare_capacity(buffer)) {
            Ok(0) => {
                self.sources.remove(index);
                0
            }
            Ok(n) => {
                self.take(buffer, stream);
                self.count_burst(n);
                n
            }
            Err(Errno::INTR | Errno::AGAIN) => 0,
            Err(_) => {
                self.sources.remove(index);
                0
            }
        }
    }

    fn count_burst(&mut self, bytes: usize) {
        let now = Instant::now();
        self.burst = if now.duration_since(self.last_read) < BURST_GAP { self.burst + 1 } else { 0 };
        self.emptied = bytes < CHUNK;
        self.last_read = now;
    }

    /// Lets the pipe fill; a job still wakes the thread.
    fn nap(&self) {
        let mut fds = [PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
        let capacity = self.sources.iter().map(|source| source.capacity).min().unwrap_or(0);
        let _ = ppoll(&mut fds, Some(Duration::from_micros(capacity / FASTEST).into()), None);
    }

    /// Bytes of the command, through the redaction if there is one.
    fn take(&mut self, bytes: &[u8], stream: Stream) {
        let Some(index) = self.redacted.iter().position(|(other, _)| *other == stream) else {
            return self.pass(bytes, stream);
        };
        // Lent out for the call: what it gives is in its own buffer.
        let (_, mut state) = self.redacted.swap_remove(index);
        self.pass(state.push(bytes), stream);
        self.redacted.push((stream, state));
    }

    /// The command pauses or has closed its output: nothing is held back any longer.
    fn flush(&mut self) {
        for (stream, mut state) in std::mem::take(&mut self.redacted) {
            if state.holds() {
                self.pass(state.flush(), stream);
            }
            self.redacted.push((stream, state));
        }
    }

    fn pass(&mut self, bytes: &[u8], stream: Stream) {
        if bytes.is_empty() {
            return;
        }
        if let Some(log) = &mut self.log {
            self.progress.doing(WRITING_LOG);
            let failed = if self.stamper.is_off() {
                log.append(bytes)
            } else {
                log.append(self.stamper.stamp(bytes, stream, log.mid_line))
            };
            self.progress.log_is(log.written, log.missed);
            self.complain(failed);
        }
        self.progress.doing(WRITING_STDOUT);
        // Without a log there is nothing that could go on in place of stdout, so the command waits for its reader.
        let patience = self.log.is_some().then_some(PATIENCE);
        match stream {
            Stream::Stdout => self.stdout.write(bytes, patience),
            Stream::Stderr => self.stderr.write(bytes, patience),
        }
        self.progress.doing(IDLE);
    }

    fn detach(&mut self, buffer: &mut Vec<u8>) {
        let mut left = LAST_BYTES;
        while left > 0 && !self.sources.is_empty() {
            let Some(index) = self.readable() else { break };
            left = left.saturating_sub(self.pump(index, buffer));
        }
        self.sources.clear();
        self.flush();
    }

    fn readable(&self) -> Option<usize> {
        self.sources.iter().position(|source| {
            let mut fds = [PollFd::new(source.fd.as_fd(), PollFlags::POLLIN)];
            matches!(poll(&mut fds, PollTimeout::ZERO), Ok(n) if n > 0)
        })
    }

    fn tell_when_drained(&mut self) {
        if self.sources.is_empty() {
            self.progress.rests(self.jobs, self.report());
            for done in self.done.drain(..) {
                // Nobody may be waiting any more.
                let _ = done.send(());
            }
        }
    }

    fn note(&mut self, line: &str, to: Audience) {
        let line =
            self.redactor.as_ref().map_or_else(|| line.into(), |redactor| redactor.redact(line.as_bytes()));
        self.append_line(&line);
        if to == Audience::Everyone {
            let newline: &[u8] = if self.stderr.mid_line { b"\n" } else { b"" };
            self.stderr.write(&[newline, &line].concat(), Some(NOTE_PATIENCE));
        }
    }

    fn append_line(&mut self, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            self.progress.doing(WRITING_LOG);
            let failed = log.append_line(bytes);
            self.progress.log_is(log.written, log.missed);
            self.progress.doing(IDLE);
            self.complain(failed);
        }
    }

    fn report(&self) -> Report {
        let log = self.log.as_ref();
        Report {
            log_bytes: log.map_or(0, |log| log.written),
            mid_line: log.is_some_and(|log| log.mid_line),
            log_failure: log.and_then(|log| log.failure.clone()),
            log_missed: log.map_or(0, |log| log.missed),
            volume_failure: None,
            stdout_failure: self.stdout.gone.clone(),
            stdout_missed: self.stdout.missed,
        }
    }

    fn seal(&mut self, closing: Closing) -> Report {
        self.progress.doing(WRITING_LOG);
        let line = self.log.as_mut().and_then(Log::finish);
        self.complain(line);
        if !closing.footer.is_empty() {
            self.append_line(&closing.footer);
        }
        self.progress.doing(ENTERING_END);
        (closing.enter)();
        let mut volume_failure = None;
        if let Some(mut log) = self.log.take() {
            self.progress.doing(SYNCING_LOG);
            let line = log.sync();
            self.complain(line);
            if closing.sync_volume {
                self.progress.doing(SYNCING_VOLUME);
                volume_failure = log.sync_volume();
            }
            self.progress.doing(SYNCING_LOG);
            let line = log.close();
            self.complain(line);
            self.log = Some(log);
        }
        self.progress.doing(IDLE);
        Report { volume_failure, ..self.report() }
    }

    /// The line that tells of the log's first failure.
    fn complain(&mut self, line: Option<String>) {
        if let Some(line) = line {
            self.stderr.write(line.as_bytes(), Some(NOTE_PATIENCE));
        }
    }
}

struct Ready {
    /// Nothing came for a while.
    pause: bool,
    jobs: bool,
    sources: [bool; 2],
}
