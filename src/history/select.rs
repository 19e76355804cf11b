//! Which attempts are asked for.

use super::error::HistoryError;
use super::records::{Entry, Records, State};

/// Which attempts are asked for.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The run whose id begins so; without it the last run (or all, or the last failed).
    pub run: Option<String>,
    /// This attempt only.
    pub attempt: Option<u32>,
    /// Only attempts that did not succeed; of every run, unless one is named.
    pub failed: bool,
    /// Every run that is kept.
    pub all: bool,
}

impl Selection {
    /// The selected attempts, in the order of their starts.
    pub fn of<'a>(&self, records: &'a Records) -> Result<Vec<&'a Entry>, HistoryError> {
        let entries = &records.entries;
        let run = match &self.run {
            Some(id) => Some(run_with(entries, id)?),
            None if self.all || self.failed => None,
            None => entries.last().map(|last| (last.attempt.started.run.clone(), last.log.clone())),
        };
        let chosen: Vec<&Entry> = entries
            .iter()
            .filter(|entry| run.as_ref().is_none_or(|(run, log)| is_of(entry, run, log, self.run.is_some())))
            .filter(|entry| self.attempt.is_none_or(|number| entry.attempt.started.attempt == number))
            .filter(|entry| !self.failed || has_failed(entry))
            .collect();
        match (self.attempt, run) {
            (Some(attempt), Some((run, _))) if chosen.is_empty() => {
                Err(HistoryError::UnknownAttempt { run, attempt })
            }
            _ => Ok(chosen),
        }
    }
}

/// A run that was named may have several logs; the last run is the one of its log.
fn is_of(entry: &Entry, run: &str, log: &str, any_log: bool) -> bool {
    entry.attempt.started.run == run && (any_log || entry.log == log)
}

fn has_failed(entry: &Entry) -> bool {
    match entry.state {
        State::Running | State::Unknown => false,
        State::Interrupted => true,
        State::Ended => entry.attempt.ended.as_ref().is_some_and(|ended| ended.status != 0),
    }
}

fn run_with(entries: &[Entry], id: &str) -> Result<(String, String), HistoryError> {
    let mut found: Vec<&Entry> = entries.iter().filter(|entry| entry.attempt.started.run == id).collect();
    if found.is_empty() {
        found = entries.iter().filter(|entry| entry.attempt.started.run.starts_with(id)).collect();
    }
    let mut runs: Vec<String> = found.iter().map(|entry| entry.attempt.started.run.clone()).collect();
    runs.sort();
    runs.dedup();
    match (runs.len(), found.last()) {
        (0, _) | (_, None) => Err(HistoryError::UnknownRun { id: id.to_owned() }),
        (1, Some(last)) => Ok((last.attempt.started.run.clone(), last.log.clone())),
        _ => Err(HistoryError::AmbiguousRun { id: id.to_owned(), runs }),
    }
}
