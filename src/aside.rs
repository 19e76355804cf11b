//! A blocking call on a thread of its own that nobody has to wait for.
//!
//! What it is for: `stat` on a hung NFS volume and `getaddrinfo` against a dead name server cannot be
//! interrupted. Tokio's blocking pool is no help: dropping the runtime waits for its threads. The threads
//! here are detached; a call that never returns costs its thread, not the attempt.
//! It may start threads, one at a time for each [`Aside`]; one that has answered waits for the next call, whoever
//! makes it, because a thread costs more than most calls. It knows nothing of what is called.

use std::io;
use std::sync::{Mutex, PoisonError, mpsc};

use tokio::sync::oneshot;

use crate::process::block_signals;

/// Threads that have nothing to do.
static IDLE: Mutex<Vec<Thread>> = Mutex::new(Vec::new());

/// What a thread is to do; it is given the thread, to say when that is free again.
type Call = Box<dyn FnOnce(&Thread) + Send>;

/// The way to one thread.
#[derive(Clone)]
struct Thread(mpsc::Sender<Call>);

impl Thread {
    /// The next call may be sent, although the current one is still saying its answer.
    fn is_free(&self) {
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(self.clone());
    }
}

/// Runs one blocking call at a time. A call whose caller gave up goes on, and the next
/// [`Aside::run`] waits for its answer and does not start a second one; so an `Aside` is for one and
/// the same question, asked again and again.
#[derive(Debug)]
pub(crate) struct Aside<T> {
    pending: Option<oneshot::Receiver<T>>,
}

impl<T> Default for Aside<T> {
    fn default() -> Self {
        Self { pending: None }
    }
}

impl<T: Send + 'static> Aside<T> {
    /// The answer of `call`, or of the same call when an earlier one is still under way.
    ///
    /// Dropping the returned future loses nothing.
    ///
    /// # Errors
    /// No thread can be started, or the call panicked.
    pub(crate) async fn run(&mut self, call: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let pending = match &mut self.pending {
            Some(pending) => pending,
            none => {
                let (answer, pending) = oneshot::channel();
                start(Box::new(move |thread| {
                    let value = call();
                    // Before the answer, so that who gets it and asks again finds this thread.
                    thread.is_free();
                    // The receiver is gone when the program has moved on: nobody wants the answer.
                    let _ = answer.send(value);
                }))?;
                none.insert(pending)
            }
        };
        let answer = pending.await;
        self.pending = None;
        answer.map_err(|_| no_answer())
    }
}

/// A call that has been started and not been asked for its answer yet.
#[derive(Debug)]
pub(crate) struct Begun<T>(oneshot::Receiver<T>);

/// Starts a call now, before there is a runtime. When its answer is on its way, the thread goes on with what the call
/// has left for then, and takes the next call after that.
///
/// # Errors
/// No thread can be started.
pub(crate) fn begin<T, Rest>(call: impl FnOnce() -> (T, Rest) + Send + 'static) -> io::Result<Begun<T>>
where
    T: Send + 'static,
    Rest: FnOnce(),
{
    let (answer, pending) = oneshot::channel();
    start(Box::new(move |thread| {
        let (value, rest) = call();
        thread.is_free();
        let _ = answer.send(value);
        rest();
    }))?;
    Ok(Begun(pending))
}

impl<T> Begun<T> {
    /// Its answer.
    ///
    /// # Errors
    /// The call panicked.
    pub(crate) async fn answer(self) -> io::Result<T> {
        self.0.await.map_err(|_| no_answer())
    }
}

fn no_answer() -> io::Error {
    io::Error::other("the thread making a blocking call ended without an answer")
}

/// The answer of one call that is not asked again.
///
/// # Errors
/// No thread can be started, or the call panicked.
pub(crate) async fn once<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    Aside::default().run(call).await
}

/// A thread for `work` that answers nobody: nobody waits for its end, and an idle one serves as well as a new one.
///
/// # Errors
/// No thread can be started.
pub(crate) fn detached(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    start(Box::new(move |thread| {
        work();
        thread.is_free();
    }))
}

fn start(mut call: Call) -> io::Result<()> {
    let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    if let Some(Thread(calls)) = idle {
        match calls.send(call) {
            Ok(()) => return Ok(()),
            // It panicked while it answered.
            Err(mpsc::SendError(unsent)) => call = unsent,
        }
    }
    std::thread::Builder::new().name("aside".into()).spawn(move || {
        block_signals();
        let (sender, calls) = mpsc::channel();
        let thread = Thread(sender);
        call(&thread);
        // Ends with the process: the thread holds a sender of its own.
        while let Ok(call) = calls.recv() {
            call(&thread);
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::Aside;

    #[tokio::test]
    async fn a_thread_that_has_answered_takes_the_next_call() {
        // Others of this process use the same threads: one of several tries is undisturbed.
        for _ in 0..100 {
            let mut aside = Aside::default();
            let first = aside.run(|| std::thread::current().id()).await.expect("an answer");
            if aside.run(|| std::thread::current().id()).await.expect("an answer") == first {
                return;
            }
        }
        panic!("each call had a thread of its own");
    }

    #[tokio::test]
    async fn a_call_that_hangs_does_not_hold_its_caller_and_is_not_started_twice() {
        let (release, hung) = mpsc::channel::<u32>();
        let mut aside = Aside::default();
        let first = aside.run(move || hung.recv().expect("the sender lives"));
        assert!(tokio::time::timeout(Duration::from_millis(20), first).await.is_err());
        release.send(7).expect("the call is still there");
        let second = aside.run(|| unreachable!("the first call is still under way")).await;
        assert_eq!(second.expect("an answer"), 7);
        assert_eq!(aside.run(|| 8).await.expect("an answer"), 8);
    }

    #[tokio::test]
    async fn the_answer_does_not_wait_for_what_is_done_after_it() {
        let (release, held) = mpsc::channel::<()>();
        let begun =
            super::begin(move || (7, move || held.recv().expect("the sender lives"))).expect("a thread");
        assert_eq!(begun.answer().await.expect("an answer"), 7);
        release.send(()).expect("the thread is still there");
    }

    #[tokio::test]
    async fn a_call_that_panics_is_an_error() {
        let mut aside = Aside::<()>::default();
        let error = aside.run(|| panic!("on purpose")).await.expect_err("a panic");
        assert!(error.to_string().contains("without an answer"));
    }
}
