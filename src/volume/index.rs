//! `index.jsonl`: one line when an attempt starts, one when it ends. A line is appended by one write; a power
//! cut may tear the last one, which a reader skips and the next writer closes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{OFlags, Stat};
use serde::{Deserialize, Serialize};

use super::VolumeError;
use crate::support::rooted_dir::Dir;

const NAME: &str = "index.jsonl";
/// Beyond this size the older half of the lines goes at the next start; about 3,000 attempts.
const LIMIT: u64 = 2 << 20;
/// Bytes at its end that are looked at first: some ten attempts.
const BLOCK: u64 = 4096;

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
pub fn read(state: &Dir, state_path: &Path) -> Result<Vec<Attempt>, VolumeError> {
    let path = state_path.join(NAME);
    let mut text = Vec::new();
    match state.open_regular(NAME, OFlags::RDONLY, 0) {
        Ok(mut file) => file.read_to_end(&mut text).map_err(VolumeError::at("read", &path))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(VolumeError::at("open", &path)(error)),
    };
    Ok(join(text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).filter_map(parse)))
}

/// The index, open for reading and appending.
#[derive(Debug)]
pub struct Index {
    file: File,
    /// Bytes when it was opened.
    size: u64,
    path: PathBuf,
    /// Nobody else has it open.
    alone: bool,
    /// It is known to end with a whole line.
    whole: AtomicBool,
}

impl Index {
    /// Opens the index, making it where it is missing. With `alone`, which says that nobody else has it open, the older
    /// half of its lines goes once it has grown beyond its limit.
    pub fn open(state: &Dir, state_path: &Path, alone: bool) -> Result<Self, VolumeError> {
        let path = state_path.join(NAME);
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE;
        let open = || state.open_regular_stat(NAME, flags, 0o640).map_err(VolumeError::at("open", &path));
        let size = |stat: &Stat| u64::try_from(stat.st_size).unwrap_or(0);
        let (mut file, mut stat) = open()?;
        if alone && size(&stat) > LIMIT {
            trim(state, &path)?;
            (file, stat) = open()?;
        }
        let size = size(&stat);
        Ok(Self { file, size, path, alone, whole: AtomicBool::new(alone && size == 0) })
    }

    /// What a new attempt of `run` must know, in the order of their starts: the run's own attempts, and the last ones
    /// back to that which wrote the log `log`. Of an index of thousands, the other lines are not even parsed; a run that
    /// is `new` has none of its own, and then they are not even read.
    pub fn read_for(&self, run: &str, new: bool, log: &str) -> Result<Vec<Attempt>, VolumeError> {
        let mut length = BLOCK;
        let (newest, before) = loop {
            let from = self.size.saturating_sub(length);
            let text = self.read(from, self.size)?;
            if text.last() == Some(&b'\n') {
                self.whole.store(self.alone, Ordering::Relaxed);
            }
            let (newest, before) = back_to_start(&text, log);
            match before {
                Some(before) => break (newest, from + before),
                None if from == 0 => break (newest, 0),
                // Its end was too short: once more, with more of it.
                None => length *= 8,
            }
        };
        let mut older = Vec::new();
        if !new && before > 0 {
            let text = readable(self.read(0, before)?);
            // A run id names a file, so in JSON it is its own bytes between quotes.
            let mut done = 0;
            for (at, _) in text.match_indices(&format!("\"{run}\"")) {
                if at >= done {
                    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
                    done = text[at..].find('\n').map_or(text.len(), |length| at + length);
                    older.extend(parse(&text.as_bytes()[start..done]));
                }
            }
        }
        Ok(join(older.into_iter().chain(newest.into_iter().rev())))
    }

    fn read(&self, from: u64, to: u64) -> Result<Vec<u8>, VolumeError> {
        let mut text = vec![0; usize::try_from(to - from).unwrap_or(0)];
        self.file.read_exact_at(&mut text, from).map_err(VolumeError::at("read", &self.path))?;
        Ok(text)
    }

    /// Takes back what was appended since it was opened. Only for who has it alone.
    pub fn withdraw(&self) -> Result<(), VolumeError> {
        let cut = self.file.set_len(self.size).and_then(|()| self.file.sync_data());
        cut.map_err(VolumeError::at("shorten", &self.path))
    }

