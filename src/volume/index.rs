//! `index.jsonl`: one line when an attempt starts, one when it ends. A cache: what it says of an attempt whose log is
//! there is checked against the log, and a lost index costs only what retention has removed the logs of.
//!
//! A line is appended by one write; a power cut may tear the last one, which the next writer closes.

use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::error::VolumeError;
use super::record::{Ended, Line, Started};
use crate::support::rooted_dir::Dir;

pub(super) const NAME: &str = "index.jsonl";
/// Beyond this size the older half of the lines goes at the next start; about 3,000 attempts.
const LIMIT: u64 = 2 << 20;

/// The index of one history.
#[derive(Debug)]
pub(super) struct Index<'a> {
    directory: &'a Dir,
    path: PathBuf,
}

/// What the index says.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// In the order of their starts.
    pub(super) attempts: Vec<(Started, Option<Ended>)>,
    /// Lines that cannot be read.
    pub(super) unreadable: usize,
}

impl<'a> Index<'a> {
    pub(super) fn new(directory: &'a Dir, path: &Path) -> Self {
        Self { directory, path: path.join(NAME) }
    }

    /// All attempts; an index that is not there is empty, one that is no file cannot be read.
    pub(super) fn read(&self) -> Entries {
        let mut text = Vec::new();
        match self.directory.open_regular(NAME, OFlags::RDONLY, 0) {
            Ok(mut file) => match file.read_to_end(&mut text) {
                Ok(_) => join(&text),
                Err(_) => Entries { unreadable: 1, ..Entries::default() },
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Entries::default(),
            _ => Entries { unreadable: 1, ..Entries::default() },
        }
    }

    /// Appends a line and makes it durable. What stands in the index's place and is no file is set aside.
    pub(super) fn append(&self, line: &Line) -> Result<(), VolumeError> {
        let opened = self.directory.open_own(NAME, OFlags::RDWR | OFlags::APPEND);
        let mut file = opened.map_err(VolumeError::at("open", &self.path))?;
        let size = file.metadata().map_err(VolumeError::at("read", &self.path))?.len();
        let mut text = Vec::with_capacity(512);
        let mut last = [b'\n'];
        if size > 0 {
            file.read_exact_at(&mut last, size - 1).map_err(VolumeError::at("read", &self.path))?;
        }
        if last != [b'\n'] {
            text.push(b'\n');
        }
        serde_json::to_writer(&mut text, line)
            .map_err(|error| VolumeError::at("write to", &self.path)(error.into()))?;
        text.push(b'\n');
        let written = file.write_all(&text).and_then(|()| file.sync_data());
        written.map_err(VolumeError::at("write to", &self.path))
    }

    /// Drops the older half of an index that has grown beyond its limit.
    pub(super) fn trim(&self) -> Result<(), VolumeError> {
        let too_long = self
            .directory
            .find(NAME)
            .ok()
            .flatten()
            .is_some_and(|stat| u64::try_from(stat.st_size).is_ok_and(|size| size > LIMIT));
        if !too_long {
            return Ok(());
        }
        let trim = || {
            let mut text = Vec::new();
            self.directory.open_regular(NAME, OFlags::RDONLY, 0)?.read_to_end(&mut text)?;
            let half = text.len() / 2;
            let cut =
                text[half..].iter().position(|&byte| byte == b'\n').map_or(text.len(), |at| half + at + 1);
            let temporary = "index.jsonl.new";
            self.directory.remove_all(temporary)?;
            let mut file = self.directory.open_own(temporary, OFlags::WRONLY | OFlags::EXCL)?;
            file.write_all(&text[cut..])?;
            file.sync_data()?;
            self.directory.rename(temporary, self.directory, NAME)?;
            self.directory.sync().map(drop)
        };
        trim().map_err(VolumeError::at("shorten", &self.path))
    }
}

fn join(text: &[u8]) -> Entries {
    let mut unreadable = 0;
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let lines: Vec<Line> =
        lines.filter_map(|line| serde_json::from_slice(line).inspect_err(|_| unreadable += 1).ok()).collect();
    let mut entries = joined(lines);
    entries.unreadable += unreadable;
    entries
}

/// Each attempt with its end; an end without a start cannot be told.
pub(super) fn joined(lines: Vec<Line>) -> Entries {
    let mut entries = Entries::default();
    for line in lines {
        match line {
            Line::Start(started) => entries.attempts.push((started, None)),
            Line::End(ended) => {
                let same = |known: &&mut (Started, Option<Ended>)| {
                    known.0.run == ended.run && known.0.attempt == ended.attempt
                };
                match entries.attempts.iter_mut().rev().find(same) {
                    Some(known) => known.1 = Some(ended),
                    None => entries.unreadable += 1,
                }
            }
        }
    }
    entries
}
