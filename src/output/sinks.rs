//! Where the output goes: the preserved log first, then the runner's own stdout and stderr. Owns the three of them
//! and tells the handle what is being done; must not know pipes, jobs and secrets.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use super::console::{Console, PATIENCE, are_one};
use super::line_prefix::LinePrefix;
use super::log::Log;
use super::options::Closing;
use super::progress::{IDLE, Progress, SYNCING_LOG, SYNCING_VOLUME, WRITING_LOG, WRITING_STDOUT};
use super::report::Report;
use super::stream::{Audience, Stream};

/// How long stderr may hold up the tee with one line of the runner's own.
const NOTE_PATIENCE: Duration = PATIENCE;

/// The sinks of one attempt.
#[derive(Debug)]
pub(super) struct Sinks {
    progress: Arc<Progress>,
    log: Option<Log>,
    prefix: LinePrefix,
    stdout: Console,
    /// stderr of the runner, where the command's goes when the streams are kept apart.
    stderr: Console,
    /// Both lead to one place.
    one: bool,
}

impl Sinks {
    pub(super) fn new(progress: Arc<Progress>, log: Option<Log>, prefix: LinePrefix) -> Self {
        Self { progress, log, prefix, stdout: Console::new(1), stderr: Console::new(2), one: are_one() }
    }

    /// Bytes of the command, to the log and then to the runner's stream. `holder` is a pipe that begins with the same
    /// bytes: how many of them were moved from there is returned.
    pub(super) fn pass(&mut self, bytes: &[u8], stream: Stream, holder: Option<BorrowedFd<'_>>) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        if let Some(log) = &mut self.log {
            self.progress.doing(WRITING_LOG);
            let failed = if self.prefix.is_off() {
                log.append(bytes)
            } else {
                log.append(self.prefix.stamp(bytes, stream, log.mid_line))
            };
            self.progress.log_is(log.written, log.missed);
            self.complain(failed);
        }
        self.progress.doing(WRITING_STDOUT);
        // Without a log there is nothing that could go on in place of stdout, so the command waits for its reader.
        let patience = self.log.is_some().then_some(PATIENCE);
        let console = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let moved = console.forward(bytes, holder, patience);
        self.progress.doing(IDLE);
        moved
    }

    /// A line of the runner's own.
    pub(super) fn note(&mut self, line: &[u8], to: Audience) {
        self.append_line(line);
        if to == Audience::Everyone {
            let newline: &[u8] = if self.is_mid_line() { b"\n" } else { b"" };
            self.stderr.write(&[newline, line].concat(), Some(NOTE_PATIENCE));
            self.stdout.mid_line &= !self.one;
        }
    }

    /// What is said next on stderr would be glued to a line that the command did not end.
    fn is_mid_line(&self) -> bool {
        self.stderr.mid_line || self.one && self.stdout.mid_line
    }

    /// Into the log only, at the start of a line.
    pub(super) fn append_line(&mut self, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            self.progress.doing(WRITING_LOG);
            let failed = log.append_line(bytes);
            self.progress.log_is(log.written, log.missed);
            self.progress.doing(IDLE);
            self.complain(failed);
        }
    }

    /// What became of it all so far.
    pub(super) fn report(&self) -> Report {
        let log = self.log.as_ref();
        Report {
            log_bytes: log.map_or(0, |log| log.written),
            mid_line: log.is_some_and(|log| log.mid_line),
            log_failure: log.and_then(|log| log.failure.clone()),
            log_missed: log.map_or(0, |log| log.missed),
            volume_failure: None,
            stderr_mid_line: self.is_mid_line(),
            stdout_failure: self.stdout.gone.clone(),
            stdout_missed: self.stdout.missed,
        }
    }

    /// Ends the log in the order that [`Closing`] gives.
    pub(super) fn seal(&mut self, closing: Closing) -> Report {
        self.progress.doing(WRITING_LOG);
        let line = self.log.as_mut().and_then(Log::finish);
        self.complain(line);
        if !closing.footer.is_empty() {
            self.append_line(&closing.footer);
        }
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
