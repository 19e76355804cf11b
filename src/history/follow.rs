//! `logs --follow`: prints a run's log and what is added to it until its attempt ends.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::error::HistoryError;
use super::logs::part;
use super::records::{Records, State};
use super::select::Selection;

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(200);

/// Follows the selected run, the last one by default.
pub fn follow(
    path: &Path,
    state: Option<&Path>,
    selection: &Selection,
    out: &mut impl Write,
) -> Result<(), HistoryError> {
    let mut records = Records::open(path, state)?;
    let first = selection.of(&records)?.first().map(|entry| entry.attempt.started.clone());
    let Some(first) = first else { return Ok(()) };
    let exact =
        Selection { run: Some(first.run.clone()), attempt: selection.attempt, ..Selection::default() };
    let mut at = first.offset;
    loop {
        let chosen = exact.of(&records)?;
        // The state was read before the bytes: what was written before the end is printed.
        let over = chosen.last().is_none_or(|last| last.state != State::Running);
        for entry in &chosen {
            if let Some((mut file, frame)) = records.bytes(entry)?
                && frame.end > at
            {
                io::copy(&mut part(&mut file, at.max(frame.start)..frame.end)?, out)?;
                at = frame.end;
            }
        }
        out.flush()?;
        if over {
            return Ok(());
        }
        std::thread::sleep(LOOK);
        records = Records::open(path, state)?;
    }
}
