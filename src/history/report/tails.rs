//! The end of each attempt's output, more of it for attempts that failed, all together within one limit.

use super::ansi::{Painter, affordable};
use crate::history::error::HistoryError;
use crate::history::filter::pieces;
use crate::history::log_end;
use crate::history::select::Chosen;
use crate::support::sizes::human_bytes;

/// Bytes of HTML of all outputs together.
const ALL: usize = 6 << 20;
/// Bytes of HTML of the newest attempt, of a failed one, of another.
const NEWEST: usize = 1 << 20;
const FAILED: usize = 256 << 10;
const OTHER: usize = 64 << 10;
/// Bytes of HTML that every attempt gets, however much the others take.
const LEAST: usize = 2 << 10;

/// The end of an attempt's output.
pub(super) struct Tail {
    /// What is left out, or why nothing is shown; empty when it is whole.
    pub(super) note: String,
    /// The output as HTML.
    pub(super) html: String,
}

/// The tails of `attempts`, which are sorted newest first, and what could not be read. Those that failed come first when
/// the limit is handed out.
pub(super) fn tails(attempts: &[Chosen<'_>], painter: &mut Painter) -> (Vec<Tail>, Vec<HistoryError>) {
    let mut order: Vec<usize> = (0..attempts.len()).collect();
    order.sort_by_key(|&at| !attempts[at].failed());
    let mut tails: Vec<Option<Tail>> = attempts.iter().map(|_| None).collect();
    let mut problems = Vec::new();
    let mut left = ALL;
    for (done, &at) in order.iter().enumerate() {
        let wanted = match attempts[at].failed() {
            _ if at == 0 => NEWEST,
            true => FAILED,
            false => OTHER,
        };
        let reserved = LEAST * (order.len() - done - 1);
        let limit = wanted.min(left.saturating_sub(reserved));
        let tail = tail(&attempts[at], limit, painter).unwrap_or_else(|error| {
            let note = error.to_string();
            problems.push(error);
            Tail { note, html: String::new() }
        });
        left = left.saturating_sub(tail.html.len());
        tails[at] = Some(tail);
    }
    (tails.into_iter().flatten().collect(), problems)
}

fn tail(chosen: &Chosen<'_>, limit: usize, painter: &mut Painter) -> Result<Tail, HistoryError> {
    let Some((file, frame)) = log_end::bytes_of(chosen.records, chosen.attempt)? else {
        let note = match chosen.records.without_bytes(chosen.attempt) {
            HistoryError::Unread { .. } => "Its log cannot be read by the user who made this page.",
            _ => "Its log is no longer kept.",
        };
        return Ok(Tail { note: note.into(), html: String::new() });
    };
    let output = frame.command_output();
    let from = output.end.saturating_sub(limit as u64).max(output.start);
    let mut bytes = Vec::new();
    pieces(&file, from..output.end, &mut |_, piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    let mut start = affordable(&bytes, limit);
    let all = output.end - output.start;
    if (bytes.len() - start) as u64 == all {
        let note = if all == 0 { "It printed nothing." } else { "" };
        return Ok(Tail { note: note.into(), html: painter.paint(&bytes) });
    }
    // Begin at the start of a line if one is near.
    let line = bytes[start..].iter().position(|&byte| byte == b'\n').map(|at| at + 1);
    start += line.filter(|at| *at < (bytes.len() - start) / 2).unwrap_or(0);
    let started = &chosen.attempt.started;
    let note = format!(
        "The last {} of {}; all of it: hook-runner logs --run {} --attempt {}",
        human_bytes((bytes.len() - start) as u64),
        human_bytes(all),
        started.run,
        started.attempt
    );
    Ok(Tail { note, html: painter.paint(&bytes[start..]) })
}
