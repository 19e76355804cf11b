//! The runner's own diagnostics (never the command's output): `runner.log` in the state directory, rolled daily,
//! seven kept. `tracing` events go through tracing-appender's lossless writer, so that a slow volume does not
//! hold who logs; what is queued is written when the guard is dropped, before exit.
//!
//! An attempt that is over in a moment needs no thread for its few lines: they are held until [`SOON`], and written
//! with the attempt's end where it comes before that.
//!
//! tracing-appender's own rolling opens files by path and would follow a link planted on the volume, so the
//! rolling is done here, below the directory handle.

use std::fmt::{Debug, Write as _};
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::process::block_signals;
use crate::support::blocking;
use crate::support::rooted_dir::Dir;

const NAME: &str = "runner.log";
/// Days kept beside the current one.
const KEPT: usize = 7;
/// Lines that may wait to be written; memory for all of them is taken, and touched, at the start. A volume that is slow
/// holds the program from the next one on.
const WAITING: usize = 1024;
/// How long lines are held in memory.
const SOON: Duration = Duration::from_millis(100);

/// Makes of a line what may be seen of it.
pub type Clean = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// The events of one attempt on their way to the state directory.
#[derive(Debug)]
pub struct Diagnostics {
    way: Arc<Way>,
    late: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Way(Mutex<Stage>);

#[derive(Debug)]
enum Stage {
    /// Lines of an attempt that has just begun.
    Held(Vec<u8>),
    /// The file is open and has its thread.
    Open { writer: NonBlocking, _until_written: WorkerGuard },
    /// The attempt is over, or the file cannot be opened.
    Closed,
}

impl Diagnostics {
    /// Starts taking events for the file that `file` gives. Within a runtime. `clean` takes out of each line what must
    /// not be seen.
    pub fn start(file: impl FnOnce() -> io::Result<File> + Send + 'static, clean: Option<Clean>) -> Self {
        let way = Arc::new(Way(Mutex::new(Stage::Held(Vec::new()))));
        // A second attempt in one process (tests) keeps the first's writer.
        let _ = tracing::subscriber::set_global_default(Events { way: Arc::clone(&way), clean });
        let opened = Arc::clone(&way);
        let late = tokio::spawn(async move {
            tokio::time::sleep(SOON).await;
            // The volume may hang. Diagnostics never decide a hook's result, so nobody asks what came of it.
            let _ = blocking::detached(move || opened.open(file()));
        });
        Self { way, late }
    }

    /// Ends an attempt that was over before there was a file: its lines, which the caller is to write. Later ones are
    /// dropped.
    pub fn take_held(&self) -> Option<Vec<u8>> {
        let mut stage = self.way.stage();
        if matches!(*stage, Stage::Held(_))
            && let Stage::Held(lines) = std::mem::replace(&mut *stage, Stage::Closed)
        {
            return Some(lines);
        }
        None
    }
}

impl Drop for Diagnostics {
    /// What is queued is written now; a volume that hangs costs a second at most.
    fn drop(&mut self) {
        self.late.abort();
        let stage = std::mem::replace(&mut *self.way.stage(), Stage::Closed);
        drop(stage);
    }
}

impl Way {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, file: io::Result<File>) {
        let mut current = self.stage();
        let Stage::Held(lines) = &*current else { return };
        *current = match file {
            Ok(file) => {
                let (mut writer, guard) = NonBlockingBuilder::default()
                    .lossy(false)
                    .buffered_lines_limit(WAITING)
                    .thread_name("diagnostics")
                    .finish(Deaf::from(file));
                // A queue in memory: it takes everything.
                let _ = writer.write_all(lines);
                Stage::Open { writer, _until_written: guard }
            }
            Err(_) => Stage::Closed,
        };
    }

    fn write(&self, line: &[u8]) -> io::Result<()> {
        match &mut *self.stage() {
            Stage::Held(lines) => lines.extend_from_slice(line),
            Stage::Open { writer, .. } => writer.write_all(line)?,
            Stage::Closed => {}
        }
        Ok(())
    }
}

/// The file as the appender's thread writes it: that thread is not ours to start, so it blocks the signals when it
/// writes its first line, which is there before the thread is.
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

/// Makes a line of each event: time, level, message, fields. There are no spans here; the table that tracing-subscriber
/// keeps of them is 24 KiB that each start would touch.
struct Events {
    way: Arc<Way>,
    clean: Option<Clean>,
}

