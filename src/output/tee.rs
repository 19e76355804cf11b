//! The tee as its callers see it: pipes for the command, lines of the runner, and the final report. Every wait here is
//! a future with a time limit, so that a hung volume blocks a thread but never the attempt.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::pipe2;
use tokio::sync::oneshot;

use super::console::{Console, PATIENCE, are_one, share_a_file};
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
use crate::support::os;

/// Requested capacity in bytes: a larger pipe needs fewer switches between the command and the tee.
const PIPE_CAPACITY: usize = 1 << 20;

/// For a write that the end of the attempt has already waited for.
const SECOND_PATIENCE: Duration = Duration::from_secs(1);

/// The write ends for one command, and a notice when all of them are closed.
#[derive(Debug)]
pub struct Attached {
    pub stdout: OwnedFd,
    /// Becomes the command's descriptor 2; `None` means the same pipe as stdout.
    pub stderr: Option<OwnedFd>,
    /// Inode numbers of the pipes, to find out who still holds them.
    pub inodes: Vec<u64>,
    /// Completes when nobody holds a write end any more and everything has been written.
    pub drained: oneshot::Receiver<()>,
}

#[derive(Debug)]
pub struct Tee {
    jobs: mpsc::Sender<Job>,
    wake: Arc<EventFd>,
    progress: Arc<Progress>,
    two_pipes: bool,
    /// The longest wait for an answer.
    patience: Cell<Duration>,
    /// Bytes in the log when its end began to be waited for.
    before: Cell<u64>,
}

impl Tee {
    /// Starts the thread. Signals must be blocked already.
    pub fn start(options: Options) -> io::Result<Self> {
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let (jobs, queue) = mpsc::channel();
        let progress = Arc::new(Progress::default());
        let two_pipes = options.split_streams || options.annotate;
        let (woken, told) = (Arc::clone(&wake), Arc::clone(&progress));
        // Never joined: on a hung volume the thread cannot end, but the process must.
        blocking::detached(move || Worker::new(options, queue, woken, told).work())?;
        Ok(Self { jobs, wake, progress, two_pipes, patience: Cell::new(Duration::MAX), before: Cell::new(0) })
    }

    /// Creates the pipes for one command.
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

    /// Takes what is in the pipes and closes them; a process that still writes gets SIGPIPE.
    pub fn detach(&self) {
        self.progress.hurry();
        if self.progress.is_writing() {
            self.patience.set(SECOND_PATIENCE);
        }
        self.send(Job::Detach);
    }

    /// Whether the thread is waiting for output, and not for the log or stdout.
    pub fn is_idle(&self) -> bool {
        !self.progress.is_writing()
    }

    /// Writes a line of the runner's own, marked `hook-runner: `, at the start of a line.
    pub fn note(&self, text: &str) {
        self.send(Job::Note(text.to_owned()));
    }

    /// Bytes written to the log so far, including everything given before this call. `None` if the answer takes longer
    /// than `patience`.
    pub async fn written(&self, patience: Duration) -> Option<u64> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Written(reply));
        tokio::time::timeout(patience, answer).await.ok()?.ok()
    }

    /// Ends the output after writing everything given so far. Returns the report and the log's file, which the caller
    /// closes; `None` if the thread takes longer than `patience`.
    pub async fn finish(&self, patience: Duration) -> Option<(Report, Option<File>)> {
        let (reply, answer) = oneshot::channel();
        self.before.set(self.progress.log_bytes());
        self.send(Job::Finish(reply));
        tokio::time::timeout(patience.min(self.patience.get()), answer).await.ok()?.ok()
    }

    /// The report for a tee that nobody waits for any longer.
    pub fn give_up(&self) -> Report {
        self.progress.unfinished(self.before.get())
    }

    fn send(&self, job: Job) {
        // Fails only if the thread has ended with the output.
        if self.jobs.send(job).is_ok() {
            let _ = self.wake.write(1);
        }
    }
}

/// Prints a message of the runner's own on stderr, as one line.
pub fn say(level: Level, sentence: &str) {
    let red = level == Level::Error && color::wanted(&io::stderr());
    let mark = if red { RED_MARK } else { MARK };
    write_stderr(level, &format!("{mark}{}\n", harmless(sentence)));
}

/// Whether the runner's lines must know how far the command's last line went: both go to one file or pipe.
pub fn shares_lines() -> bool {
    share_a_file()
}

/// Moves the cursor of a terminal to the start of a line: the command that had the terminal may have left it within one.
/// From there, the spaces stay on the line; from elsewhere, they fill it and begin the next one.
pub fn start_line() {
    if are_one()
        && io::stderr().is_terminal()
        && let Some(columns) = os::columns()
    {
        show(&format!("{:1$}\r", "", columns - 1));
    }
}

/// Shows progress text unchanged, because a bar moves the cursor.
pub fn show(text: &str) {
    write_stderr(Level::Info, text);
}

/// Waits only a short time for a blocked stderr.
fn write_stderr(level: Level, text: &str) {
    Console::careful(2).write(own_lines(level, text).as_bytes(), Some(PATIENCE));
}

fn command_pipe(inodes: &mut Vec<u64>) -> io::Result<(OwnedFd, OwnedFd, usize)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    // A smaller pipe is slower, not wrong.
    let capacity = pipe_capacity(&write, PIPE_CAPACITY);
    // A command that has changed its user can then still open /dev/stdout, which reopens the pipe.
    fchmod(&write, Mode::from_bits_truncate(libc::S_IRUSR | libc::S_IWUSR | libc::S_IWGRP | libc::S_IWOTH))?;
    let write = File::from(write);
    inodes.push(write.metadata()?.ino());
    Ok((read, write.into(), capacity))
}
