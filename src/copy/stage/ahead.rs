//! The disk is set to work on what is staged while the copy goes on, so that the sync that counts finds little left.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::copy::io::durable;
use crate::copy::stage::stager::Stager;

/// So many bytes of small files are written before the disk is set to work on them. With fewer, xfs spends more time on
/// its log.
const AHEAD: u64 = 8 << 20;
/// When no more than [`AHEAD`] is left to copy, so many: what the disk is at when the copy ends has to be waited for.
const AT_THE_END: u64 = 2 << 20;
/// How often the bytes are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Copies by `act` and meanwhile has the disk write what is staged. A handle of its own: syncfs(2) reports an error to each
/// open file description once, and this one tells nobody.
pub(crate) fn ahead<T>(stager: &Stager<'_>, act: impl FnOnce() -> T) -> T {
    if stager.fsync_each || stager.control.dry_run {
        return act();
    }
    let staged = || stager.made().and_then(|stage| stage.dir.reopen().ok());
    let counters = &stager.control.counters;
    let (over, waiting) = channel::<()>();
    std::thread::scope(|scope| {
        // Without a thread to spare the disk works at the end.
        let _ = std::thread::Builder::new().name("ahead".into()).spawn_scoped(scope, move || {
            let mut synced = 0;
            while waiting.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let written = counters.copied().1;
                let now = counters.snapshot();
                let left = now.total_bytes.map_or(u64::MAX, |total| total.saturating_sub(now.bytes));
                if written - synced >= if left > AHEAD { AHEAD } else { AT_THE_END }
                    && let Some(stage) = staged()
                {
                    let _ = durable::sync(&stage);
                    synced = written;
                }
            }
        });
        let outcome = act();
        drop(over);
        outcome
    })
}
