//! The tee as its callers see it: pipes for the command, lines of the runner, the footer, and what became of it all.
//! Every wait here is a future with a limit: a volume that does not answer holds a thread, never what is to be done.

use std::cell::Cell;
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
use super::options::Options;
use super::own_lines::{Level, MARK, RED_MARK, own_lines};
use super::pipe_reader::{Source, pipe_capacity};
use super::progress::Progress;
use super::report::Report;
use super::stream::Stream;
use super::worker::{Job, Worker};
use crate::support::blocking;
use crate::support::color;
use crate::support::harmless::harmless;

/// Bytes of capacity asked for: fewer switches between the command and the tee.
const PIPE_CAPACITY: usize = 1 << 20;

/// For a write that the attempt's end has waited for already.
const SECOND_PATIENCE: Duration = Duration::from_secs(1);

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
    two_pipes: bool,
    name: PathBuf,
    /// At most this long an answer is waited for.
    patience: Cell<Duration>,
    /// The caller has been told that there is no answer.
    gave_up: Cell<bool>,
}

impl Tee {
    /// Starts the thread. Signals must have been blocked before.
    pub fn start(options: Options) -> io::Result<Self> {
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let (jobs, queue) = mpsc::channel();
        let progress = Arc::new(Progress::default());
        let two_pipes = options.split_streams || options.annotate;
        let name = options.log.as_ref().map(|log| log.name.clone()).unwrap_or_default();
        let (woken, told) = (Arc::clone(&wake), Arc::clone(&progress));
        // Not joined: when the volume hangs the thread cannot end, and the process must.
        blocking::detached(move || Worker::new(options, queue, woken, told).work())?;
        Ok(Self {
            jobs,
            wake,
            progress,
            two_pipes,
            name,
            patience: Cell::new(Duration::MAX),
            gave_up: Cell::new(false),
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
        self.progress.hurry();
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
    pub fn note(&self, text: &str) {
        self.send(Job::Note(text.to_owned()));
    }

    /// Bytes that the log has got so far, everything that was given before included. None when that is not told within
    /// `patience`.
    pub async fn written(&self, patience: Duration) -> Option<u64> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Written(reply));
        tokio::time::timeout(patience, answer).await.ok()?.ok()
    }

    /// Ends the output: everything given so far is written. What became of it, and the log's file, which the caller closes.
    /// A thread that does not get there within `patience` is reported as a log that hangs.
    pub async fn finish(&self, patience: Duration) -> (Report, Option<File>) {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Finish(reply));
        let patience = if self.gave_up.get() { Duration::ZERO } else { patience.min(self.patience.get()) };
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(finished)) => finished,
            _ => (self.give_up(), None),
        }
    }

    /// What is known of a tee that is not waited for any longer. The first time, stderr says why.
    pub fn give_up(&self) -> Report {
        let report = self.progress.hung();
        if self.gave_up.replace(true) {
            return report;
        }
        if let Some(failure) = &report.log_failure {
            let (name, at, operation) = (self.name.display(), failure.at, failure.operation);
            say(
                Level::Error,
                &format!("{name}: the log ends at byte {at}: {operation} does not return: the volume hangs"),
            );
        }
        report
    }

    fn send(&self, job: Job) {
        // A thread that has ended with the output takes no more.
        if self.jobs.send(job).is_ok() {
            let _ = self.wake.write(1);
        }
    }
}

/// Says a sentence of the runner's own on stderr, as one line whatever is in it.
pub fn say(level: Level, sentence: &str) {
    let red = level == Level::Error && color::wanted(&io::stderr());
    let mark = if red { RED_MARK } else { MARK };
    write_stderr(level, &format!("{mark}{}\n", harmless(sentence)));
}

/// Shows how far something is: the text as it is, since a bar moves the cursor.
pub fn show(text: &str) {
    write_stderr(Level::Info, text);
}

/// Waits a short time at most for a stderr that is blocked.
fn write_stderr(level: Level, text: &str) {
    Console::careful(2).write(own_lines(level, text).as_bytes(), Some(PATIENCE));
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
