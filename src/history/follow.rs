//! `logs -f`: prints a run's attempts as they are written, and follows the log into the archive, the Job's next attempt
//! and, if asked, the next run. Each look reads the volume again, so that nothing depends on where the log was before.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::error::HistoryError;
use super::filter::{Filter, pieces};
use super::lines_out::LinesOut;
use super::log_end;
use super::logs::of_the_command;
use super::records::{self, Records};
use super::select::{Chosen, Selection, select};
use super::shard::group;
use super::state::State;
use crate::support::durations;
use crate::support::harmless::harmless;
use crate::volume::Attempt;
use crate::volume::frames::Frame;

/// Interval of looks; for a large log at least four times the duration of a look.
const PAUSE: Duration = Duration::from_millis(200);
/// The delay of a Job's first retry; it doubles up to six minutes (Kubernetes, "Pod backoff failure policy").
const FIRST_BACKOFF: Duration = Duration::from_secs(10);
const LONGEST_BACKOFF: Duration = Duration::from_secs(360);
/// Time to schedule and start the pod after that delay.
const POD_START: Duration = Duration::from_secs(30);
/// The statuses for which a podFailurePolicy fails the Job at once: the hook itself is wrong, or its command cannot be run.
const FAILS_THE_JOB: [u8; 3] = [78, 126, 127];
/// The result of `--exit-status` for an interrupted attempt: 128 + SIGKILL.
const INTERRUPTED: u8 = 137;

/// What to follow, and how.
#[derive(Debug, Clone)]
pub struct Follow {
    /// The log, or its directory.
    pub place: PathBuf,
    /// The state directory, if it was given.
    pub state: Option<PathBuf>,
    /// The run; by default the last.
    pub selection: Selection,
    /// Only the command's bytes.
    pub raw: bool,
    /// How many lines of the existing output to print.
    pub tail: Option<usize>,
    /// Go on with the next run.
    pub forever: bool,
}

/// How far the printing has got.
struct Cursor {
    log: OsString,
    run: String,
    attempt: u32,
    /// The next byte to print.
    at: u64,
    /// The wait for the next attempt was announced.
    waits: bool,
    /// The logs of the run's other shards that were printed to their end.
    printed: Vec<OsString>,
    /// The first status of these that is a failure, or 0.
    status: u8,
}

/// Prints until the run is over; returns the status of its last attempt. Messages besides the log go to `say`.
pub fn follow(follow: &Follow, out: &mut dyn Write, say: &dyn Fn(&str)) -> Result<u8, HistoryError> {
    let mut out = LinesOut::new(out);
    let mut cursor: Option<Cursor> = None;
    let mut told = false;
    loop {
        let began = SystemTime::now();
        match records::open(&follow.place, follow.state.as_deref()) {
            Err(HistoryError::Empty { path } | HistoryError::Missing { path }) if waits_for(&path) => {
                if !told {
                    say(&format!("waiting for the first run in {}", path.display()));
                    told = true;
                }
            }
            Err(error) => return Err(error),
            Ok(all) => {
                if cursor.is_none() {
                    cursor = first(&all, follow)?;
                }
                if let Some(cursor) = &mut cursor
                    && let Some(status) = look(&all, follow, cursor, &mut out, say)?
                {
                    return Ok(status);
                }
            }
        }
        std::thread::sleep(PAUSE.max(began.elapsed().unwrap_or_default() * 4));
    }
}

/// Whether the log may still appear: its directory exists.
fn waits_for(path: &Path) -> bool {
    path.is_dir() || path.parent().is_some_and(|parent| parent.as_os_str().is_empty() || parent.is_dir())
}

