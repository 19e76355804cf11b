//! The runner's own diagnostics, never the command's output: `runner.log` in the state directory, a file per day, seven
//! kept. `tracing` events go through tracing-appender's lossless writer, so that a slow volume does not delay the
//! caller; dropping the guard before exit writes what is queued.
//!
//! We roll the files ourselves, through the directory handle: tracing-appender opens files by path and would follow a
//! link planted on the volume.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::OFlags;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::support::harmless::harmless;
use crate::support::rooted_dir::Dir;
use crate::support::signal_mask::block_signals;
use crate::support::times;

const NAME: &str = "runner.log";
/// Earlier days that are kept.
const KEPT: usize = 7;
/// Queue length in lines, allocated at the start. If a slow volume lets the queue fill, the next event blocks.
const WAITING: usize = 1024;

/// Masks secrets in a line.
pub type Clean = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// Writes events as long as it lives. Dropping it writes what is queued; a hung volume delays that by at most a second.
#[derive(Debug)]
pub struct Diagnostics {
    _until_written: WorkerGuard,
}

impl Diagnostics {
    /// Starts writing events to `file`.
    pub fn start(file: File, clean: Option<Clean>) -> Self {
        let (writer, guard) = NonBlockingBuilder::default()
            .lossy(false)
            .buffered_lines_limit(WAITING)
            .thread_name("diagnostics")
            .finish(Deaf::from(file));
        // In tests, a second attempt in the same process keeps the first one's writer.
        let _ = tracing::subscriber::set_global_default(subscriber(writer, clean));
        Self { _until_written: guard }
    }
}

/// The file, for the appender's thread. That thread is not started by us, so that it blocks the signals itself with its
/// first line.
#[derive(Debug)]
struct Deaf {
    file: File,
    blocked: bool,
}

impl From<File> for Deaf {
    fn from(file: File) -> Self {
        Self { file, blocked: false }
    }
}

impl io::Write for Deaf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !std::mem::replace(&mut self.blocked, true) {
            block_signals();
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Turns each event into a line: time, level, message, fields.
fn subscriber(writer: NonBlocking, clean: Option<Clean>) -> impl Subscriber + Send + Sync {
    let clean = Arc::new(clean);
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::INFO)
        .with_timer(Now)
        .with_target(false)
        .with_ansi(false)
        // Such errors would go to stderr, which belongs to the hook.
        .log_internal_errors(false)
        .with_writer(move || Line { writer: writer.clone(), clean: Arc::clone(&clean) })
        .finish()
}

/// The time format of all other files.
struct Now;

impl FormatTime for Now {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&times::now())
    }
}

/// Gets each event in one write; masks secrets and keeps it on one line.
struct Line {
    writer: NonBlocking,
    clean: Arc<Option<Clean>>,
}

impl io::Write for Line {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = event.strip_suffix(b"\n").unwrap_or(event);
        let text = (*self.clean).as_ref().map_or_else(|| text.to_vec(), |clean| clean(text));
        let line = harmless(&String::from_utf8_lossy(&text)) + "\n";
        io::Write::write_all(&mut self.writer, line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens the file in the state directory; a file of an earlier day is renamed first.
///
/// # Errors
/// The directory or the file cannot be used. The caller then goes on without: diagnostics never decide a hook's result.
pub fn open(state: &Dir) -> io::Result<File> {
    if let Some(stat) = state.find(NAME)? {
        let (written, today) = (day(stat.st_mtime), day(now()));
        if written != today {
            state.rename(NAME, state, format!("{NAME}.{written}"))?;
            prune(state)?;
        }
    }
    state.open_own(NAME, OFlags::WRONLY | OFlags::APPEND)
}

/// Removes all but the newest days. The names sort by date.
fn prune(state: &Dir) -> io::Result<()> {
    let mut days: Vec<_> = state.entries()?.into_iter().map(|(name, _)| name).collect();
    days.retain(|name| name.to_string_lossy().strip_prefix(NAME).is_some_and(|rest| rest.starts_with('.')));
    days.sort();
    let surplus = days.len().saturating_sub(KEPT);
    days.iter().take(surplus).try_for_each(|name| state.unlink(name))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(0)
}

/// The UTC date of `seconds` since 1970.
fn day(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(time).to_string()[..10].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_with_its_fields() {
        let directory = tempfile::tempdir().unwrap();
        let file = open(&Dir::open(directory.path()).unwrap()).unwrap();
        let (writer, guard) = tracing_appender::non_blocking(file);
        tracing::subscriber::with_default(subscriber(writer, None), || {
            tracing::info!(run = "a b", attempt = 2, log = %"/log", "opened");
            tracing::warn!("two\nlines \u{1b}[31m");
            tracing::debug!("not shown");
        });
        drop(guard);
        let text = std::fs::read_to_string(directory.path().join(NAME)).unwrap();
        let lines: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap()).collect();
        assert!(lines.iter().all(|(time, _)| humantime::parse_rfc3339(time).is_ok()), "{text}");
        let lines: Vec<_> = lines.iter().map(|(_, rest)| *rest).collect();
        assert_eq!(lines, [" INFO opened run=\"a b\" attempt=2 log=/log", " WARN two\\nlines \\x1b[31m"]);
    }

    #[test]
    fn a_file_of_another_day_is_put_aside_and_seven_days_stay() {
        let directory = tempfile::tempdir().unwrap();
        let state = Dir::open(directory.path()).unwrap();
        for day in 10..20 {
            std::fs::write(directory.path().join(format!("{NAME}.2020-01-{day}")), "").unwrap();
        }
        let path = directory.path().join(NAME);
        std::fs::write(&path, "old\n").unwrap();
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_580_515_200);
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        drop(open(&state).unwrap());
        let rolled = directory.path().join(format!("{NAME}.2020-02-01"));
        assert_eq!(std::fs::read_to_string(rolled).unwrap(), "old\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), KEPT + 1);
    }

    #[test]
    fn a_planted_link_is_set_aside_and_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let state = Dir::open(directory.path()).unwrap();
        std::os::unix::fs::symlink("/nowhere-to-write", directory.path().join(NAME)).unwrap();
        let target = directory.path().join("target");
        std::fs::write(&target, "").unwrap();
        let _ = std::fs::remove_file(directory.path().join(NAME));
        std::os::unix::fs::symlink(&target, directory.path().join(NAME)).unwrap();
        open(&state).unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "");
        assert!(directory.path().join(format!("{NAME}.from-volume")).is_symlink());
    }
}
