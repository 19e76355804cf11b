//! `index.jsonl`: one line when an attempt starts, one when it ends. A cache: what it says is checked against the logs,
//! and if it is lost, only attempts whose logs were removed by retention are lost with it.
//!
//! Each line is appended by one write. A power failure may tear the last one; the next writer ends it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::attempt::Attempt;
use super::error::VolumeError;
use super::record::{Ended, Line, Started};
use crate::support::os::FileExt;
use crate::support::rooted_dir::{Dir, FileType, OFlags};

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
    pub(super) fn read(&self) -> Result<Entries, VolumeError> {
        let mut text = Vec::new();
        let opened = self.directory.open_regular(NAME, OFlags::RDONLY, 0);
        match opened.and_then(|mut file| file.read_to_end(&mut text)) {
            Ok(_) => Ok(join(&text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Entries::default()),
            Err(_) if self.is_no_file() => Ok(Entries { unreadable: 1, ..Entries::default() }),
            Err(error) => Err(VolumeError::at("read", &self.path)(error)),
        }
    }

    fn is_no_file(&self) -> bool {
        let found = self.directory.find(NAME).ok().flatten();
        found.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile)
    }

    /// Makes an index anew that is lost or has lines that cannot be read, from all `attempts` that are known. A damaged one
    /// is kept beside it, under the name that is returned.
    pub(super) fn mend(&self, attempts: &[Attempt]) -> Result<Option<OsString>, VolumeError> {
        let entries = self.read()?;
        let lines = attempts.iter().flat_map(|attempt| {
            [Some(Line::Start(attempt.started.clone())), attempt.ended.clone().map(Line::End)]
        });
        let lines: Vec<Line> = lines.flatten().collect();
        if entries.unreadable == 0 {
            // Appended: a failing volume may have denied an index that is there.
            if entries.attempts.is_empty() && !lines.is_empty() {
                self.append(&lines)?;
            }
            return Ok(None);
        }
        let replace = || {
            let draft = self.draft(&text(&lines)?)?;
            let aside = self.directory.set_aside(NAME)?;
            self.publish(draft)?;
            Ok(aside)
        };
        replace().map(Some).map_err(VolumeError::at("make anew", &self.path))
    }

    /// Appends lines durably. An entry in its place that is no file is set aside.
    pub(super) fn append(&self, lines: &[Line]) -> Result<(), VolumeError> {
        let opened = self.directory.open_own(NAME, OFlags::RDWR | OFlags::APPEND);
        let mut file = opened.map_err(VolumeError::at("open", &self.path))?;
        let size = file.metadata().map_err(VolumeError::at("read", &self.path))?.len();
        let mut last = [b'\n'];
        if size > 0 {
            file.read_exact_at(&mut last, size - 1).map_err(VolumeError::at("read", &self.path))?;
        }
        let mut new = if last == [b'\n'] { Vec::new() } else { vec![b'\n'] };
        let text = text(lines).map_err(VolumeError::at("write to", &self.path))?;
        new.extend_from_slice(&text);
        let written = file.write_all(&new).and_then(|()| file.sync_data());
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
            let file = self.draft(&without_strays(&text[cut..]))?;
            self.publish(file)
        };
        trim().map_err(VolumeError::at("shorten", &self.path))
    }

    /// A new index beside the one that is in force, durable.
    fn draft(&self, text: &[u8]) -> io::Result<&'static str> {
        let temporary = "index.jsonl.new";
        self.directory.remove_all(temporary)?;
        let mut file = self.directory.open_own(temporary, OFlags::WRONLY | OFlags::EXCL)?;
        file.write_all(text)?;
        file.sync_data()?;
        Ok(temporary)
    }

    fn publish(&self, draft: &str) -> io::Result<()> {
        self.directory.rename(draft, self.directory, NAME)?;
        self.directory.sync().map(drop)
    }
}

fn text(lines: &[Line]) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(512);
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// The lines without ends whose start is not among them, which nobody could tell of.
fn without_strays(text: &[u8]) -> Vec<u8> {
    let mut begun = HashSet::new();
    let mut is_kept = |line: &&[u8]| match serde_json::from_slice(line) {
        Ok(Line::Start(started)) => {
            begun.insert((started.run, started.attempt));
            true
        }
        Ok(Line::End(ended)) => begun.contains(&(ended.run, ended.attempt)),
        Err(_) => true,
    };
    text.split_inclusive(|&byte| byte == b'\n').filter(|line| is_kept(line)).collect::<Vec<_>>().concat()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_was_shortened_has_only_lines_that_can_be_read() {
        let start = |run: &str| Line::Start(Started { run: run.into(), attempt: 1, ..Started::default() });
        let end = |run: &str| Line::End(Ended { run: run.into(), attempt: 1, ..Ended::default() });
        let lines = text(&[end("cut"), start("a"), start("b"), end("b"), end("a")]).unwrap();
        let kept = without_strays(&lines);
        assert_eq!(kept, text(&[start("a"), start("b"), end("b"), end("a")]).unwrap());
        assert_eq!(join(&kept).unreadable, 0);
    }
}
