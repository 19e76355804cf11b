//! The tee as its callers see it: pipes for the command, lines of the runner, the footer, and what became of it all.
//! Every wait here is a future with a limit: a volume that does not answer holds a thread, never what is to be done.

use std::cell::Cell;
use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::pipe2;
use tokio::sync::oneshot;

use super::console::{Console, PATIENCE};
use super::failure::{Cause, LogFailure};
use super::intake::{Source, pipe_capacity};
use super::progress::Progress;
use super::redact::Redactor;
use super::sinks;
use super::tail::MaxLog;
use super::watch::Watch;
use super::worker::{Job, Worker};
use crate::support::blocking::{self, Begun};

/// Bytes of capacity asked for: fewer switches between the command and the tee.
const PIPE_CAPACITY: usize = 1 << 20;

/// For a write that the attempt's end has waited for already.
const SECOND_PATIENCE: Duration = Duration::from_secs(1);

/// Which stream of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// The preserved log, opened for this attempt.
#[derive(Debug)]
pub struct LogFile {
    /// Opened for appending. Only the tee writes to it until it is sealed.
    pub file: File,
    /// The directory it is in, synced when the log is sealed.
    pub directory: Option<File>,
    /// For messages.
    pub name: PathBuf,
}

/// What the tee does with the output.
#[derive(Debug, Default)]
pub struct Options {
    /// None with `--log none`.
    pub log: Option<LogFile>,
    /// Two pipes: stderr stays apart from stdout, at the price of the order between them.
    pub split_streams: bool,
    /// A time before each line of the file.
    pub timestamps: bool,
    /// `stderr: ` before each line of the file that came from there; needs and implies two pipes.
    pub annotate: bool,
    /// Keeps the first and the last part of an endless log.
    pub max_log: Option<MaxLog>,
    /// What must not be seen, in either sink.
    pub redact: Option<Redactor>,
}

/// Who is to read a line of the runner's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The preserved log only.
    Log,
    /// The preserved log and the runner's stderr.
    Everyone,
}

/// What became of the output so far, or in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Bytes written to the log by this attempt, the header (if the tee wrote it) and the footer included.
    pub log_bytes: u64,
    /// The log does not end in a newline; what is framed next will be put on a line of its own.
    pub mid_line: bool,
    /// The first failure of the log.
    pub log_failure: Option<LogFailure>,
    /// Bytes that could not be written to the log.
    pub log_missed: u64,
    /// Why the rest of the log's volume may not be durable.
    pub volume_failure: Option<LogFailure>,
    /// Why stdout was given up, if it was.
    pub stdout_failure: Option<String>,
    /// Bytes that stdout did not take.
    pub stdout_missed: u64,
}

/// A call that blocks where the log blocks.
pub type Enter = Box<dyn FnOnce() + Send>;

/// A log that is being ended.
#[derive(Debug)]
pub struct Sealing(Begun<Report>);

/// How the log is ended, in this order: the footer, the index, fsync of the log and of its directory, syncfs of the
/// volume.
pub struct Closing {
    /// Goes into the log only, at the start of a line.
    pub footer: Vec<u8>,
    /// What belongs to the end and is written to the same volume: it hangs where the log hangs.
    pub enter: Enter,
    /// Whether the volume holds more than the log.
    pub sync_volume: bool,
}

impl std::fmt::Debug for Closing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Closing").field("sync_volume", &self.sync_volume).finish_non_exhaustive()
    }
}

/// Write ends for one command, and the news that all of them have been closed.
#[derive(Debug)]
pub struct Attached {
    /// Becomes the command's descriptor 1.
    pub stdout: OwnedFd,
    /// Becomes the command's descriptor 2; none: the same pipe as stdout.
    pub stderr: Option<OwnedFd>,
    /// Inode numbers of the pipes, to find who still holds them.
    pub inodes: Vec<u64>,
    /// Completes when nobody holds a write end any more and everything has been written.
    pub drained: oneshot::Receiver<()>,
}

/// The handle to the tee's thread.
#[derive(Debug)]
pub struct Tee {
    jobs: mpsc::Sender<Job>,
    wake: Arc<EventFd>,
    progress: Arc<Progress>,
    /// Jobs given to the thread.
    sent: Cell<u64>,
    two_pipes: bool,
    name: PathBuf,
    /// At most this long an answer is waited for.
    patience: Cell<Duration>,
    /// The caller has been told that there is no answer.
    gave_up: Cell<bool>,
    watch: Arc<Watch>,
}

impl Tee {
    /// Starts the thread, which does the `chores` first. Signals must have been blocked before.
    pub fn start(options: Options, chores: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let (jobs, queue) = mpsc::channel();
        let progress = Arc::new(Progress::default());
        let two_pipes = options.split_streams || options.annotate;
        let name = options.log.as_ref().map(|log| log.name.clone()).unwrap_or_default();
        let watch = Arc::new(Watch::default());
        let (woken, told, watched) = (Arc::clone(&wake), Arc::clone(&progress), Arc::clone(&watch));
        // Not joined: when the volume hangs the thread cannot end, and the process must.
        blocking::detached(move || {
            chores();
            Worker::new(options, queue, woken, told, watched).work();
        })?;
        Ok(Self {
            jobs,
            wake,
            progress,
            sent: Cell::new(0),
            two_pipes,
            name,
            patience: Cell::new(Duration::MAX),
            gave_up: Cell::new(false),
            watch,
        })
    }

