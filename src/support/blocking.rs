//! Runs blocking calls on detached threads, so that a hung volume or a dead name server cannot hold up the supervisor.
//!
//! `stat` on a hung NFS volume and `getaddrinfo` against a dead name server cannot be interrupted, and dropping a
//! runtime waits for its own blocking threads. A call here that never returns costs its thread, not the attempt. Callers
//! set the deadline (`tokio::time::timeout` around it). Knows nothing of what is called.

use std::io;

use tokio::sync::oneshot;

use super::cause::words;
use super::signal_mask::block_signals;

/// The answer of `call`.
///
/// # Errors
/// No thread can be started, or the call panicked.
pub(crate) async fn run<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    Repeated::default().run(call).await
}

/// Starts `work` on a thread that nobody waits for.
///
/// # Errors
/// No thread can be started.
pub(crate) fn detached(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let work = || {
        block_signals();
        work();
    };
    let begun = std::thread::Builder::new().name("blocking".into()).spawn(work);
    begun.map(drop).map_err(|error| {
        let why = words(&error);
        let advice = "raise the limit of processes or memory (ulimit -u and -v, the pod's limits)";
        io::Error::new(error.kind(), format!("no thread can be started: {why}; {advice}"))
    })
}

/// One question, asked again and again. A call whose caller gave up goes on, and the next [`Repeated::run`] waits for its
/// answer in place of starting a second one.
#[derive(Debug)]
pub(crate) struct Repeated<T> {
    pending: Option<oneshot::Receiver<T>>,
}

impl<T> Default for Repeated<T> {
    fn default() -> Self {
        Self { pending: None }
    }
}

impl<T: Send + 'static> Repeated<T> {
    /// The answer of `call`, or of the same call when an earlier one is still under way. Dropping the returned future
    /// loses nothing.
    ///
    /// # Errors
    /// No thread can be started, or the call panicked.
    pub(crate) async fn run(&mut self, call: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let pending = match &mut self.pending {
            Some(pending) => pending,
            none => {
                let (answer, pending) = oneshot::channel();
                // Without a receiver nobody waits for the answer any more.
                detached(move || drop(answer.send(call())))?;
                none.insert(pending)
            }
        };
        let answer = pending.await;
        self.pending = None;
        answer.map_err(|_| io::Error::other("a thread ended without an answer"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::Repeated;

    #[tokio::test]
    async fn a_call_that_hangs_does_not_hold_its_caller_and_is_not_started_twice() {
        let (release, hung) = mpsc::channel::<u32>();
        let mut question = Repeated::default();
        let first = question.run(move || hung.recv().expect("the sender lives"));
        assert!(tokio::time::timeout(Duration::from_millis(20), first).await.is_err());
        release.send(7).expect("the call is still there");
        let second = question.run(|| unreachable!("the first call is still under way")).await;
        assert_eq!(second.expect("an answer"), 7);
        assert_eq!(question.run(|| 8).await.expect("an answer"), 8);
    }

    #[tokio::test]
    async fn a_call_that_panics_is_an_error() {
        super::run(|| panic!("on purpose")).await.expect_err("no answer");
    }
}