    /// Appends a line and makes it durable.
    pub fn append(&self, line: &Line) -> Result<(), VolumeError> {
        let mut text = Vec::with_capacity(512);
        // Not so until this line is: a volume that is full may take a part of it.
        if !self.whole.swap(false, Ordering::Relaxed) && self.is_torn()? {
            text.push(b'\n');
        }
        serde_json::to_writer(&mut text, line)
            .map_err(|error| VolumeError::at("write to", &self.path)(error.into()))?;
        text.push(b'\n');
        (&self.file).write_all(&text).map_err(VolumeError::at("write to", &self.path))?;
        self.whole.store(self.alone, Ordering::Relaxed);
        self.file.sync_data().map_err(VolumeError::at("write to", &self.path))
    }

    /// Whether its last line has no end. Others, copying their shares, may have appended a moment ago.
    fn is_torn(&self) -> Result<bool, VolumeError> {
        let length = self.file.metadata().map_err(VolumeError::at("read", &self.path))?.len();
        let mut last = [b'\n'];
        if length > 0 {
            self.file.read_exact_at(&mut last, length - 1).map_err(VolumeError::at("read", &self.path))?;
        }
        Ok(last != [b'\n'])
    }
}

/// The lines from the end of `text` back to the first that starts an attempt in `log`, in this order, and the number of
/// bytes before that, if there is one.
fn back_to_start(text: &[u8], log: &str) -> (Vec<Line>, Option<u64>) {
    let mut lines = Vec::new();
    let mut end = text.len();
    while end > 0 {
        let start = text[..end - 1].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        if let Some(line) = parse(&text[start..end]) {
            let found = matches!(&line, Line::Start(started) if started.log == log);
            lines.push(line);
            if found {
                return (lines, Some(start as u64));
            }
        }
        end = start;
    }
    (lines, None)
}

/// What is not text is no line of ours, and will not parse.
fn readable(text: Vec<u8>) -> String {
    String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Nothing for a line that a power cut tore.
fn parse(line: &[u8]) -> Option<Line> {
    serde_json::from_slice(line).ok()
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

/// Drops the older half.
fn trim(state: &Dir, path: &Path) -> Result<(), VolumeError> {
    let mut file = state.open_regular(NAME, OFlags::RDONLY, 0).map_err(VolumeError::at("open", path))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(VolumeError::at("read", path))?;
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
    write().map_err(VolumeError::at("shorten", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(state: &Dir, path: &Path, line: &Line) -> Result<(), VolumeError> {
        Index::open(state, path, false)?.append(line)
    }

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
        let index = Index::open(&state, path, true).unwrap();
        let known = index.read_for("mine", false, "log").unwrap();
        let runs: Vec<_> = known.iter().map(|attempt| attempt.started.run.as_str()).collect();
        assert_eq!(runs, ["mine", "here", "beside"]);
        assert_eq!(known[0].ended.as_ref().unwrap().status, 3);
        assert!(known[1].ended.is_none());
        assert_eq!(index.read_for("mine", false, "nowhere").unwrap().len(), 4);
        assert_eq!(index.read_for("another", true, "log").unwrap().len(), 2);
    }

    #[test]
    fn an_attempt_far_back_in_the_index_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let state = Dir::open(directory.path()).unwrap();
        let start = |run: &str, log: &str| {
            Line::Start(Started { run: run.into(), attempt: 1, log: log.into(), ..Started::default() })
        };
        let lines: String = [start("mine", "other"), start("here", "log"), ended("here", 1, 7)]
            .into_iter()
            .chain((0..3000).map(|at| start(&format!("beside-{at}"), "other")))
            .map(|line| serde_json::to_string(&line).unwrap() + "\n")
            .collect();
        std::fs::write(directory.path().join(NAME), &lines).unwrap();
        let index = Index::open(&state, directory.path(), true).unwrap();
        let known = index.read_for("mine", false, "log").unwrap();
        assert_eq!(known.len(), 3002);
        assert_eq!(known[0].started.run, "mine");
        assert_eq!(known[1].ended.as_ref().unwrap().status, 7);
        assert_eq!(index.read_for("mine", true, "log").unwrap().len(), 3001);
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
        Index::open(&state, directory.path(), false).unwrap();
        assert_eq!(read(&state, directory.path()).unwrap().len(), lines);
        Index::open(&state, directory.path(), true).unwrap();
        let left = read(&state, directory.path()).unwrap().len();
        assert!(left > lines / 2 - 3 && left < lines / 2 + 3, "{left} of {lines}");
    }
}
