//! The end of the running attempt's log: the footer, the sync, and the check of the log's name, which is the last thing
//! before success. `put_back` repairs what the command did to the log.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use nix::unistd::close;

use super::frames;
use super::paths::Volume;
use super::put_back::{Name, restore};
use super::record::{Started, Written};
use crate::support::cause::words;
use crate::support::rooted_dir::Dir;

/// How often the footer is repeated because another process appended to the log at that moment.
const TRIES: u32 = 100;

/// Why the log is not durable under its name.
#[derive(Debug)]
pub enum SealError {
    /// A system call failed.
    Io {
        /// The operation.
        operation: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The log was removed and cannot be put back, or its content is not what was written.
    Removed(String),
}

/// The log of the running attempt.
#[derive(Debug)]
pub struct OpenLog {
    /// Open for reading and appending.
    file: File,
    /// The log's path and, if given, the state directory's.
    log: PathBuf,
    state: Option<PathBuf>,
    /// Says where this attempt's header begins.
    started: Started,
    header: String,
}

impl OpenLog {
    /// `file` is open for reading and appending and ends with `header`, which holds `started`.
    pub fn new(file: File, volume: &Volume, started: &Started, header: String) -> Self {
        Self {
            file,
            log: volume.log_path.clone(),
            state: volume.state_is_elsewhere.then(|| volume.state_path.clone()),
            started: started.clone(),
            header,
        }
    }

    /// Puts the log back under its name if the command removed, moved or replaced it or its directory; returns a line
    /// for the log that says so. `output` is the number of bytes written after the header. A log without its header
    /// gets it again, so that the rest can be read.
    pub fn put_back(&mut self, output: u64) -> Result<Option<String>, SealError> {
        let whole = self.check_content(self.output_start() + output);
        let has_header = self.has_header().map_err(failed("read"))?;
        let what = match Name::of(&self.file, &self.log) {
            Name::Here if has_header => return whole.map(|()| None),
            Name::Here => "overwritten",
            Name::Nowhere => "removed",
            Name::Elsewhere => "replaced",
        };
        let kept = self.restore(has_header).map_err(|error| {
            SealError::Removed(format!(
                "it was {what} while the hook ran, and cannot be put back: {}",
                words(&error)
            ))
        })?;
        whole?;
        let kept = kept.map_or(String::new(), |name| format!("; what was in its place is {name} now"));
        Ok(Some(format!("hook-runner: the log was {what} while the hook ran, and is put back{kept}\n")))
    }

    pub fn append(&mut self, bytes: &[u8]) -> Result<(), SealError> {
        self.file.write_all(bytes).map_err(failed("write"))
    }

    /// What follows the header. This is more than the tee wrote if the command, or a process of another pod, appended
    /// to the log.
    pub fn written(&mut self, newline_added: bool) -> Result<Written, SealError> {
        let start = self.output_start();
        let mut end = self.file.metadata().map_err(failed("read"))?.len();
        let mut last = [b'\n'];
        if end > start {
            self.file.read_exact_at(&mut last, end - 1).map_err(failed("read"))?;
        }
        let is_mid_line = last != [b'\n'];
        if is_mid_line {
            self.append(b"\n")?;
            end += 1;
        }
        let newline_added = newline_added || is_mid_line;
        Ok(Written { output: end.saturating_sub(start), newline_added, corrects: 0 })
    }

    /// A writer for footers that works even while another call on the log hangs.
    pub fn footers(&self) -> Result<Footers, SealError> {
        let file = self.file.try_clone().map_err(failed("open"))?;
        Ok(Footers { file, output_start: self.output_start() })
    }

    /// Makes the log durable and closes the descriptor of the output; then checks that the log's name leads to it and
    /// that it holds everything `written`. Success is never reported before this has returned. If the log had to be put
    /// back once more, returns the line about it, which was written after the footer.
    pub fn seal(&mut self, output: Option<File>, written: Written) -> Result<Option<String>, SealError> {
        self.sync()?;
        // NFS and FUSE may report a failed write only at close(2).
        if let Some(Err(errno)) = output.map(|file| close(OwnedFd::from(file))) {
            return Err(failed("close")(errno.into()));
        }
        self.check_content(self.output_start() + written.output + written.corrects)?;
        if Name::of(&self.file, &self.log) == Name::Here {
            return Ok(None);
        }
        self.restore(true).map_err(|error| {
            let why = words(&error);
            SealError::Removed(format!("it was removed at the end, and cannot be put back: {why}"))
        })?;
        let line = "hook-runner: the log was removed after the hook had ended, and is put back\n";
        self.append(line.as_bytes())?;
        self.sync()?;
        match Name::of(&self.file, &self.log) {
            Name::Here => Ok(Some(line.to_owned())),
            _ => Err(SealError::Removed("its name does not lead to it, even after it was put back".into())),
        }
    }

