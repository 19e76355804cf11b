//! What every stage shares: whether to go on, whether this is a dry run, and the progress.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use crate::copy::error::Error;
use crate::copy::progress::Counters;
use crate::copy::request::Request;

pub(crate) struct Control<'a> {
    /// Only say what would change.
    pub(crate) dry_run: bool,
    pub(crate) counters: Counters,
    pub(crate) cancel: &'a CancellationToken,
    /// A worker has failed; the others stop.
    failed: AtomicBool,
    /// For tests: the number of steps until the copy is cut short.
    #[cfg(test)]
    steps: Option<std::sync::Arc<std::sync::atomic::AtomicUsize>>,
}

impl<'a> Control<'a> {
    pub(crate) fn of(request: &Request, cancel: &'a CancellationToken) -> Self {
        Self {
            dry_run: request.options.dry_run,
            counters: Counters::default(),
            cancel,
            failed: AtomicBool::new(false),
            #[cfg(test)]
            steps: request.steps.clone(),
        }
    }

    /// An error if the copy is to stop: it was cancelled, a worker failed, or a test cuts it short.
    pub(crate) fn go_on(&self) -> Result<(), Error> {
        #[cfg(test)]
        if let Some(steps) = &self.steps
            && steps.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
        {
            return Err(Error::cancelled());
        }
        if self.cancel.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    }

    /// A worker calls this when it fails.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whether long work should stop here.
    pub(crate) fn is_over(&self) -> bool {
        self.cancel.is_cancelled() || self.failed.load(Ordering::Relaxed)
    }
}
