//! Starts writeback of staged content during the copy, so that the final sync finds little left.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::copy::io::durable;
use crate::copy::stage::stager::Stager;

/// Bytes of small files after which writeback starts. With fewer, xfs spends more time on its log.
const AHEAD: u64 = 8 << 20;
/// The same when at most [`AHEAD`] is left to copy: what the disk is still writing at the end has to be waited for.
const AT_THE_END: u64 = 2 << 20;
/// How often the bytes are checked.
const LOOK: Duration = Duration::from_millis(10);

/// Runs `act` and meanwhile writes back what is staged. Uses a handle of its own: syncfs(2) reports an error once to
/// each open file description, and the final sync must get it.
pub(crate) fn write_back_during<T>(stager: &Stager<'_>, act: impl FnOnce() -> T) -> T {
    if stager.fsync_each || stager.control.dry_run {
        return act();
    }
    let staged = || stager.made().and_then(|stage| stage.dir.reopen().ok());
    let counters = &stager.control.counters;
    let (over, waiting) = channel::<()>();
    std::thread::scope(|scope| {
        // Without another thread, everything is written at the end.
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
