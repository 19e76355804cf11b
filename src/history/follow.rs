//! `logs -f`: prints a run's attempts as they are written, and follows the log into the archive, the Job's next attempt
//! and, if asked, the next run. Each look reads the volume again, so that nothing depends on where the log was before.

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
use super::state::State;
use crate::support::harmless::harmless;
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
    log: String,
    run: String,
    attempt: u32,
    /// The next byte to print.
    at: u64,
    /// The wait for the next attempt was announced.
    waits: bool,
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

/// The first attempt to print. Of several logs, the one with the newest last attempt is followed.
fn first(all: &[Records], follow: &Follow) -> Result<Option<Cursor>, HistoryError> {
    let chosen = select(all, &follow.selection)?;
    let Some(newest) = chosen.iter().max_by_key(|chosen| &chosen.attempt.started.at) else { return Ok(None) };
    let started = &newest.attempt.started;
    let is_same = |chosen: &&Chosen<'_>| {
        std::ptr::eq(chosen.records, newest.records) && chosen.attempt.started.run == started.run
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
    let Some(records) = all.iter().find(|records| records.log == cursor.log) else { return Ok(None) };
    loop {
        let is_current = |attempt: &&crate::volume::Attempt| {
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
            return Err(HistoryError::NotKept { run: cursor.run.clone(), attempt: cursor.attempt });
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
        if let Some(next) = next(&chosen, follow) {
            *cursor = Cursor::of(&next);
            continue;
        }
        let status = attempt.ended.as_ref().map_or(INTERRUPTED, |ended| ended.status);
        if follow.forever || waits_for_retry(&chosen, follow, &file) {
            if !cursor.waits && !follow.forever {
                say(&format!(
                    "attempt {} ended with status {status}; waiting for the Job's next attempt",
                    cursor.attempt
                ));
            }
            cursor.waits = true;
            return Ok(None);
        }
        return Ok(Some(status));
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

/// The run's next attempt or, with `forever`, the next run's first.
fn next<'a>(chosen: &Chosen<'a>, follow: &Follow) -> Option<Chosen<'a>> {
    let records = chosen.records;
    let place = records.attempts.iter().position(|attempt| std::ptr::eq(attempt, chosen.attempt))?;
    let is_next = |attempt: &&crate::volume::Attempt| {
        let same = attempt.started.run == chosen.attempt.started.run;
        if same { follow.selection.attempt.is_none() } else { follow.forever }
    };
    let attempt = records.attempts[place + 1..].iter().find(is_next)?;
    Some(Chosen { records, attempt })
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
    let doublings = started.attempt.saturating_sub(1).min(6);
    let delay = LONGEST_BACKOFF.min(FIRST_BACKOFF * 2_u32.pow(doublings)) + POD_START;
    let end = file.metadata().and_then(|metadata| metadata.modified());
    end.is_ok_and(|end| end.elapsed().unwrap_or_default() < delay)
}

impl Cursor {
    fn of(chosen: &Chosen<'_>) -> Self {
        let started = &chosen.attempt.started;
        Self {
            log: chosen.records.log.clone(),
            run: started.run.clone(),
            attempt: started.attempt,
            at: 0,
            waits: false,
        }
    }
}
