//! Checks that what was appended to the log is still there, because the command may truncate or overwrite the file.
//! With `O_APPEND`, the position after a write is where it ended; each write checks the one before, and the end checks
//! the last one. Reads one descriptor, writes nothing.

use std::fs::File;
use std::io::{ErrorKind, Seek};
use std::os::unix::fs::FileExt;

/// How many bytes at the end of a write are read back.
const LOOKED_AT: usize = 64;

/// The last write.
#[derive(Debug)]
pub(super) struct AppendCheck {
    /// Where it ended.
    end: u64,
    /// Its last bytes.
    last: Vec<u8>,
    lost: bool,
}

impl AppendCheck {
    /// For a file of `size` bytes, none of them ours.
    pub(super) fn new(size: u64) -> Self {
        Self { end: size, last: Vec::with_capacity(LOOKED_AT), lost: false }
    }

    /// Call after each write of `bytes`.
    pub(super) fn wrote(&mut self, file: &mut File, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let expected = self.end + bytes.len() as u64;
        let end = file.stream_position().unwrap_or(expected);
        // After a truncation, anybody may have extended the file again to any size.
        self.lost |= end < expected || !self.is_last_there(file);
        self.end = end;
        self.last.clear();
        self.last.extend_from_slice(&bytes[bytes.len().saturating_sub(LOOKED_AT)..]);
    }

    /// Where the last write ended.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Records that the writer itself has shortened the file to `size` bytes.
    pub(super) fn cut(&mut self, size: u64) {
        self.end = size;
        self.last.clear();
    }

    /// Whether no loss of written bytes is known.
    pub(super) fn is_whole(&self, file: &File) -> bool {
        !self.lost && self.is_last_there(file)
    }

    fn is_last_there(&self, file: &File) -> bool {
        let mut found = [0; LOOKED_AT];
        let found = &mut found[..self.last.len()];
        let at = self.end.saturating_sub(found.len() as u64);
        match file.read_exact_at(found, at) {
            Ok(()) => found == self.last.as_slice(),
            // A read error is another failure of the volume, which the next sync reports.
            Err(error) => error.kind() != ErrorKind::UnexpectedEof,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn check(change: impl FnOnce(&std::path::Path), then: &[u8]) -> bool {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "header\n").unwrap();
        let mut file = File::options().read(true).append(true).open(&path).unwrap();
        let mut check = AppendCheck::new(7);
        file.write_all(b"first\n").unwrap();
        check.wrote(&mut file, b"first\n");
        change(&path);
        file.write_all(then).unwrap();
        check.wrote(&mut file, then);
        check.is_whole(&file)
    }

    fn resize(path: &std::path::Path, sizes: &[u64]) {
        let file = File::options().write(true).open(path).unwrap();
        for size in sizes {
            file.set_len(*size).unwrap();
        }
    }

    #[test]
    fn what_is_truncated_is_seen_whatever_is_written_after_it() {
        for then in [&b""[..], b"x", b"second line\n"] {
            assert!(check(|_| {}, then));
            assert!(!check(|path| resize(path, &[0]), then));
            assert!(!check(|path| resize(path, &[10]), then));
            assert!(!check(|path| resize(path, &[10, 13]), then), "truncated and extended to its size");
            assert!(!check(|path| resize(path, &[0, 100]), then), "truncated and extended beyond it");
        }
    }

    #[test]
    fn what_another_process_appends_is_no_loss() {
        let append = |path: &std::path::Path| {
            File::options().append(true).open(path).unwrap().write_all(b"by another\n").unwrap();
        };
        assert!(check(append, b""));
        assert!(check(append, b"second\n"));
    }
}
