//! Selects attempts by run, log, release and time.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::time::SystemTime;

use super::error::HistoryError;
use super::records::Records;
use super::shard::group;
use super::state::State;
use crate::support::harmless::harmless;
use crate::volume::Attempt;

/// The fewest characters of a run's id that are shown, as git's.
const SHORTEST_ID: usize = 7;

/// What to select.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The run whose id begins with this.
    pub run: Option<String>,
    /// This attempt only.
    pub attempt: Option<u32>,
    /// Only attempts that did not succeed.
    pub failed: bool,
    /// Every run, not only each log's last.
    pub all: bool,
    /// Only attempts that began at this time or later.
    pub since: Option<SystemTime>,
    /// Only attempts that began at this time or before.
    pub until: Option<SystemTime>,
    /// Only of this Helm release.
    pub release: Option<String>,
    /// Only of this revision.
    pub revision: Option<String>,
    /// Only of this log.
    pub log: Option<OsString>,
}

/// An attempt, and the log that it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Chosen<'a> {
    /// The log.
    pub records: &'a Records,
    /// The attempt.
    pub attempt: &'a Attempt,
}

/// Selects attempts; those of one log stay in the order of their starts.
pub fn select<'a>(all: &'a [Records], selection: &Selection) -> Result<Vec<Chosen<'a>>, HistoryError> {
    let known: Vec<Chosen<'_>> = all
        .iter()
        .flat_map(|records| records.attempts.iter().map(move |attempt| Chosen { records, attempt }))
        .filter(|chosen| selection.wants(chosen))
        .collect();
    let run = selection.run.as_deref().map(|id| resolve(&known, id)).transpose()?;
    let many = selection.all || selection.failed || selection.since.is_some() || selection.until.is_some();
    let last = last_runs(&known);
    let chosen: Vec<Chosen<'_>> = known
        .iter()
        .filter(|chosen| match &run {
            Some(Run::One(run)) => chosen.attempt.started.run == *run,
            Some(Run::Group(run)) => group(&chosen.attempt.started.run) == run,
            None => {
                many || last.get(chosen.records.given.as_os_str())
                    == Some(&group(&chosen.attempt.started.run))
            }
        })
        .filter(|chosen| selection.attempt.is_none_or(|number| chosen.attempt.started.attempt == number))
        .filter(|chosen| !selection.failed || chosen.failed())
        .copied()
        .collect();
    match selection.attempt {
        Some(attempt) if chosen.is_empty() => {
            let last = known.last().map(|chosen| chosen.attempt.started.run.clone());
            let run = selection.run.clone().or(last).unwrap_or_default();
            Err(HistoryError::UnknownAttempt { run, attempt })
        }
        _ => Ok(chosen),
    }
}

impl Selection {
    fn wants(&self, chosen: &Chosen<'_>) -> bool {
        let started = &chosen.attempt.started;
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        // An attempt with an unreadable time is shown rather than left out.
        let at = humantime::parse_rfc3339(&started.at).ok();
        is(&self.release, started.release.as_deref())
            && is(&self.revision, started.revision.as_deref())
            && self.log.as_deref().is_none_or(|wanted| is_log(chosen.records, wanted))
            && self.since.is_none_or(|since| at.is_none_or(|at| at >= since))
            && self.until.is_none_or(|until| at.is_none_or(|at| at <= until))
    }
}

/// A name is given as it is, or as the JSON or the table shows it.
fn is_log(records: &Records, name: &OsStr) -> bool {
    [&records.name, &records.given].into_iter().any(|log| {
        let text = log.to_string_lossy();
        name == log || name == &*text || name == harmless(&text).as_str()
    })
}

impl Chosen<'_> {
    pub(super) fn failed(&self) -> bool {
        match &self.attempt.ended {
            Some(ended) => ended.status != 0,
            None => State::of(self.records, self.attempt) != State::Running,
        }
    }
}

enum Run {
    One(String),
    /// All shards of a run.
    Group(String),
}

/// The run with exactly this id, or the only one whose id begins with it.
fn resolve(known: &[Chosen<'_>], id: &str) -> Result<Run, HistoryError> {
    let ids = || known.iter().map(|chosen| chosen.attempt.started.run.as_str());
    if ids().any(|run| run == id) {
        return Ok(Run::One(id.to_owned()));
    }
    if ids().any(|run| group(run) == id) {
        return Ok(Run::Group(id.to_owned()));
    }
    let beginning: BTreeSet<&str> = ids().map(group).filter(|run| run.starts_with(id)).collect();
    match (beginning.len(), beginning.first()) {
        (1, Some(run)) => Ok(Run::Group((*run).to_owned())),
        (0, _) | (_, None) => Err(HistoryError::UnknownRun { id: id.to_owned() }),
        _ => Err(HistoryError::Ambiguous {
            id: id.to_owned(),
            runs: beginning.into_iter().map(harmless).collect(),
        }),
    }
}

/// The last run of each log; the shards of a log have one together.
fn last_runs<'a>(known: &[Chosen<'a>]) -> BTreeMap<&'a OsStr, &'a str> {
    // Within one log the order counts, even if the clock was set back.
    let logs = known.chunk_by(|a, b| std::ptr::eq(a.records, b.records));
    let mut newest: Vec<&Chosen<'a>> = logs.filter_map(|log| log.last()).collect();
    newest.sort_by_key(|chosen| &chosen.attempt.started.at);
    let run = |chosen: &&Chosen<'a>| (chosen.records.given.as_os_str(), group(&chosen.attempt.started.run));
    newest.iter().map(run).collect()
}

/// The newest `number` attempts. Those of one log keep the order of their starts, even if the clock was set back; several logs
/// are merged by start time.
pub(super) fn newest_first<'a>(chosen: &[Chosen<'a>], number: usize) -> Vec<Chosen<'a>> {
    let mut logs: Vec<Vec<Chosen<'a>>> =
        chosen.chunk_by(|a, b| std::ptr::eq(a.records, b.records)).map(<[_]>::to_vec).collect();
    let mut newest = Vec::new();
    while newest.len() < number {
        let last = logs.iter_mut().max_by_key(|log| log.last().map(|chosen| &chosen.attempt.started.at));
        let Some(chosen) = last.and_then(Vec::pop) else { break };
        newest.push(chosen);
    }
    newest
}

/// How many characters of the ids are needed to tell the runs apart.
pub(super) fn short_length<'a>(runs: impl Iterator<Item = &'a str>) -> usize {
    let runs: BTreeSet<&str> = runs.map(group).collect();
    // In a sorted list, the ids with the longest common beginning are neighbours.
    let common = |(a, b): (&&str, &&str)| a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let longest = runs.iter().zip(runs.iter().skip(1)).map(common).max().unwrap_or(0);
    SHORTEST_ID.max(longest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ids_are_as_long_as_they_must_be() {
        assert_eq!(short_length(["a", "b"].into_iter()), 7);
        assert_eq!(short_length(["0123456789", "0123456780"].into_iter()), 10);
        assert_eq!(short_length(["0123456789.shard-0", "0123456789.shard-1"].into_iter()), 7);
    }
}
