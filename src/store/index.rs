//! `index.jsonl`: one line when an attempt starts, one when it ends. A line is appended by one write; a power
//! cut may tear the last one, which a reader skips and the next writer closes.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::beneath::Dir;

const NAME: &str = "index.jsonl";
/// Beyond this size the older half of the lines goes at the next start; about 3,000 attempts.
const LIMIT: u64 = 2 << 20;

/// An attempt started. Field names are the file's format; a reader ignores those it does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Started {
    /// The run's id.
    pub run: String,
    /// 1 for the run's first attempt.
    pub attempt: u32,
    /// RFC 3339.
    pub at: String,
    /// File name of the log.
    pub log: String,
    /// Bytes in the log before this attempt's header.
    pub offset: u64,
    /// Helm release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Helm revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Hook event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_name: Option<String>,
    /// Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
}

/// An attempt ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ended {
    /// The run's id.
    pub run: String,
    /// The attempt's number.
    pub attempt: u32,
    /// RFC 3339.
    pub at: String,
    /// Exit status of the runner.
    pub status: u8,
    /// The kind of end: succeeded, command, signal, io, …
    pub result: String,
    /// One sentence: what failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Files that the copies brought.
    pub files_copied: u64,
}

/// A line of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Line {
    /// An attempt started.
    Start(Started),
    /// An attempt ended.
    End(Ended),
}

/// An attempt with its end, if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// How it started.
    pub started: Started,
    /// How it ended; an attempt that was killed has no end.
    pub ended: Option<Ended>,
}

/// All attempts in the order of their starts; an index that is not there is empty.
pub fn read(state: &Dir, state_path: &Path) -> Result<Vec<Attempt>, StoreError> {
    let text = text(state, state_path)?;
    Ok(join(text.lines().filter_map(parse)))
}

/// What a new attempt of `run` must know, in the order of their starts: the run's own attempts, and the last ones back
/// to that which wrote the log `log`. Of an index of thousands, the other lines are not even parsed.
pub fn read_for(state: &Dir, state_path: &Path, run: &str, log: &str) -> Result<Vec<Attempt>, StoreError> {
    let text = text(state, state_path)?;
    let mut newest = Vec::new();
    let mut rest = &text[..];
    while !rest.is_empty() {
        let (before, line) = rest.trim_end_matches('\n').rsplit_once('\n').unwrap_or(("", rest));
        rest = before;
        let Some(line) = parse(line) else { continue };
        let complete = matches!(&line, Line::Start(started) if started.log == log);
        newest.push(line);
        if complete {
            break;
        }
    }
    // A run id names a file, so in JSON it is its own bytes between quotes.
    let mut older = Vec::new();
    let mut done = 0;
    for (at, _) in rest.match_indices(&format!("\"{run}\"")) {
        if at >= done {
            let start = rest[..at].rfind('\n').map_or(0, |end| end + 1);
            done = rest[at..].find('\n').map_or(rest.len(), |length| at + length);
            older.extend(parse(&rest[start..done]));
        }
    }
    Ok(join(older.into_iter().chain(newest.into_iter().rev())))
}

