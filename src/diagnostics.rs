//! The runner's own diagnostics (never the command's output): `runner.log` in the state directory, rolled daily,
//! seven kept. `tracing` events go through tracing-appender's lossless writer, so that a slow volume does not
//! hold who logs; what is queued is written when the guard is dropped, before exit.
//!
//! tracing-appender's own rolling opens files by path and would follow a link planted on the volume, so the
//! rolling is done here, below the directory handle.

use std::fmt::{Debug, Write as _};
use std::fs::File;
use std::io::{self, Write as _};
use std::time::SystemTime;

use rustix::fs::OFlags;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::support::rooted_dir::Dir;
use crate::support::signal_mask::block_signals;
use crate::support::times;

const NAME: &str = "runner.log";
/// Days kept beside the current one.
const KEPT: usize = 7;
/// Lines that may wait to be written; memory for all of them is taken, and touched, at the start. A volume that is slow
/// holds the program from the next one on.
const WAITING: usize = 1024;

/// Makes of a line what may be seen of it.
pub type Clean = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// Events go to the file as long as this lives; what is queued is written when it is dropped, where a volume that hangs
/// costs a second at most.
#[derive(Debug)]
pub struct Diagnostics {
    _until_written: WorkerGuard,
}

impl Diagnostics {
    /// Starts taking events for `file`. `clean` takes out of each line what must not be seen.
    pub fn start(file: File, clean: Option<Clean>) -> Self {
        let (writer, guard) = NonBlockingBuilder::default()
            .lossy(false)
            .buffered_lines_limit(WAITING)
            .thread_name("diagnostics")
            .finish(Deaf::from(file));
        // A second attempt in one process (tests) keeps the first's writer.
        let _ = tracing::subscriber::set_global_default(Events { writer, clean });
        Self { _until_written: guard }
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

/// Makes a line of each event: time, level, message, fields. There are no spans here.
struct Events {
    writer: NonBlocking,
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
        let line = format!("{} {level:>5} {}{}\n", times::now(), text.message, text.fields);
        let line =
            self.clean.as_ref().map_or_else(|| line.clone().into_bytes(), |clean| clean(line.as_bytes()));
        // Who logs does not want to know.
        let _ = self.writer.clone().write_all(&line);
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
    state.open_own(NAME, OFlags::WRONLY | OFlags::APPEND)
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

    #[test]
    fn an_event_is_one_line_with_its_fields() {
        let directory = tempfile::tempdir().unwrap();
        let file = open(&Dir::open(directory.path()).unwrap()).unwrap();
        let (writer, guard) = tracing_appender::non_blocking(file);
        tracing::subscriber::with_default(Events { writer, clean: None }, || {
            tracing::info!(run = "a b", attempt = 2, log = %"/log", "opened");
            tracing::warn!("two\nlines \u{1b}[31m");
            tracing::debug!("not shown");
        });
        drop(guard);
        let text = std::fs::read_to_string(directory.path().join(NAME)).unwrap();
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
