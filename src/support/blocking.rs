//! Runs blocking calls on detached threads, so that a hung volume or a dead name server cannot block the supervisor.
//!
//! `stat` on a hung NFS volume and `getaddrinfo` with a dead name server cannot be interrupted, and a tokio runtime
//! waits for its blocking threads when it is dropped. A call here that never returns costs one thread, not the attempt.
//! Callers set the deadline (`tokio::time::timeout` around it).

use std::io;

use tokio::sync::oneshot;

use super::cause::words;
use super::signal_mask::block_signals;

/// Runs `call` and returns its result.
///
/// # Errors
/// No thread can be started, or the call panicked.
pub(crate) async fn run<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    Repeated::default().run(call).await
}

/// Starts `work` on a detached thread.
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

/// A call that is made again and again, but only once at a time: if a caller has given up waiting, the next
/// [`Repeated::run`] waits for the same call and does not start a second.
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
    /// The result of `call`, or of the earlier call that still runs. Dropping the future loses nothing.
    ///
    /// # Errors
    /// No thread can be started, or the call panicked.
    pub(crate) async fn run(&mut self, call: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let pending = match &mut self.pending {
            Some(pending) => pending,
            none => {
                let (answer, pending) = oneshot::channel();
                // Fails only if nobody waits for the result any more.
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
