//! Writes the output to the preserved log first, then to the runner's stdout and stderr. Owns all three and reports its
//! progress; knows nothing of pipes, jobs and secrets.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use super::console::{Console, PATIENCE, are_one};
use super::line_prefix::LinePrefix;
use super::log::Log;
use super::own_lines::{Level, MARK, own_lines};
use super::progress::{IDLE, Progress, WRITING_LOG, WRITING_STDOUT};
use super::report::Report;
use super::stream::Stream;
use crate::support::harmless::harmless;

/// How long stdout may block the log before the log goes on without it: a busy node stalls its container runtime for
/// seconds.
const STDOUT_PATIENCE: Duration = Duration::from_secs(10);
/// How long stderr may block the tee for one line of the runner's own.
const NOTE_PATIENCE: Duration = PATIENCE;

#[derive(Debug)]
pub(super) struct Sinks {
    progress: Arc<Progress>,
    log: Option<Log>,
    prefix: LinePrefix,
    stdout: Console,
    /// The runner's stderr, for the command's stderr if the streams are kept apart.
    stderr: Console,
    /// stdout and stderr are the same file or terminal.
    one: bool,
}

impl Sinks {
    pub(super) fn new(progress: Arc<Progress>, log: Option<Log>, prefix: LinePrefix) -> Self {
        let console = |number| Console::held_by(number, Arc::clone(&progress));
        Self { log, prefix, stdout: console(1), stderr: console(2), one: are_one(), progress }
    }

    /// Writes bytes of the command to the log, then to the runner's stream. `holder` is a pipe that begins with the
    /// same bytes; returns how many were moved from it.
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
        // Without a log only stdout is left, so the command waits for its reader.
        let patience = self.log.is_some().then_some(STDOUT_PATIENCE);
        let console = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let moved = console.forward(bytes, holder, patience);
        self.progress.doing(IDLE);
        moved
    }

    /// Writes a line of the runner's own to the log and to stderr.
    pub(super) fn note(&mut self, sentence: &[u8]) {
        let line = format!("{MARK}{}\n", harmless(&String::from_utf8_lossy(sentence)));
        self.append_line(line.as_bytes());
        let newline: &[u8] = if self.is_mid_line() { b"\n" } else { b"" };
        let line = own_lines(Level::Info, &line);
        self.stderr.write(&[newline, line.as_bytes()].concat(), Some(NOTE_PATIENCE));
        self.stdout.mid_line &= !self.one;
    }

    /// Whether the command has not ended its last line, to which the next message on stderr would be joined.
    fn is_mid_line(&self) -> bool {
        self.stderr.mid_line || self.one && self.stdout.mid_line
    }

    /// Writes a line to the log only.
    pub(super) fn append_line(&mut self, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            self.progress.doing(WRITING_LOG);
            let failed = log.append_line(bytes);
            self.progress.log_is(log.written, log.missed);
            self.progress.doing(IDLE);
            self.complain(failed);
        }
    }

    /// Bytes of this attempt's output in the log so far.
    pub(super) fn written(&self) -> u64 {
        self.log.as_ref().map_or(0, Log::position)
    }

    /// Ends the output; returns the report and the log's file. The caller closes the file where nothing else waits,
    /// because close(2) on a hung volume cannot be interrupted.
    pub(super) fn finish(&mut self) -> (Report, Option<File>) {
        let mut report = Report::default();
        let mut file = None;
        if let Some(mut log) = self.log.take() {
            self.progress.doing(WRITING_LOG);
            let newline_added = log.mid_line;
            let line = log.finish();
            self.complain(line);
            report = Report {
                own: log.own(),
                log_bytes: log.written,
                newline_added,
                log_failure: log.failure,
                log_missed: log.missed,
                left_out: log.left_out,
                ..report
            };
            file = log.file;
            self.progress.doing(IDLE);
        }
        self.stdout.tell_what_is_missing();
        let report = Report {
            stderr_mid_line: self.is_mid_line(),
            stdout_failure: self.stdout.gone.clone(),
            missed: self.stdout.missed + self.stderr.missed,
            ..report
        };
        (report, file)
    }

    /// Prints the line about the log's first failure.
    fn complain(&mut self, line: Option<String>) {
        if let Some(line) = line {
            self.stderr.write(own_lines(Level::Error, &line).as_bytes(), Some(NOTE_PATIENCE));
        }
    }
}
