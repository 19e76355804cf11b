//! `history`: one row per attempt, the newest first, and a last line with totals.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use super::error::HistoryError;
use super::row::Row;
use super::select::{Chosen, newest_first, short_length};
use super::shard::group;
use crate::support::durations::shown;
use crate::support::harmless::harmless;
use crate::volume::record::StepEnd;

/// How the table is printed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// The most attempts to print.
    pub number: Option<usize>,
    /// One JSON object per attempt.
    pub json: bool,
    /// Results in colour.
    pub color: bool,
    /// Columns of the terminal; `None` if stdout is none.
    pub width: Option<usize>,
    /// What is read has several logs.
    pub several_logs: bool,
}

const HEADS: [&str; 14] = [
    "STARTED", "LOG", "RELEASE", "REV", "EVENT", "RUN", "SHARD", "ATTEMPT", "RESULT", "DURATION", "COPIED",
    "JOB", "POD", "CAUSE",
];
/// Shown only if there are several logs.
const LOG: usize = 1;
const RESULT: usize = 8;
const CAUSE: usize = 13;
/// Long, and of the least use: POD, JOB. A narrow terminal leaves them out first.
const LONG: [usize; 2] = [12, 11];
/// Then these, in this order, those first that say the same in each row: COPIED, SHARD, DURATION, EVENT, REV, RELEASE, ATTEMPT,
/// LOG.
const DISPENSABLE: [usize; 8] = [10, 6, 9, 4, 3, 2, 7, LOG];
/// The cause gets the rest of the line. Other columns are left out until it has this width. Where that does not help, it gets a
/// line of its own.
const SHORTEST_CAUSE: usize = 20;
/// Before a cause on a line of its own.
const INDENT: &str = "  ";
/// The cause of an attempt without an end.
const INTERRUPTED: &str = "killed, out of memory, or the node went down";

