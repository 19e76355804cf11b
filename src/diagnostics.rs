//! The runner's own diagnostics (never the command's output): `runner.log` in the state directory, rolled daily,
//! seven kept. `tracing` events go through tracing-appender's lossless writer, so that a slow volume does not
//! hold who logs; what is queued is written when the guard is dropped, before exit.
//!
//! tracing-appender's own rolling opens files by path and would follow a link planted on the volume, so the
//! rolling is done here, below the directory handle.

use std::fs::File;
use std::io;
use std::time::SystemTime;

use rustix::fs::OFlags;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

use crate::beneath::Dir;

const NAME: &str = "runner.log";
/// Days kept beside the current one.
const KEPT: usize = 7;

/// Lines that may wait to be written; memory for all of them is taken, and touched, at the start. A volume that is slow
/// holds the program from the next one on.
const WAITING: usize = 1024;

/// Starts writing events to the state directory, until the guard is dropped.
///
/// # Errors
/// The file cannot be opened. The caller goes on without: diagnostics never decide a hook's result.
pub fn start(state: &Dir) -> io::Result<WorkerGuard> {
    let file = open(state)?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(false)
        .buffered_lines_limit(WAITING)
        .thread_name("diagnostics")
        .finish(file);
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_target(false).with_writer(writer).finish();
    // A second attempt in one process (tests) keeps the first's writer.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(guard)
}

fn open(state: &Dir) -> io::Result<File> {
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
