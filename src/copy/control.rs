//! What every stage is told and tells: whether to go on, whether to change anything at all, how far it is.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use crate::copy::error::Error;
use crate::copy::progress::Counters;
use crate::copy::request::Request;

/// Whether a copy goes on, and how far it is.
pub(crate) struct Control<'a> {
    /// Only say what would change.
    pub(crate) dry_run: bool,
    pub(crate) counters: Counters,
    pub(crate) cancel: &'a CancellationToken,
    /// One worker has failed: what the others do is of no use any more.
    failed: AtomicBool,
    /// So many steps may be taken.
    #[cfg(test)]
    steps: Option<std::sync::Arc<std::sync::atomic::AtomicUsize>>,
}

impl<'a> Control<'a> {
    /// For the copy that `request` asks for.
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

    /// An error where nothing more is to be done: when it was asked for, or where a test cuts the copy short.
    pub(crate) fn go_on(&self) -> Result<(), Error> {
        #[cfg(test)]
        if let Some(steps) = &self.steps
            && steps.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
        {
            return Err(Error::cancelled());
        }
        if self.cancel.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    }

    /// Told by a worker that fails.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whether a long piece of work is to end where it is.
    pub(crate) fn is_over(&self) -> bool {
        self.cancel.is_cancelled() || self.failed.load(Ordering::Relaxed)
    }
}
