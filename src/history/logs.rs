//! `logs`: prints the preserved log of a run, or of some of its attempts, byte for byte.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use serde::Serialize;

use super::{HistoryError, Records, State};
use crate::volume::index::Attempt;
use crate::volume::{VolumeError, archive, index};

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

/// Prints the selected attempts.
pub fn print(
    records: &Records,
    selection: &Selection,
    json: bool,
    out: &mut impl Write,
) -> Result<(), HistoryError> {
    let chosen = select(records, selection)?;
    let several = selection.all || selection.failed || selection.run.is_some();
    for attempt in chosen {
        let span = Span::of(records, attempt);
        let mut text = match span.open(records) {
            Ok(text) => text,
            // A pruned log is no error when many are printed; it is told all the same.
            Err(error) if several && !json && error.source.kind() == io::ErrorKind::NotFound => {
                let started = &attempt.started;
                writeln!(
                    out,
                    "(the log of run {}, attempt {}, is no longer kept)",
                    started.run, started.attempt
                )?;
                continue;
            }
            Err(error) if json && error.source.kind() == io::ErrorKind::NotFound => Box::new(io::empty()),
            Err(error) => return Err(error.into()),
        };
        if json {
            print_json(records, attempt, &mut text, out)?;
        } else {
            io::copy(&mut text, out)?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Prints the last run's log, and what is added to it until its attempt ends.
pub fn follow(records: &Records, out: &mut impl Write) -> Result<(), HistoryError> {
    let chosen = select(records, &Selection::default())?;
    let Some(last) = chosen.last() else { return Ok(()) };
    let volume = &records.volume;
    let mut at = chosen.first().map_or(0, |first| first.started.offset);
    loop {
        // The state is read before the bytes: what was written before the end is printed.
        let attempts = index::read(&volume.state, &volume.state_path)?;
        let now = Records {
            volume: crate::volume::Volume::open(&volume.log_path, Some(&volume.state_path))?,
            attempts,
        };
        let current = now.attempts.iter().rfind(|known| known.started.run == last.started.run);
        let over = current.is_none_or(|attempt| now.state(attempt) != State::Running);
        let mut file = open_log(&now, last)?;
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(at.min(end)))?;
        at = at.min(end) + io::copy(&mut file, out)?;
        out.flush()?;
        if over {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn select<'a>(records: &'a Records, selection: &Selection) -> Result<Vec<&'a Attempt>, HistoryError> {
    let attempts = &records.attempts;
    let log = records.volume.log_name.to_string_lossy();
    let run = match &selection.run {
        Some(id) => {
            let exact = attempts.iter().rfind(|known| known.started.run == *id);
            let found = exact.or_else(|| attempts.iter().rfind(|known| known.started.run.starts_with(id)));
            Some(found.ok_or_else(|| HistoryError::UnknownRun { id: id.clone() })?.started.run.as_str())
        }
        None if selection.all || selection.failed => None,
        // The last run of this log; where the path names none that is known, the last of all.
        None => {
            let last = attempts.iter().rfind(|known| known.started.log == log).or(attempts.last());
            last.map(|last| last.started.run.as_str())
        }
    };
    let chosen: Vec<&Attempt> = attempts
        .iter()
        .filter(|known| run.is_none_or(|run| known.started.run == run))
        .filter(|known| selection.attempt.is_none_or(|number| known.started.attempt == number))
        .filter(|known| !selection.failed || known.ended.as_ref().is_none_or(|end| end.status != 0))
        .filter(|known| !selection.failed || records.state(known) != State::Running)
        .collect();
    match (selection.attempt, run) {
        (Some(attempt), Some(run)) if chosen.is_empty() => {
            Err(HistoryError::UnknownAttempt { run: run.into(), attempt })
        }
        _ => Ok(chosen),
    }
}

/// Where an attempt's bytes are: from its header to the next attempt of the same run, or the end.
struct Span<'a> {
    attempt: &'a Attempt,
    end: Option<u64>,
}

impl<'a> Span<'a> {
    fn of(records: &Records, attempt: &'a Attempt) -> Self {
        let started = &attempt.started;
        let next = records
            .attempts
            .iter()
            .find(|known| known.started.run == started.run && known.started.attempt == started.attempt + 1);
        Self { attempt, end: next.map(|next| next.started.offset) }
    }

    fn open(&self, records: &Records) -> Result<Box<dyn Read>, VolumeError> {
        let mut file = open_log(records, self.attempt)?;
        let offset = self.attempt.started.offset;
        file.seek(SeekFrom::Start(offset)).map_err(VolumeError::at("read", &records.volume.log_path))?;
        Ok(match self.end {
            Some(end) => Box::new(file.take(end.saturating_sub(offset))),
            None => Box::new(file),
        })
    }
}

/// The file that holds an attempt: the current log, when its last run is this one, else the archived one.
fn open_log(records: &Records, attempt: &Attempt) -> Result<File, VolumeError> {
    let (volume, started) = (&records.volume, &attempt.started);
    let current = records.attempts.iter().rfind(|known| known.started.log == started.log);
    if current.is_some_and(|known| known.started.run == started.run) {
        let path = volume.log_path.with_file_name(&started.log);
        return volume
            .directory
            .open_regular(&started.log, OFlags::RDONLY, 0)
            .map_err(VolumeError::at("open the preserved log", path));
    }
    let name = Path::new(archive::DIRECTORY).join(archive::name(&started.run));
    let path = volume.state_path.join(&name);
    volume
        .state
        .open_regular(&name, OFlags::RDONLY, 0)
        .map_err(VolumeError::at("open the preserved log", path))
}

fn print_json(
    records: &Records,
    attempt: &Attempt,
    text: &mut impl Read,
    out: &mut impl Write,
) -> Result<(), HistoryError> {
    #[derive(Serialize)]
    struct Json<'a> {
        #[serde(flatten)]
        started: &'a index::Started,
        ended: Option<&'a index::Ended>,
        interrupted: bool,
        output: &'a str,
    }
    let mut bytes = Vec::new();
    text.read_to_end(&mut bytes)?;
    let json = Json {
        started: &attempt.started,
        ended: attempt.ended.as_ref(),
        interrupted: records.state(attempt) == State::Interrupted,
        // JSON holds text only: bytes that are not UTF-8 become U+FFFD here, and stay in the file.
        output: &String::from_utf8_lossy(&bytes),
    };
    let line = serde_json::to_string(&json).map_err(io::Error::from)?;
    writeln!(out, "{line}")?;
    Ok(())
}
