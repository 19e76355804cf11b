//! `history`: one row per attempt.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use super::error::HistoryError;
use super::json::word;
use super::records::{Entry, Records, State};
use crate::support::durations::shown;

/// The fewest characters of a run's id that are shown.
const SHORTEST_ID: usize = 8;

/// A row, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Row<'a> {
    format: u32,
    started: &'a str,
    run: &'a str,
    attempt: u32,
    release: Option<&'a str>,
    revision: Option<&'a str>,
    hook: Option<&'a str>,
    job: Option<&'a str>,
    pod: Option<&'a str>,
    result: &'a str,
    status: Option<u8>,
    duration_ms: Option<u64>,
    files_copied: Option<u64>,
    retries: Option<u32>,
    log: &'a str,
    message: &'a str,
}

/// Prints the attempts, oldest first.
pub fn print(records: &Records, json: bool, out: &mut impl Write) -> Result<(), HistoryError> {
    let rows: Vec<Row<'_>> = records.entries.iter().map(row).collect();
    if json {
        for row in &rows {
            let text = serde_json::to_string(row).map_err(std::io::Error::from)?;
            writeln!(out, "{text}")?;
        }
        return Ok(());
    }
    let id_length = id_length(&rows);
    let heads = [
        "STARTED", "RELEASE", "REVISION", "HOOK", "JOB", "RUN", "ATTEMPT", "RESULT", "DURATION", "COPIED",
        "LOG", "CAUSE",
    ];
    let mut cells: Vec<[String; 12]> = vec![heads.map(String::from)];
    cells.extend(rows.iter().map(|row| cells_of(row, id_length)));
    let shown: Vec<usize> = (0..heads.len()).filter(|&column| is_shown(column, &cells)).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    for row in &cells {
        let line: Vec<String> =
            shown.iter().map(|&column| format!("{:<width$}", row[column], width = width(column))).collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}

/// Columns in which no attempt has anything are left out, and that of the log where there is one only.
fn is_shown(column: usize, cells: &[[String; 12]]) -> bool {
    let values: BTreeSet<&str> = cells[1..].iter().map(|row| row[column].as_str()).collect();
    match cells[0][column].as_str() {
        "LOG" => values.len() > 1,
        "RELEASE" | "REVISION" | "HOOK" | "JOB" | "CAUSE" => values.iter().any(|value| *value != "-"),
        _ => true,
    }
}

fn cells_of(row: &Row<'_>, id_length: usize) -> [String; 12] {
    let dash = || "-".to_owned();
    let text = |value: Option<&str>| value.map_or_else(dash, harmless);
    [
        row.started.split('.').next().unwrap_or_default().replace('T', " ") + "Z",
        text(row.release),
        text(row.revision),
        text(row.hook),
        text(row.job),
        harmless(&row.run.chars().take(id_length).collect::<String>()),
        row.attempt.to_string(),
        row.status
            .filter(|&status| status != 0)
            .map_or_else(|| harmless(row.result), |status| format!("{} ({status})", harmless(row.result))),
        row.duration_ms.map_or_else(dash, |ms| shown(Duration::from_millis(ms))),
        row.files_copied.map_or_else(dash, |files| files.to_string()),
        harmless(row.log),
        if row.message.is_empty() { dash() } else { harmless(row.message) },
    ]
}

/// Enough of an id to tell all runs apart.
fn id_length(rows: &[Row<'_>]) -> usize {
    let runs: BTreeSet<&str> = rows.iter().map(|row| row.run).collect();
    let longest = runs.iter().map(|run| run.chars().count()).max().unwrap_or(0);
    let is_enough = |length: usize| {
        let cut: BTreeSet<String> = runs.iter().map(|run| run.chars().take(length).collect()).collect();
        cut.len() == runs.len()
    };
    (SHORTEST_ID..longest).find(|&length| is_enough(length)).unwrap_or(longest)
}

/// What a log says of itself may be anybody's: nothing in it reaches a terminal as a command.
fn harmless(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

fn row(entry: &Entry) -> Row<'_> {
    let (started, ended) = (&entry.attempt.started, entry.attempt.ended.as_ref());
    Row {
        format: crate::volume::record::FORMAT,
        started: &started.at,
        run: &started.run,
        attempt: started.attempt,
        release: started.release.as_deref(),
        revision: started.revision.as_deref(),
        hook: started.event_name.as_deref(),
        job: started.job.as_deref(),
        pod: started.pod.as_deref(),
        result: match entry.state {
            State::Ended => ended.map_or("", |end| &end.result),
            other => word(other),
        },
        status: ended.map(|end| end.status),
        duration_ms: ended.map(|end| end.duration_ms),
        files_copied: ended.map(|end| end.files_copied),
        retries: ended.map(|end| end.retries),
        log: &entry.log,
        message: ended.map_or("", |end| &end.message),
    }
}
