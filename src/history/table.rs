//! `history`: one row per attempt.

use std::io::Write;

use serde::Serialize;

use super::{HistoryError, Records, State};
use std::time::Duration;

use crate::support::durations::shown;
use crate::volume::index::Attempt;

/// A row, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Row<'a> {
    started: &'a str,
    run: &'a str,
    attempt: u32,
    release: Option<&'a str>,
    revision: Option<&'a str>,
    hook: Option<&'a str>,
    result: String,
    status: Option<u8>,
    duration_ms: Option<u64>,
    files_copied: Option<u64>,
    log: &'a str,
    message: &'a str,
}

/// Prints the attempts, oldest first.
pub fn print(records: &Records, json: bool, out: &mut impl Write) -> Result<(), HistoryError> {
    let rows: Vec<Row<'_>> = records.attempts.iter().map(|attempt| row(records, attempt)).collect();
    if json {
        for row in &rows {
            let text = serde_json::to_string(row).map_err(std::io::Error::from)?;
            writeln!(out, "{text}")?;
        }
        return Ok(());
    }
    let heads = ["STARTED", "RELEASE", "REVISION", "RUN", "ATTEMPT", "RESULT", "DURATION", "COPIED"];
    let mut cells: Vec<[String; 8]> = vec![heads.map(String::from)];
    for row in &rows {
        let dash = || "-".to_owned();
        cells.push([
            row.started.split('.').next().unwrap_or_default().replace('T', " ") + "Z",
            row.release.map_or_else(dash, String::from),
            row.revision.map_or_else(dash, String::from),
            row.run.chars().take(36).collect(),
            row.attempt.to_string(),
            row.status
                .filter(|&status| status != 0)
                .map_or_else(|| row.result.clone(), |status| format!("{} ({status})", row.result)),
            row.duration_ms.map_or_else(dash, |ms| shown(Duration::from_millis(ms))),
            row.files_copied.map_or_else(dash, |files| files.to_string()),
        ]);
    }
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    for row in &cells {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}

fn row<'a>(records: &Records, attempt: &'a Attempt) -> Row<'a> {
    let (started, ended) = (&attempt.started, attempt.ended.as_ref());
    Row {
        started: &started.at,
        run: &started.run,
        attempt: started.attempt,
        release: started.release.as_deref(),
        revision: started.revision.as_deref(),
        hook: started.event_name.as_deref(),
        result: match records.state(attempt) {
            State::Running => "running".into(),
            State::Interrupted => "interrupted".into(),
            State::Ended => ended.map_or_else(String::new, |end| end.result.clone()),
        },
        status: ended.map(|end| end.status),
        duration_ms: ended.map(|end| end.duration_ms),
        files_copied: ended.map(|end| end.files_copied),
        log: &started.log,
        message: ended.map_or("", |end| &end.message),
    }
}
