//! The progress of a copy: counters that the workers increase, and the two displays (a bar on a terminal, a line every
//! ten seconds elsewhere).

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::harmless::harmless;
use crate::support::sizes::human_bytes;

/// The progress at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Files processed, unchanged ones included.
    pub files: u64,
    /// Bytes of content processed.
    pub bytes: u64,
    /// All files, once known.
    pub total_files: Option<u64>,
    /// All bytes, once known.
    pub total_bytes: Option<u64>,
}

/// Called about five times a second from a thread of the copy, and once at the end.
pub trait Progress: Sync {
    /// Shows the current state.
    fn update(&self, snapshot: &Snapshot);
    /// The copy has ended, successfully or not.
    fn finish(&self) {}
}

/// Shows nothing.
#[cfg(test)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

#[cfg(test)]
impl Progress for Silent {
    fn update(&self, _: &Snapshot) {}
}

/// Shows progress on stderr: a bar on a terminal, otherwise one line every ten seconds, so that a short copy prints
/// nothing into a pod's log.
#[derive(Debug)]
pub struct Stderr {
    label: String,
    terminal: bool,
    /// Writes to stderr without blocking for long if nobody reads.
    write: fn(&str),
    last: Mutex<(Instant, bool)>,
}

/// Interval of lines where stderr is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Stderr {
    /// `label` names the copy, as in `/app -> /data`. `write` writes to stderr; the copy waits for it.
    pub fn new(label: &str, write: fn(&str)) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { label: harmless(label), terminal, write, last: Mutex::new((Instant::now(), false)) }
    }
}

impl Progress for Stderr {
    fn update(&self, snapshot: &Snapshot) {
        let Ok(mut last) = self.last.lock() else { return };
        if self.terminal {
            (self.write)(&format!("\r\x1b[K{}: {}", self.label, bar(snapshot)));
            last.1 = true;
        } else if last.0.elapsed() >= LINE_EVERY {
            last.0 = Instant::now();
            (self.write)(&format!("{}: {}\n", self.label, words(snapshot)));
        }
    }

    fn finish(&self) {
        if self.last.lock().is_ok_and(|last| last.1) {
            (self.write)("\r\x1b[K");
        }
    }
}

/// `12 of 30 files, 1.0 MiB of 2.5 MiB (40%)`.
fn words(snapshot: &Snapshot) -> String {
    match (snapshot.total_files, snapshot.total_bytes) {
        (Some(files), Some(bytes)) => format!(
            "{} of {files} files, {} of {} ({}%)",
            snapshot.files,
            human_bytes(snapshot.bytes),
            human_bytes(bytes),
            percent(snapshot)
        ),
        _ => format!("{} files, {}", snapshot.files, human_bytes(snapshot.bytes)),
    }
}

fn bar(snapshot: &Snapshot) -> String {
    const WIDTH: usize = 24;
    if snapshot.total_bytes.is_none() {
        return words(snapshot);
    }
    let filled = WIDTH * usize::try_from(percent(snapshot)).unwrap_or(100) / 100;
    format!("[{}{}] {}", "#".repeat(filled), "-".repeat(WIDTH - filled), words(snapshot))
}

/// The average over bytes and files, so that the bar also moves for empty files.
fn percent(snapshot: &Snapshot) -> u64 {
    let done = snapshot.bytes + snapshot.files * 4096;
    let total = snapshot.total_bytes.unwrap_or(0) + snapshot.total_files.unwrap_or(0) * 4096;
    done.saturating_mul(100).checked_div(total).unwrap_or(100).min(100)
}

/// Counters that the workers increase.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) files: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// All files and bytes; zero files means unknown.
    pub(crate) total_files: AtomicU64,
    pub(crate) total_bytes: AtomicU64,
    /// Files and bytes that were copied, not just compared.
    copied_files: AtomicU64,
    copied_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn add(&self, files: u64, bytes: u64) {
        self.files.fetch_add(files, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts what was written.
    pub(crate) fn wrote(&self, files: u64, bytes: u64) {
        self.copied_files.fetch_add(files, Ordering::Relaxed);
        self.copied_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn copied(&self) -> (u64, u64) {
        (self.copied_files.load(Ordering::Relaxed), self.copied_bytes.load(Ordering::Relaxed))
    }

    pub(crate) fn set_total(&self, files: u64, bytes: u64) {
        self.total_bytes.store(bytes, Ordering::Relaxed);
        self.total_files.store(files, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let total = self.total_files.load(Ordering::Relaxed);
        let known = |value: u64| (total > 0).then_some(value);
        Snapshot {
            files: self.files.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            total_files: known(total),
            total_bytes: known(self.total_bytes.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_words_with_and_without_a_total() {
        let mut snapshot = Snapshot { files: 12, bytes: 1 << 20, ..Snapshot::default() };
        assert_eq!(words(&snapshot), "12 files, 1.0 MiB");
        snapshot.total_files = Some(24);
        snapshot.total_bytes = Some(2 << 20);
        assert_eq!(words(&snapshot), "12 of 24 files, 1.0 MiB of 2.0 MiB (50%)");
        assert_eq!(bar(&snapshot), format!("[############------------] {}", words(&snapshot)));
    }
}
