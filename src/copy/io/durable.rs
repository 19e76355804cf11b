//! How content gets onto stable storage here: one syncfs(2) of the filesystem where that both reaches the storage
//! and reports what went wrong, otherwise an fsync(2) of each file by the worker that wrote it.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::copy::engine::Engine;
use crate::support::mutex;
use crate::support::rooted_dir::Dir;

/// So many bytes of small files are written before the disk is set to work on them. With fewer, xfs spends more time on
/// its log.
const AHEAD: u64 = 8 << 20;
/// When no more than [`AHEAD`] is left to copy, so many: what the disk is at when the copy ends has to be waited for.
const AT_THE_END: u64 = 2 << 20;
/// How often the bytes are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// statfs(2), `f_type`: FUSE servers are not told of a syncfs (but for virtiofs), 9p and SMB clients do not pass it on.
const WITHOUT_SYNCFS: [i64; 4] = [0x6573_5546, 0x0102_1997, 0xff53_4d42, 0xfe53_4d42];

/// Whether each file has to be synced by itself.
pub(in crate::copy) fn needs_fsync(dir: &Dir) -> bool {
    let kind = rustix::fs::fstatfs(dir).map_or(0, |stat| stat.f_type);
    WITHOUT_SYNCFS.contains(&kind) || !syncfs_reports()
}

/// syncfs(2) reports write errors since Linux 5.8.
fn syncfs_reports() -> bool {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (5, 8)
}

/// fsync(2) of a file or directory; a directory that cannot be synced is as durable as it gets.
pub(in crate::copy) fn sync_one(fd: impl std::os::fd::AsFd) -> io::Result<()> {
    use rustix::io::Errno;
    match rustix::fs::fsync(&fd) {
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
        done => Ok(done?),
    }
}

/// Makes durable what was written and named below the directory.
pub(in crate::copy) fn sync(dir: &Dir) -> io::Result<()> {
    dir.sync_filesystem()
}

/// Copies by `act` and meanwhile has the disk write what is staged, so that the sync that counts finds little left. A
/// handle of its own: syncfs(2) reports an error to each open file description once, and this one tells nobody.
pub(in crate::copy) fn ahead<T>(engine: &Engine<'_>, act: impl FnOnce() -> T) -> T {
    if engine.fsync_each || engine.request.options.dry_run {
        return act();
    }
    let staged = || {
        let stage = mutex::lock(&engine.stage);
        stage.as_ref().and_then(|stage| stage.dir.reopen().ok())
    };
    let (over, waiting) = channel::<()>();
    std::thread::scope(|scope| {
        // Without a thread to spare the disk works at the end.
        let _ = std::thread::Builder::new().name("ahead".into()).spawn_scoped(scope, move || {
            let mut synced = 0;
            while waiting.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let written = engine.counters.copied().1;
                let now = engine.counters.snapshot();
                let left = now.total_bytes.map_or(u64::MAX, |total| total.saturating_sub(now.bytes));
                if written - synced >= if left > AHEAD { AHEAD } else { AT_THE_END }
                    && let Some(stage) = staged()
                {
                    let _ = sync(&stage);
                    synced = written;
                }
            }
        });
        let outcome = act();
        drop(over);
        outcome
    })
}
