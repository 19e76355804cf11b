//! `index.jsonl`: one line when an attempt starts, one when it ends. A cache: what it says is checked against the logs,
//! and if it is lost, only attempts whose logs were removed by retention are lost with it.
//!
//! Each line is appended by one write. A power failure may tear the last one; the next writer ends it.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::error::VolumeError;
use super::record::{Ended, Line, Started};
use crate::support::os::FileExt;
use crate::support::rooted_dir::{Dir, OFlags};

pub(super) const NAME: &str = "index.jsonl";
/// Above this size, the next start removes the older half of the lines; about 3,000 attempts.
const LIMIT: u64 = 2 << 20;

#[derive(Debug)]
pub(super) struct Index<'a> {
    directory: &'a Dir,
    path: PathBuf,
}

/// The content of the index.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// In order of their starts.
    pub(super) attempts: Vec<(Started, Option<Ended>)>,
    /// The number of lines that cannot be read.
    pub(super) unreadable: usize,
}

impl<'a> Index<'a> {
    pub(super) fn new(directory: &'a Dir, path: &Path) -> Self {
        Self { directory, path: path.join(NAME) }
    }

    /// All attempts. A missing index is empty; one that is no file is unreadable.
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

    /// Appends a line durably. An entry in its place that is no file is set aside.
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

    /// Removes the older half of an index above its limit.
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

/// Joins starts and ends. An end without a start is dropped.
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
