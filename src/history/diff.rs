//! `diff`: what a run, or all runs after one up to another, changed on the volume; one line per entry, as `rsync -i` prints.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use super::error::HistoryError;
use super::records::Records;
use super::select::{Chosen, Selection, select};
use crate::support::harmless::harmless;
use crate::volume::{Attempt, Change};

/// The runs to compare.
#[derive(Debug, Clone, Default)]
pub struct Range {
    /// Only runs after this one.
    pub after: Option<String>,
    /// Up to this run; by default the last one.
    pub up_to: Option<String>,
}

/// The changes of these runs, merged.
#[derive(Debug, Default)]
pub struct Diff {
    changes: Vec<Change>,
    /// Changes that the runs did not list one by one.
    more: u64,
    /// Runs whose changes are unknown.
    pub problems: Vec<HistoryError>,
}

/// Merges the changes of the runs of `range`.
pub fn diff(all: &[Records], range: &Range) -> Result<Diff, HistoryError> {
    let last = select(all, &Selection { run: range.up_to.clone(), ..Selection::default() })?;
    let chosen = match &range.after {
        None => last,
        Some(after) => {
            let first = select(all, &Selection { run: Some(after.clone()), ..Selection::default() })?;
            let no_order = || HistoryError::NoOrder {
                earlier: after.clone(),
                later: range.up_to.clone().unwrap_or_default(),
            };
            let chosen = between(&first, &last);
            if chosen.is_empty() {
                return Err(no_order());
            }
            chosen
        }
    };
    let mut diff = Diff::default();
    let mut entries = BTreeMap::new();
    for run in chosen.chunk_by(|a, b| a.attempt.started.run == b.attempt.started.run) {
        let mut is_known = false;
        for one in run {
            match one.records.changes_of(one.attempt) {
                Ok(None) => is_known |= copied_nothing(one.attempt),
                Ok(Some(changes)) => {
                    is_known = true;
                    diff.more += changes.more;
                    changes.items.into_iter().for_each(|change| fold(&mut entries, change));
                }
                Err(error) => diff.problems.push(error.into()),
            }
        }
        if !is_known {
            diff.problems.push(HistoryError::NoChanges { run: run[0].attempt.started.run.clone() });
        }
    }
    diff.changes = entries.into_values().collect();
    Ok(diff)
}

/// Whether the attempt ended without a copy among its steps.
fn copied_nothing(attempt: &Attempt) -> bool {
    attempt.ended.as_ref().is_some_and(|ended| !ended.steps.iter().any(|step| step.step.starts_with("copy ")))
}

/// In each log that has both runs, the attempts after `first` up to `last`; shards have a log each.
fn between<'a>(first: &[Chosen<'a>], last: &[Chosen<'a>]) -> Vec<Chosen<'a>> {
    let place = |chosen: &Chosen<'a>| {
        chosen.records.attempts.iter().position(|attempt| std::ptr::eq(attempt, chosen.attempt))
    };
    let within = |log: &[Chosen<'a>]| {
        let to = log.last()?;
        let from = first.iter().rfind(|chosen| std::ptr::eq(chosen.records, to.records))?;
        let attempts = to.records.attempts.get(place(from)? + 1..=place(to)?)?;
        Some(attempts.iter().map(|attempt| Chosen { records: to.records, attempt }))
    };
    last.chunk_by(|a, b| std::ptr::eq(a.records, b.records)).filter_map(within).flatten().collect()
}

/// Merges a later change of an entry with an earlier one into the change from before the earlier to after the later.
fn fold(entries: &mut BTreeMap<(Vec<u8>, Vec<u8>), Change>, mut later: Change) {
    let key = (later.to.clone(), later.path.clone());
    let Some(earlier) = entries.remove(&key) else {
        entries.insert(key, later);
        return;
    };
    match (earlier.action.as_str(), later.action.as_str()) {
        // It did not exist before, and does not exist now.
        ("installed", "removed") => return,
        ("installed", "replaced" | "metadata") => later.action = "installed".into(),
        ("removed", "installed") => later.action = "replaced".into(),
        ("replaced" | "metadata", "replaced" | "metadata") => {
            if earlier.action == "replaced" {
                later.action = earlier.action;
            }
            later.differs.push_str(&earlier.differs);
        }
        // `kept` and `left` changed nothing: the earlier change stands.
        ("installed" | "replaced" | "removed" | "conflict" | "metadata", "kept" | "left") => later = earlier,
        _ => {}
    }
    entries.insert(key, later);
}