/// Prints the attempts.
pub fn print(chosen: &[Chosen<'_>], style: Style, out: &mut impl Write) -> Result<(), HistoryError> {
    let newest = newest_first(chosen, style.number.unwrap_or(usize::MAX));
    let newest: Vec<Row<'_>> = newest.iter().map(Row::of).collect();
    if style.json {
        for row in &newest {
            let text = serde_json::to_string(row).map_err(std::io::Error::from)?;
            writeln!(out, "{text}")?;
        }
        return Ok(());
    }
    let length = short_length(newest.iter().map(|row| row.run));
    let cells: Vec<[String; 14]> = newest.iter().map(|row| cells(row, length)).collect();
    let columns = columns(&cells, style);
    print_row(&HEADS.map(String::from), &columns, style, out)?;
    let cause_below = columns.iter().all(|(column, _)| *column != CAUSE);
    for row in &cells {
        print_row(row, &columns, style, out)?;
        if cause_below && !row[CAUSE].is_empty() {
            let room = style.width.unwrap_or(usize::MAX).saturating_sub(INDENT.len());
            writeln!(out, "{INDENT}{}", cut(&row[CAUSE], room))?;
        }
    }
    writeln!(out, "{}", cut(&totals(&newest), style.width.unwrap_or(usize::MAX)))?;
    Ok(())
}

fn cells(row: &Row<'_>, id: usize) -> [String; 14] {
    let text = |text: Option<&str>| text.map(harmless).unwrap_or_default();
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let started = row.started.split('.').next().unwrap_or_default().trim_end_matches('Z');
    let result = match row.status {
        Some(status) if status != 0 => format!("{} ({status})", row.result),
        _ => row.result.to_owned(),
    };
    [
        harmless(&started.replace('T', " ")) + "Z",
        harmless(&row.given),
        text(row.release),
        text(row.revision),
        text(row.event),
        harmless(&group(row.run).chars().take(id).collect::<String>()),
        number(row.shard.map(u64::from)),
        row.attempt.to_string(),
        harmless(&result),
        row.duration_ms.map(|ms| shown(Duration::from_millis(ms))).unwrap_or_default(),
        number(row.files_copied),
        text(row.job),
        text(row.pod),
        if row.result == "interrupted" { INTERRUPTED.to_owned() } else { harmless(row.message) },
    ]
}

/// The columns to show, with their widths: those that are not empty, and of these as many as fit. Without CAUSE, the causes
/// stand on lines of their own.
fn columns(cells: &[[String; 14]], style: Style) -> Vec<(usize, usize)> {
    let width = |column: usize| {
        let widest = cells.iter().map(|row| width_of(&row[column])).max().unwrap_or(0);
        widest.max(width_of(HEADS[column]))
    };
    let says = |column: usize| match column {
        LOG => style.several_logs,
        _ => cells.is_empty() || cells.iter().any(|row| !row[column].is_empty()),
    };
    let mut columns: Vec<(usize, usize)> =
        (0..HEADS.len()).filter(|&column| says(column)).map(|column| (column, width(column))).collect();
    let Some(terminal) = style.width else { return columns };
    let before_cause = |columns: &[(usize, usize)]| -> usize {
        columns.iter().filter(|(column, _)| *column != CAUSE).map(|(_, width)| width + 2).sum()
    };
    let cause = columns.iter().find(|(column, _)| *column == CAUSE).map_or(0, |(_, width)| *width);
    let is_same = |column: &usize| cells.iter().all(|row| row[*column] == cells[0][*column]);
    let (same, differing): (Vec<usize>, Vec<usize>) = DISPENSABLE.into_iter().partition(is_same);
    for column in LONG.into_iter().chain(same).chain(differing) {
        if before_cause(&columns) + cause.min(SHORTEST_CAUSE) > terminal {
            columns.retain(|(other, _)| *other != column);
        }
    }
    let room = terminal.saturating_sub(before_cause(&columns));
    if room < cause.min(SHORTEST_CAUSE) {
        columns.retain(|(column, _)| *column != CAUSE);
    }
    for (column, width) in &mut columns {
        if *column == CAUSE {
            *width = room.min(*width);
        }
    }
    // Names can be long, and terminals very narrow: what is widest is cut.
    while before_cause(&columns) > terminal + 2 {
        let widest = columns.iter_mut().filter(|(_, width)| *width > 1).max_by_key(|(_, width)| *width);
        let Some((_, width)) = widest else { break };
        *width -= 1;
    }
    columns
}

fn print_row(
    row: &[String; 14],
    columns: &[(usize, usize)],
    style: Style,
    out: &mut impl Write,
) -> Result<(), HistoryError> {
    let mut line = String::new();
    for &(column, width) in columns {
        let text = cut(&row[column], width);
        let padding = width - width_of(&text);
        match color(&row[column]).filter(|_| style.color && column == RESULT) {
            Some(color) => line.push_str(&format!("\u{1b}[{color}m{text}\u{1b}[0m")),
            None => line.push_str(&text),
        }
        line.extend(std::iter::repeat_n(' ', padding + 2));
    }
    writeln!(out, "{}", line.trim_end())?;
    Ok(())
}

/// Green for success, cyan while it runs, yellow where the end is not known, red for a failure.
fn color(result: &str) -> Option<u8> {
    match result {
        "RESULT" => None,
        "succeeded" | "adopted" => Some(32),
        "running" => Some(36),
        "interrupted" | "unfinished" => Some(33),
        _ => Some(31),
    }
}

fn width_of(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

fn cut(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let mut shown = String::new();
    for c in text.chars() {
        if width_of(&shown) + unicode_width::UnicodeWidthChar::width(c).unwrap_or(0) + 1 > width {
            break;
        }
        shown.push(c);
    }
    shown + "…"
}

/// `3 runs, 4 attempts, 1 failed; slowest step: 2. exec ./migrate (4m05s)`.
pub(super) fn totals(rows: &[Row<'_>]) -> String {
    let runs: BTreeSet<&str> = rows.iter().map(|row| group(row.run)).collect();
    let failed = rows.iter().filter(|row| row.status.is_some_and(|status| status != 0)).count();
    let interrupted = rows.iter().filter(|row| ["interrupted", "unfinished"].contains(&row.result)).count();
    let mut parts = vec![count(runs.len(), "run"), count(rows.len(), "attempt"), format!("{failed} failed")];
    if interrupted > 0 {
        parts.push(format!("{interrupted} without an end"));
    }
    let slowest: Option<&StepEnd> = rows.iter().flat_map(|row| row.steps).max_by_key(|step| step.duration_ms);
    let slowest = slowest.map_or(String::new(), |step| {
        format!(
            "; slowest step: {} ({})",
            harmless(&step.step),
            shown(Duration::from_millis(step.duration_ms))
        )
    });
    parts.join(", ") + &slowest
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