impl Subscriber for Events {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text { message: String::new(), fields: String::new() };
        event.record(&mut text);
        let level = event.metadata().level();
        let line = format!("{} {level:>5} {}{}\n", crate::volume::now(), text.message, text.fields);
        // Who logs does not want to know.
        let _ = match &self.clean {
            Some(clean) => self.way.write(&clean(line.as_bytes())),
            None => self.way.write(line.as_bytes()),
        };
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The text of one event, on one line whatever is in it.
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String does not fail.
        let _ = if field.name() == "message" {
            let text = format!("{value:?}");
            text.chars().try_for_each(|c| {
                if c.is_control() {
                    write!(self.message, "{}", c.escape_default())
                } else {
                    self.message.write_char(c)
                }
            })
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

/// Opens the file in the state directory; one of another day is put aside first.
///
/// # Errors
/// The directory or the file cannot be used. The caller goes on without: diagnostics never decide a hook's result.
pub fn open(state: &Dir) -> io::Result<File> {
    if let Some(stat) = state.find(NAME)? {
        let (written, today) = (day(stat.st_mtime), day(now()));
        if written != today {
            state.rename(NAME, state, format!("{NAME}.{written}"))?;
            prune(state)?;
        }
    }
    state.open_regular(NAME, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE, 0o640)
}

/// Removes all but the newest days; their names sort by date.
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

    fn start(directory: &std::path::Path) -> Diagnostics {
        let directory = directory.to_owned();
        Diagnostics::start(move || open(&Dir::open(directory)?), None)
    }

    #[test]
    fn an_event_is_one_line_with_its_fields() {
        let way = Arc::new(Way(Mutex::new(Stage::Held(Vec::new()))));
        tracing::subscriber::with_default(Events { way: Arc::clone(&way), clean: None }, || {
            tracing::info!(run = "a b", attempt = 2, log = %"/log", "opened");
            tracing::warn!("two\nlines \u{1b}[31m");
            tracing::debug!("not shown");
        });
        let Stage::Held(lines) = &*way.stage() else { panic!("nothing is held") };
        let text = String::from_utf8(lines.clone()).unwrap();
        let lines: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap()).collect();
        assert!(lines.iter().all(|(time, _)| humantime::parse_rfc3339(time).is_ok()), "{text}");
        let lines: Vec<_> = lines.iter().map(|(_, rest)| *rest).collect();
        assert_eq!(lines, [" INFO opened run=\"a b\" attempt=2 log=/log", " WARN two\\nlines \\u{1b}[31m"]);
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

    #[tokio::test]
    async fn lines_are_held_for_a_moment_and_then_have_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let diagnostics = start(directory.path());
        let way = Arc::clone(&diagnostics.way);
        way.write(b"one\n").unwrap();
        let path = directory.path().join(NAME);
        assert!(!path.exists());
        let end = std::time::Instant::now() + Duration::from_secs(60);
        while matches!(*diagnostics.way.stage(), Stage::Held(_)) {
            assert!(std::time::Instant::now() < end, "no file within a minute");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        way.write(b"two\n").unwrap();
        assert_eq!(diagnostics.take_held(), None);
        drop(diagnostics);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }

    #[tokio::test]
    async fn an_attempt_that_is_over_at_once_writes_its_lines_itself() {
        let directory = tempfile::tempdir().unwrap();
        let diagnostics = start(directory.path());
        diagnostics.way.write(b"one\n").unwrap();
        let lines = diagnostics.take_held().unwrap();
        open(&Dir::open(directory.path()).unwrap()).unwrap().write_all(&lines).unwrap();
        assert_eq!(diagnostics.take_held(), None);
        assert_eq!(std::fs::read_to_string(directory.path().join(NAME)).unwrap(), "one\n");
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let state = Dir::open(directory.path()).unwrap();
        std::os::unix::fs::symlink("/nowhere-to-write", directory.path().join(NAME)).unwrap();
        let target = directory.path().join("target");
        std::fs::write(&target, "").unwrap();
        let _ = std::fs::remove_file(directory.path().join(NAME));
        std::os::unix::fs::symlink(&target, directory.path().join(NAME)).unwrap();
        // The link is a day old at most, so it is not rolled but refused.
        assert!(open(&state).is_err());
    }
}