/// The first attempt to print. Of several logs, the one with the newest last attempt is followed; the shards of one are
/// printed one after the other.
fn first(all: &[Records], follow: &Follow) -> Result<Option<Cursor>, HistoryError> {
    let chosen = select(all, &follow.selection)?;
    let Some(newest) = chosen.iter().max_by_key(|chosen| &chosen.attempt.started.at) else { return Ok(None) };
    let started = &newest.attempt.started;
    let is_same = |chosen: &&Chosen<'_>| {
        chosen.records.given == newest.records.given
            && group(&chosen.attempt.started.run) == group(&started.run)
    };
    let first = chosen.iter().find(is_same).unwrap_or(newest);
    let mut cursor = Cursor::of(first);
    if let (Some(_), Some((file, frame))) = (follow.tail, newest.records.bytes_of(newest.attempt)?) {
        let filter = Filter { tail: follow.tail, ..Filter::default() };
        cursor = Cursor::of(newest);
        cursor.at = filter.begin(&file, frame.command_output())?;
    }
    Ok(Some(cursor))
}

/// Prints what is new; returns the status once the run is over.
fn look(
    all: &[Records],
    follow: &Follow,
    cursor: &mut Cursor,
    out: &mut LinesOut<&mut dyn Write>,
    say: &dyn Fn(&str),
) -> Result<Option<u8>, HistoryError> {
    let Some(records) = all.iter().find(|records| records.name == cursor.log) else { return Ok(None) };
    loop {
        let is_current = |attempt: &&Attempt| {
            attempt.started.run == cursor.run && attempt.started.attempt == cursor.attempt
        };
        let Some(attempt) = records.attempts.iter().rfind(is_current) else { return Ok(None) };
        let chosen = Chosen { records, attempt };
        // Read the state before the bytes, so that everything written before the end is printed.
        let state = State::of(records, attempt);
        let Some((file, frame)) = records.bytes_of(attempt)? else {
            if matches!(state, State::Running | State::Unfinished) {
                // The command has removed the log; the runner will put it back.
                return Ok(None);
            }
            return Err(records.without_bytes(attempt));
        };
        let (shown, frame) = match (state, file.try_clone()?) {
            // The end kept beside the log (`--max-log`) still changes.
            (State::Running | State::Unfinished, log) => (log, frame),
            (_, log) => log_end::with_end(records, attempt, log, frame)?,
        };
        print(&shown, &frame, follow.raw, cursor, out)?;
        if state != State::Ended && frame.ended.is_some() {
            // It has ended since: the next look sees the end and everything before it.
            return Ok(None);
        }
        if matches!(state, State::Running | State::Unfinished) {
            return Ok(None);
        }
        if state == State::Interrupted && !cursor.waits {
            say(&format!(
                "attempt {} of run {} was interrupted: it has no end (killed, out of memory, or the node went down)",
                cursor.attempt,
                harmless(&cursor.run)
            ));
        }
        if let Some(next) = next_attempt(&chosen, follow) {
            cursor.go_to(&next);
            continue;
        }
        let status = attempt.ended.as_ref().map_or(INTERRUPTED, |ended| ended.status);
        if !follow.forever && waits_for_retry(&chosen, follow, &file) {
            if !cursor.waits {
                say(&waits(cursor.attempt, status));
            }
            cursor.waits = true;
            return Ok(None);
        }
        if cursor.waits && !follow.forever {
            say(why_none_follows(&chosen));
        }
        if let Some(next) = cursor.next_log(all, status) {
            cursor.go_to(&next);
        } else if !follow.forever {
            return Ok(Some(cursor.status));
        } else if let Some(next) = next_run(&chosen) {
            *cursor = Cursor::of(&next);
        } else {
            cursor.waits = true;
            return Ok(None);
        }
    }
}

fn print(
    file: &File,
    frame: &Frame,
    raw: bool,
    cursor: &mut Cursor,
    out: &mut LinesOut<&mut dyn Write>,
) -> Result<(), HistoryError> {
    let range = if raw { frame.command_output() } else { frame.start..frame.end };
    let from = cursor.at.max(range.start);
    if from < range.end {
        if from == frame.start {
            out.begin_line()?;
        }
        let new = from..range.end;
        let parts = if raw { of_the_command(frame, new) } else { vec![new] };
        parts.into_iter().try_for_each(|part| pieces(file, part, &mut |_, piece| out.write_all(piece)))?;
        out.flush()?;
    }
    cursor.at = from.max(range.end);
    Ok(())
}