fn text(state: &Dir, state_path: &Path) -> Result<String, StoreError> {
    let path = state_path.join(NAME);
    let mut text = Vec::new();
    match state.open_regular(NAME, OFlags::RDONLY, 0) {
        Ok(mut file) => file.read_to_end(&mut text).map_err(StoreError::at("read", &path))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(StoreError::at("open", &path)(error)),
    };
    // What is not text is no line of ours, and will not parse.
    Ok(String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Nothing for a line that a power cut tore.
fn parse(line: &str) -> Option<Line> {
    serde_json::from_str(line).ok()
}

fn join(lines: impl Iterator<Item = Line>) -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = Vec::new();
    for line in lines {
        match line {
            Line::Start(started) => attempts.push(Attempt { started, ended: None }),
            Line::End(ended) => {
                let same = |known: &&mut Attempt| {
                    known.started.run == ended.run && known.started.attempt == ended.attempt
                };
                if let Some(attempt) = attempts.iter_mut().rev().find(same) {
                    attempt.ended = Some(ended);
                }
            }
        }
    }
    attempts
}

/// Appends a line and makes it durable.
pub fn append(state: &Dir, state_path: &Path, line: &Line) -> Result<(), StoreError> {
    let path = state_path.join(NAME);
    let mut file = state
        .open_regular(NAME, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE, 0o640)
        .map_err(StoreError::at("open", &path))?;
    let mut text = Vec::with_capacity(512);
    let length = file.seek(SeekFrom::End(0)).map_err(StoreError::at("read", &path))?;
    if length > 0 {
        let mut last = [b'\n'];
        file.seek(SeekFrom::End(-1)).map_err(StoreError::at("read", &path))?;
        file.read_exact(&mut last).map_err(StoreError::at("read", &path))?;
        if last != [b'\n'] {
            text.push(b'\n');
        }
    }
    serde_json::to_writer(&mut text, line)
        .map_err(|error| StoreError::at("write to", &path)(error.into()))?;
    text.push(b'\n');
    file.write_all(&text).and_then(|()| file.sync_data()).map_err(StoreError::at("write to", &path))
}

/// Drops the older half once the index has grown beyond its limit.
pub fn trim(state: &Dir, state_path: &Path) -> Result<(), StoreError> {
    let path = state_path.join(NAME);
    let stat = state.find(NAME).map_err(StoreError::at("look for", &path))?;
    if stat.is_none_or(|stat| u64::try_from(stat.st_size).unwrap_or(0) <= LIMIT) {
        return Ok(());
    }
    let Ok(mut file) = state.open_regular(NAME, OFlags::RDONLY, 0) else { return Ok(()) };
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(StoreError::at("read", &path))?;
    let half = text.len() / 2;
    let cut = text[half..].iter().position(|&byte| byte == b'\n').map_or(text.len(), |at| half + at + 1);
    let temporary = "index.jsonl.new";
    let write = || {
        state.remove_all(temporary)?;
        let mut file = state.create_new(temporary, 0o640)?;
        file.write_all(&text[cut..])?;
        file.sync_data()?;
        state.rename(temporary, state, NAME)?;
        state.sync()
    };
    write().map_err(StoreError::at("shorten", &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(run: &str, attempt: u32) -> Line {
        Line::Start(Started { run: run.into(), attempt, ..Started::default() })
    }

    fn ended(run: &str, attempt: u32, status: u8) -> Line {
        Line::End(Ended { run: run.into(), attempt, status, ..Ended::default() })
    }

    #[test]
    fn a_new_attempt_learns_of_its_own_run_and_of_the_last_one_in_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let state = Dir::open(directory.path()).unwrap();
        let path = directory.path();
        let start = |run: &str, log: &str| {
            Line::Start(Started { run: run.into(), attempt: 1, log: log.into(), ..Started::default() })
        };
        for line in [
            start("mine", "log"),
            ended("mine", 1, 3),
            start("old", "log"),
            ended("old", 1, 0),
            start("here", "log"),
            start("beside", "other"),
            ended("beside", 1, 0),
        ] {
            append(&state, path, &line).unwrap();
        }
        let known = read_for(&state, path, "mine", "log").unwrap();
        let runs: Vec<_> = known.iter().map(|attempt| attempt.started.run.as_str()).collect();
        assert_eq!(runs, ["mine", "here", "beside"]);
        assert_eq!(known[0].ended.as_ref().unwrap().status, 3);
        assert!(known[1].ended.is_none());
        assert_eq!(read_for(&state, path, "mine", "nowhere").unwrap().len(), 4);
    }

    #[test]
    fn a_torn_last_line_is_tolerated_and_closed_by_the_next_writer() {
        let directory = tempfile::tempdir().unwrap();
        let state = Dir::open(directory.path()).unwrap();
        let path = directory.path();
        append(&state, path, &started("a", 1)).unwrap();
        append(&state, path, &ended("a", 1, 3)).unwrap();
        let file = path.join(NAME);
        let mut bytes = std::fs::read(&file).unwrap();
        bytes.extend_from_slice(b"{\"event\":\"start\",\"run\":\"b");
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(read(&state, path).unwrap().len(), 1);
        append(&state, path, &started("c", 1)).unwrap();
        let attempts = read(&state, path).unwrap();
        assert_eq!(attempts.len(), 2);
        assert_eq!(attempts[0].ended.as_ref().unwrap().status, 3);
        assert_eq!(attempts[1].started.run, "c");
        assert!(attempts[1].ended.is_none(), "an attempt without an end is one that was interrupted");
    }

    #[test]
    fn the_index_does_not_grow_without_bound() {
        let directory = tempfile::tempdir().unwrap();
        let state = Dir::open(directory.path()).unwrap();
        let line = serde_json::to_string(&started(&"x".repeat(1000), 1)).unwrap() + "\n";
        let lines = usize::try_from(LIMIT).unwrap() / line.len() + 2;
        std::fs::write(directory.path().join(NAME), line.repeat(lines)).unwrap();
        trim(&state, directory.path()).unwrap();
        let left = read(&state, directory.path()).unwrap().len();
        assert!(left > lines / 2 - 3 && left < lines / 2 + 3, "{left} of {lines}");
    }
}
