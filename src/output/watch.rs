//! Who ends the log. When the command's output has ended, the tee's thread has nothing to do, and comes back after a
//! while whatever happens. Until then the caller may end the log itself, which takes less than to wake the thread for
//! it; when that hangs, the thread goes on in place of the caller. Knows nothing of how a log is ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::sinks::Sinks;
use crate::support::blocking::Overdue;

/// Between the thread and its handle.
#[derive(Default)]
pub(super) struct Watch(Mutex<State>);

#[derive(Default)]
enum State {
    /// The thread waits for jobs only.
    #[default]
    Off,
    /// It comes back; these are not used before that.
    On(Arc<Mutex<Sinks>>),
    /// It comes back, and will be asked for something.
    Reserved,
    /// What it is asked for.
    Given(Overdue),
}

impl Watch {
    /// The thread will come back.
    pub(super) fn begin(&self, sinks: Arc<Mutex<Sinks>>) {
        *self.state() = State::On(sinks);
    }

    pub(super) fn is_on(&self) -> bool {
        !matches!(*self.state(), State::Off)
    }

    /// If the thread will come back: what the caller may end itself, after [`Watch::give`].
    pub(super) fn reserve(&self) -> Option<Arc<Mutex<Sinks>>> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Reserved) {
            State::On(sinks) => Some(sinks),
            other => {
                *state = other;
                None
            }
        }
    }

    /// What the thread is to do when it comes back.
    pub(super) fn give(&self, overdue: Overdue) {
        *self.state() = State::Given(overdue);
    }

    /// The thread has come back: what it is to do, if it is asked for something. Else it will not come back again,
    /// unless it is about to be asked.
    pub(super) fn come_back(&self) -> Option<Overdue> {
        let mut state = self.state();
        match std::mem::take(&mut *state) {
            State::Given(overdue) => return Some(overdue),
            State::Reserved => *state = State::Reserved,
            State::On(_) | State::Off => {}
        }
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::progress::Progress;
    use super::super::stamp::Stamper;
    use super::*;

    fn begun() -> Watch {
        let watch = Watch::default();
        let sinks = Sinks::new(Arc::new(Progress::default()), None, Stamper::new(false, false));
        watch.begin(Arc::new(Mutex::new(sinks)));
        watch
    }

    #[test]
    fn a_thread_that_does_not_come_back_is_asked_for_nothing() {
        assert!(Watch::default().reserve().is_none());
        let watch = begun();
        assert!(watch.come_back().is_none() && !watch.is_on());
        assert!(watch.reserve().is_none());
    }

    #[test]
    fn a_thread_that_is_about_to_be_asked_comes_back_until_it_is() {
        let watch = begun();
        assert!(watch.reserve().is_some() && watch.reserve().is_none());
        assert!(watch.come_back().is_none() && watch.is_on());
        watch.give(Box::new(|| {}));
        assert!(watch.is_on() && watch.come_back().is_some());
        assert!(!watch.is_on());
    }
}