    /// fsync of the log and of its directory.
    pub fn sync(&self) -> Result<(), SealError> {
        self.file.sync_all().map_err(failed("fsync"))?;
        // If the directory is gone, the check of the name finds that.
        let directory = self.log.parent().and_then(|parent| Dir::open(parent).ok());
        directory.map_or(Ok(true), |directory| directory.sync()).map_err(failed("fsync of its directory"))?;
        Ok(())
    }

    fn output_start(&self) -> u64 {
        self.started.offset + self.header.len() as u64
    }

    /// Checks that the file holds at least `size` bytes and this attempt's header.
    fn check_content(&self, size: u64) -> Result<(), SealError> {
        let found = self.file.metadata().map_err(failed("read"))?.len();
        if found < size {
            let lost = size - found;
            return Err(SealError::Removed(format!(
                "it was truncated while the hook ran: {lost} bytes are gone"
            )));
        }
        if self.has_header().map_err(failed("read"))? {
            Ok(())
        } else {
            Err(SealError::Removed("it was overwritten while the hook ran".into()))
        }
    }

    fn has_header(&self) -> io::Result<bool> {
        let mut header = vec![0; self.header.len()];
        match self.file.read_exact_at(&mut header, self.started.offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            read => read.map(|()| header == self.header.as_bytes()),
        }
    }

    /// Writes the log again under its name, from the open file. Returns the new name of an entry that was in its place.
    fn restore(&mut self, has_header: bool) -> io::Result<Option<String>> {
        let own = self.file.metadata()?;
        let volume = Volume::create(&self.log, self.state.as_deref(), own.mode());
        let volume = volume.map_err(|error| error.source)?;
        let mut border = own.size();
        let mut header = None;
        if !has_header {
            // Bytes that no footer accounts for are this attempt's output.
            border = frames::read(&self.file)?.last().map_or(0, |frame| frame.closed);
            self.started.offset = border;
            self.header = frames::moved(&self.header, &self.started);
            header = Some(self.header.as_bytes());
        }
        let (file, kept) = restore(&self.file, &volume, border, header)?;
        self.file = file;
        Ok(kept)
    }
}

/// Writes the footers of the running attempt.
#[derive(Debug)]
pub struct Footers {
    /// Open for reading and appending.
    file: File,
    output_start: u64,
}

impl Footers {
    /// Appends a footer that accounts for all bytes before it, and returns the numbers. If another process wrote in
    /// between, or an earlier footer was wrong, a corrected footer follows.
    pub fn close(
        &mut self,
        mut written: Written,
        footer: &dyn Fn(Written) -> Vec<u8>,
    ) -> Result<Written, SealError> {
        for _ in 0..TRIES {
            let bytes = footer(written);
            self.file.write_all(&bytes).map_err(failed("write"))?;
            let accounted = written.output + written.corrects + bytes.len() as u64;
            // After an append, the position is where the write ended.
            let end = io::Seek::stream_position(&mut self.file).map_err(failed("read"))? - self.output_start;
            let footers = Written { corrects: written.corrects + bytes.len() as u64, ..written };
            if end == accounted {
                return Ok(footers);
            }
            written = if written.corrects == 0 {
                Written { output: written.output + end.saturating_sub(accounted), ..footers }
            } else {
                Written { corrects: end.saturating_sub(written.output), ..footers }
            };
        }
        Err(SealError::Removed("another process writes to it without end".into()))
    }

    /// fsync of the log.
    pub fn sync(&self) -> Result<(), SealError> {
        self.file.sync_all().map_err(failed("fsync"))
    }
}

fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> SealError {
    move |source| SealError::Io { operation, source }
}
