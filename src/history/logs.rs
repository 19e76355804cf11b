//! `logs`: prints attempts, byte for byte, or as JSON.

use std::io::{self, Write};
use std::ops::Range;

use super::error::HistoryError;
use super::filter::{Filter, pieces};
use super::json;
use super::lines_out::LinesOut;
use super::log_end;
use super::row::Row;
use super::select::Chosen;
use super::times::Times;
use crate::support::harmless::harmless;
use crate::volume::frames::Frame;

/// How attempts are printed.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The part of the output.
    pub filter: Filter,
    /// The command's bytes alone, without headers and footers.
    pub raw: bool,
    /// Exactly these bytes. Otherwise each attempt and each part of one begins a line.
    pub verbatim: bool,
    /// One JSON object per attempt.
    pub json: bool,
    /// The time before each line of output.
    pub timestamps: bool,
    /// What is read has several logs: each is named before its output.
    pub several_logs: bool,
}

/// Prints the attempts. Those that cannot be read are left out and returned as problems.
pub fn print(
    chosen: &[Chosen<'_>],
    view: &View,
    out: &mut impl Write,
) -> Result<Vec<HistoryError>, HistoryError> {
    let mut problems = Vec::new();
    let mut log = None;
    let mut out = LinesOut::new(out);
    for one in chosen {
        if view.several_logs && !view.json && !view.raw && log != Some(&one.records.name) {
            out.begin_line()?;
            writeln!(out, "==> {} <==", harmless(&one.records.log))?;
            log = Some(&one.records.name);
        }
        match print_one(one, view, &mut out) {
            Err(error @ HistoryError::Print(_)) => return Err(error),
            Err(error) => problems.push(error),
            Ok(()) => {}
        }
    }
    out.flush()?;
    Ok(problems)
}

fn print_one(chosen: &Chosen<'_>, view: &View, out: &mut LinesOut<impl Write>) -> Result<(), HistoryError> {
    let Some((file, frame)) = log_end::bytes_of(chosen.records, chosen.attempt)? else {
        if view.json {
            json::print(&Row::of(chosen), None, out)?;
            return Ok(());
        }
        return Err(chosen.records.without_bytes(chosen.attempt));
    };
    let parts = parts(&frame, view)?;
    if view.json {
        let pass = |sink: &mut dyn FnMut(&[u8]) -> io::Result<()>| {
            view.filter.pass(&file, &parts, &mut |_, piece| sink(piece))
        };
        json::print(&Row::of(chosen), Some(&pass), out)?;
        return Ok(());
    }
    if !view.raw {
        out.begin_line()?;
        pieces(&file, frame.start..frame.output.start, &mut |_, piece| out.write_all(piece))?;
    }
    let times = view.timestamps.then(|| Times::of(&frame));
    let mut end = None;
    let mut write = |at: u64, piece: &[u8]| {
        if end != Some(at) && !view.verbatim {
            out.begin_line()?;
        }
        end = Some(at + piece.len() as u64);
        match &times {
            Some(times) => times.stamp(at, piece, out),
            None => out.write_all(piece),
        }
    };
    if view.timestamps {
        view.filter.pass_lines(&file, &parts, &mut write)?;
    } else {
        view.filter.pass(&file, &parts, &mut write)?;
    }
    if !view.raw {
        out.begin_line()?;
        pieces(&file, frame.output.end..frame.end, &mut |_, piece| out.write_all(piece))?;
    }
    Ok(())
}

/// The ranges of the file to print: all output or that of one step; for `raw` without the runner's own lines. Only the footer
/// says where these are and where steps begin, so an attempt without one is printed as a whole.
fn parts(frame: &Frame, view: &View) -> Result<Vec<Range<u64>>, HistoryError> {
    let all = frame.command_output();
    let within = |at: u64| all.start.saturating_add(at).min(all.end);
    let ended = frame.ended.as_ref();
    let chosen = match view.filter.step {
        None => all.clone(),
        Some(step) => {
            let steps = ended.map_or(&[][..], |ended| &ended.steps);
            let span = step.checked_sub(1).and_then(|at| steps.get(at));
            let span = span.ok_or_else(|| HistoryError::UnknownStep {
                run: frame.started.run.clone(),
                attempt: frame.started.attempt,
                step,
            })?;
            within(span.from)..within(span.to).max(within(span.from))
        }
    };
    if !view.raw {
        return Ok(vec![chosen]);
    }
    Ok(of_the_command(frame, chosen))
}

/// What the command printed of `range`: the runner's own lines are left out, if the attempt has ended.
pub(super) fn of_the_command(frame: &Frame, range: Range<u64>) -> Vec<Range<u64>> {
    let all = frame.command_output();
    let within = |at: u64| all.start.saturating_add(at).min(all.end);
    let own = frame.ended.as_ref().map_or(&[][..], |ended| &ended.own);
    without(range, own.iter().map(|&(from, to)| within(from)..within(to)))
}

/// What is left of `all` without `gaps`, which are in their order.
fn without(all: Range<u64>, gaps: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut left = Vec::new();
    let mut at = all.start;
    for gap in gaps {
        left.push(at..gap.start.min(all.end));
        at = at.max(gap.end);
    }
    left.push(at..all.end);
    left.retain(|range| !range.is_empty());
    left
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn gaps_are_left_out_wherever_they_stand() {
        let gaps = [0..12, 15..17, 17..18, 30..50];
        assert_eq!(without(10..40, gaps.into_iter()), [12..15, 18..30]);
        assert_eq!(without(10..40, [0..5, 20..30, 45..60].into_iter()), [10..20, 30..40]);
        assert_eq!(without(10..40, [0..60, 70..80].into_iter()), []);
    }
}