fn next_attempt<'a>(chosen: &Chosen<'a>, follow: &Follow) -> Option<Chosen<'a>> {
    let is_next = |attempt: &&Attempt| attempt.started.run == chosen.attempt.started.run;
    after(chosen).iter().find(is_next).filter(|_| follow.selection.attempt.is_none()).map(in_log_of(chosen))
}

fn next_run<'a>(chosen: &Chosen<'a>) -> Option<Chosen<'a>> {
    let is_next = |attempt: &&Attempt| attempt.started.run != chosen.attempt.started.run;
    after(chosen).iter().find(is_next).map(in_log_of(chosen))
}

fn after<'a>(chosen: &Chosen<'a>) -> &'a [Attempt] {
    let attempts = &chosen.records.attempts;
    let place = attempts.iter().position(|attempt| std::ptr::eq(attempt, chosen.attempt));
    place.map_or(&[], |place| &attempts[place + 1..])
}

fn in_log_of<'a>(chosen: &Chosen<'a>) -> impl Fn(&'a Attempt) -> Chosen<'a> {
    let records = chosen.records;
    move |attempt| Chosen { records, attempt }
}

fn waits(attempt: u32, status: u8) -> String {
    let time = durations::shown(longest_wait(attempt));
    format!("attempt {attempt} ended with status {status}; waiting up to {time} for the Job's next attempt")
}

/// What to say when the next attempt was waited for, and none began in time.
fn why_none_follows(chosen: &Chosen<'_>) -> &'static str {
    if after(chosen).is_empty() {
        "no next attempt has begun: the Job's retries are used up (backoffLimit), or its pod cannot start; `kubectl describe job` says which"
    } else {
        "no next attempt has begun, but another run has"
    }
}

/// Whether the Job may still start the run again: it runs in a cluster, its status does not end a Job, no other run has
/// begun, and the Job's delay is not over.
fn waits_for_retry(chosen: &Chosen<'_>, follow: &Follow, file: &File) -> bool {
    let (started, ended) = (&chosen.attempt.started, chosen.attempt.ended.as_ref());
    let ends_the_job = ended.is_some_and(|ended| ended.status == 0 || FAILS_THE_JOB.contains(&ended.status));
    let is_last = chosen.records.attempts.last().is_some_and(|last| last.started.run == started.run);
    // Standard input was read to its end.
    let is_all = follow.selection.attempt.is_some() || follow.place == Path::new("-");
    if is_all || started.job.is_none() || ends_the_job || !is_last {
        return false;
    }
    let end = file.metadata().and_then(|metadata| metadata.modified());
    end.is_ok_and(|end| end.elapsed().unwrap_or_default() < longest_wait(started.attempt))
}

/// From the end of an attempt to the start of the next one.
fn longest_wait(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(6);
    LONGEST_BACKOFF.min(FIRST_BACKOFF * 2_u32.pow(doublings)) + POD_START
}

impl Cursor {
    fn of(chosen: &Chosen<'_>) -> Self {
        let started = &chosen.attempt.started;
        Self {
            log: chosen.records.name.clone(),
            run: started.run.clone(),
            attempt: started.attempt,
            at: 0,
            waits: false,
            printed: Vec::new(),
            status: 0,
        }
    }

    /// Goes to an attempt of the same run.
    fn go_to(&mut self, next: &Chosen<'_>) {
        let (printed, status) = (std::mem::take(&mut self.printed), self.status);
        *self = Self { printed, status, ..Self::of(next) };
    }

    /// The run's first attempt in a shard's log that is not printed yet, after this log has ended with `status`.
    fn next_log<'a>(&mut self, all: &'a [Records], status: u8) -> Option<Chosen<'a>> {
        if !self.printed.contains(&self.log) {
            self.printed.push(self.log.clone());
            self.status = if self.status == 0 { status } else { self.status };
        }
        let given = &all.iter().find(|records| records.name == self.log)?.given;
        let mut others =
            all.iter().filter(|records| records.given == *given && !self.printed.contains(&records.name));
        let run = |attempt: &&Attempt| group(&attempt.started.run) == group(&self.run);
        let first =
            |records: &'a Records| Some(Chosen { records, attempt: records.attempts.iter().find(run)? });
        others.find_map(first)
    }
}