    /// New pipes for one command.
    pub fn attach(&self) -> io::Result<Attached> {
        let (done, drained) = oneshot::channel();
        let mut inodes = Vec::with_capacity(2);
        let (read, stdout, capacity) = command_pipe(&mut inodes)?;
        let mut sources = vec![Source { stream: Stream::Stdout, fd: read, capacity }];
        let mut stderr = None;
        if self.two_pipes {
            let (read, write, capacity) = command_pipe(&mut inodes)?;
            sources.push(Source { stream: Stream::Stderr, fd: read, capacity });
            stderr = Some(write);
        }
        self.send(Job::Attach { sources, done });
        Ok(Attached { stdout, stderr, inodes, drained })
    }

    /// Takes what is in the pipes and stops reading them; whoever still writes gets SIGPIPE.
    pub fn detach(&self) {
        if self.progress.is_writing() {
            self.patience.set(SECOND_PATIENCE);
        }
        self.send(Job::Detach);
    }

    /// Whether the thread waits for output, and not for the log or for stdout.
    pub fn is_idle(&self) -> bool {
        !self.progress.is_writing()
    }

    /// A line of the runner's own, put at the start of a line and marked `hook-runner: `.
    pub fn note(&self, text: &str, to: Audience) {
        self.send(Job::Note { line: format!("hook-runner: {text}\n"), to });
    }

    /// Header or footer: goes into the log file only, at the start of a line.
    pub fn frame(&self, bytes: Vec<u8>) {
        self.send(Job::Frame(bytes));
    }

    /// What became of everything given so far, after it has been written. A thread that does not get there within
    /// `patience` is reported as a log that hangs.
    pub async fn report(&self, patience: Duration) -> Report {
        if let Some(report) = self.progress.at_rest(self.sent.get()) {
            return report;
        }
        let (reply, answer) = oneshot::channel();
        self.send(Job::Report(reply));
        self.answer(answer.into(), patience).await
    }

    /// Ends the log, makes it durable and closes it; then goes on with `next`, which asks for [`Tee::sealed`] and ends
    /// the program. What takes long does not hold `next`.
    pub fn seal(
        self,
        closing: Closing,
        next: impl FnOnce(Self, Sealing) -> Infallible + Send + 'static,
    ) -> ! {
        if self.progress.at_rest(self.sent.get()).is_some()
            && let Some(log) = self.watch.reserve()
        {
            let watch = Arc::clone(&self.watch);
            blocking::watched_by(
                move |overdue| watch.give(overdue),
                move || sinks::lock(&log).seal(closing),
                move |report| next(self, Sealing(report)),
            );
        }
        let (reply, answer) = oneshot::channel();
        self.send(Job::Seal { closing, reply });
        match next(self, Sealing(answer.into())) {}
    }

    /// What this returns decides between 0 and 74.
    pub async fn sealed(&self, sealing: Sealing, patience: Duration) -> Report {
        self.answer(sealing.0, patience).await
    }

    async fn answer(&self, answer: Begun<Report>, patience: Duration) -> Report {
        let patience = if self.gave_up.get() { Duration::ZERO } else { patience.min(self.patience.get()) };
        match tokio::time::timeout(patience, answer.answer()).await {
            Ok(Ok(report)) => report,
            _ => self.give_up(),
        }
    }

    /// What is known of a tee that is not waited for any longer. The first time, stderr says why.
    pub fn give_up(&self) -> Report {
        let report = self.progress.hung();
        if self.gave_up.replace(true) {
            return report;
        }
        if let Some(failure) = &report.log_failure {
            say(&format!(
                "hook-runner: {}: the log ends at byte {}: {} does not return: the volume hangs\n",
                self.name.display(),
                failure.at,
                failure.operation
            ));
        }
        report
    }

    fn send(&self, job: Job) {
        // The thread ends only after Seal, which consumes this handle.
        if self.jobs.send(job).is_ok() {
            self.sent.set(self.sent.get() + 1);
            let _ = self.wake.write(1);
        }
    }
}

/// Writes a line of the runner's own to stderr, waiting a short time at most for a stderr that is blocked.
pub fn say(line: &str) {
    Console::careful(2).write(line.as_bytes(), Some(PATIENCE));
}

fn command_pipe(inodes: &mut Vec<u64>) -> io::Result<(OwnedFd, OwnedFd, usize)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    // Less is slower, not wrong.
    let capacity = pipe_capacity(&write, PIPE_CAPACITY);
    // So that a command that has changed its user can still open /dev/stdout, which is opening the pipe anew.
    fchmod(&write, Mode::from_bits_truncate(libc::S_IRUSR | libc::S_IWUSR | libc::S_IWGRP | libc::S_IWOTH))?;
    let write = File::from(write);
    inodes.push(write.metadata()?.ino());
    Ok((read, write.into(), capacity))
}

impl Report {
    /// The cause of a failed log, for the summary.
    pub fn log_cause(&self) -> Option<Cause> {
        self.log_failure.as_ref().map(|failure| failure.cause)
    }
}