/// Prints one line per entry, and a heading for each destination if there are several.
pub fn print(diff: &Diff, json: bool, out: &mut dyn Write) -> Result<(), HistoryError> {
    if json {
        return print_json(diff, out);
    }
    let several = diff.changes.windows(2).any(|pair| pair[0].to != pair[1].to);
    let mut to = None;
    for change in &diff.changes {
        if several && to != Some(&change.to) {
            writeln!(out, "==> {} <==", shown(&change.to))?;
            to = Some(&change.to);
        }
        writeln!(out, "{}", line(change))?;
    }
    if diff.more > 0 {
        writeln!(out, "{} more entries were changed, which the runs did not list", diff.more)?;
    }
    Ok(())
}

fn print_json(diff: &Diff, out: &mut dyn Write) -> Result<(), HistoryError> {
    #[derive(Serialize)]
    struct Row<'a> {
        schema: u32,
        change: String,
        #[serde(flatten)]
        entry: &'a Change,
    }
    for entry in &diff.changes {
        let row = Row { schema: super::row::SCHEMA, change: itemized(entry), entry };
        writeln!(out, "{}", serde_json::to_string(&row).map_err(std::io::Error::from)?)?;
    }
    Ok(())
}

/// A line as `rsync -i` prints it: the change, the kind of entry, and the path.
pub(super) fn line(change: &Change) -> String {
    let slash = if change.kind == "directory" { "/" } else { "" };
    let target = if change.target.is_empty() { "" } else { " -> " };
    let (path, to) = (shown(&change.path), shown(&change.target));
    let why = match change.action.as_str() {
        "installed" | "replaced" | "removed" => String::new(),
        "metadata" if !change.differs.is_empty() => String::new(),
        _ => format!(" ({})", harmless(&change.reason)),
    };
    format!("{} {path}{slash}{target}{to}{why}", itemized(change))
}

fn shown(path: &[u8]) -> String {
    harmless(&String::from_utf8_lossy(path))
}

/// The eleven characters of `rsync -i`. An entry of another type than before is a new one, as rsync removes what was there.
pub(super) fn itemized(change: &Change) -> String {
    let kind = match change.kind.as_str() {
        "file" => 'f',
        "directory" => 'd',
        "link" => 'L',
        _ => 'S',
    };
    // A file is transferred; a directory or link is made here.
    let update = if kind == 'f' { '>' } else { 'c' };
    match (change.action.as_str(), change.differs.as_str()) {
        ("installed", _) => format!("{update}{kind}+++++++++"),
        ("replaced", differs) if differs.contains('+') => format!("{update}{kind}+++++++++"),
        // Lists of earlier versions.
        ("replaced", "") => format!("{update}{kind}c........"),
        ("replaced", differs) => format!("{update}{kind}{}", letters(differs)),
        ("metadata", differs) if !differs.is_empty() => format!(".{kind}{}", letters(differs)),
        ("removed", _) => "*deleting  ".to_owned(),
        (action, _) => format!("{:<11}", format!("*{}", harmless(action))),
    }
}

fn letters(differs: &str) -> String {
    "cstpoguax".chars().map(|letter| if differs.contains(letter) { letter } else { '.' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(actions: &[&str]) -> Vec<String> {
        let mut entries = BTreeMap::new();
        for action in actions {
            let change = Change { path: "a".into(), action: (*action).into(), ..Change::default() };
            fold(&mut entries, change);
        }
        entries.into_values().map(|change| change.action).collect()
    }

    #[test]
    fn several_changes_of_an_entry_are_told_as_one() {
        for (actions, told) in [
            (&["installed", "replaced"][..], &["installed"][..]),
            (&["installed", "removed"], &[]),
            (&["installed", "removed", "installed"], &["installed"]),
            (&["replaced", "removed"], &["removed"]),
            (&["removed", "installed"], &["replaced"]),
            (&["replaced", "kept"], &["replaced"]),
            (&["kept", "conflict"], &["conflict"]),
            (&["conflict", "kept"], &["conflict"]),
            (&["conflict", "replaced"], &["replaced"]),
            (&["installed", "metadata"], &["installed"]),
            (&["replaced", "metadata"], &["replaced"]),
            (&["metadata", "replaced"], &["replaced"]),
            (&["metadata", "kept"], &["metadata"]),
            (&["metadata", "removed"], &["removed"]),
        ] {
            assert_eq!(folded(actions), told, "{actions:?}");
        }
    }
}
