//! A blocking call on a thread of its own that nobody has to wait for.
//!
//! What it is for: `stat` on a hung NFS volume and `getaddrinfo` against a dead name server cannot be
//! interrupted. Tokio's blocking pool is no help: dropping the runtime waits for its threads. The threads
//! here are detached; a call that never returns costs its thread, not the attempt.
//! It may start threads, one at a time for each [`Aside`]; one that has answered waits for the next call, whoever
//! makes it, because a thread costs more than most calls. It knows nothing of what is called.
//!
//! To give a call to another thread and to hear its answer are two wakes of a processor that sleeps, and take longer
//! than a quick call. [`here`] makes the call on the thread that needs the answer; it is the caller that moves to
//! another thread when the call turns out to hang.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::process::block_signals;

/// How long [`here`] leaves its caller with a call that does not answer: signals are not read meanwhile.
const PATIENCE: Duration = Duration::from_millis(50);

/// Threads that have nothing to do.
static IDLE: Mutex<Vec<Thread>> = Mutex::new(Vec::new());

/// What a thread is to do; it is given the thread, to say when that is free again.
type Call = Box<dyn FnOnce(&Thread) + Send>;

/// The way to one thread.
#[derive(Clone)]
struct Thread(mpsc::Sender<Call>);

impl Thread {
    /// The way, and what comes along it.
    fn new() -> (Self, mpsc::Receiver<Call>) {
        let (sender, calls) = mpsc::channel();
        (Self(sender), calls)
    }

    /// Makes the calls that come, until the process ends: the way is held here too.
    fn serve(&self, calls: &mpsc::Receiver<Call>) -> ! {
        loop {
            if let Ok(call) = calls.recv() {
                call(self);
            }
        }
    }

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

/// A call that has been made, or is being made, and not been asked for its answer yet.
#[derive(Debug)]
pub(crate) struct Begun<T>(oneshot::Receiver<T>);

impl<T> Begun<T> {
    /// Its answer.
    ///
    /// # Errors
    /// The call panicked.
    pub(crate) async fn answer(self) -> io::Result<T> {
        self.0.await.map_err(|_| no_answer())
    }
}

/// What a thread that watches a call is to do when that takes long: it goes on in place of the caller, and does not
/// come back, unless there is an answer by now.
pub(crate) type Overdue = Box<dyn FnOnce() + Send>;

impl<T> From<oneshot::Receiver<T>> for Begun<T> {
    fn from(pending: oneshot::Receiver<T>) -> Self {
        Self(pending)
    }
}

/// Makes `call` on this thread and goes on with `next`, which ends the program. When the call has not answered within
/// [`PATIENCE`], another thread goes on with `next` meanwhile, and this one is left to the call, and to others after it.
/// There is no call, and an error for `next`, when no other thread can be started.
pub(crate) fn here<T: Send + 'static>(
    call: impl FnOnce() -> T,
    next: impl FnOnce(io::Result<Begun<T>>) -> Infallible + Send + 'static,
) -> ! {
    let watch = |overdue: Overdue| {
        let (thread, calls) = Thread::new();
        let other = thread.clone();
        spawn(move || {
            match calls.recv_timeout(PATIENCE) {
                Ok(call) => call(&other),
                Err(_) => overdue(),
            }
            other.serve(&calls);
        })?;
        Ok(Some(thread))
    };
    watched(call, next, watch)
}

/// As [`here`], where there is a thread that watches already: `watch` gives it what it is to do.
pub(crate) fn watched_by<T: Send + 'static>(
    watch: impl FnOnce(Overdue),
    call: impl FnOnce() -> T,
    next: impl FnOnce(Begun<T>) -> Infallible + Send + 'static,
) -> ! {
    // No thread is asked for, so none can be missing.
    let next = |begun: Result<_, Infallible>| match begun {
        Ok(begun) => next(begun),
        Err(never) => match never {},
    };
    let watch = |overdue| {
        watch(overdue);
        Ok(None)
    };
    watched(call, next, watch)
}

/// `watch` gives the thread that may be asked for other things when there is an answer.
fn watched<T: Send + 'static, E>(
    call: impl FnOnce() -> T,
    next: impl FnOnce(Result<Begun<T>, E>) -> Infallible + Send + 'static,
    watch: impl FnOnce(Overdue) -> Result<Option<Thread>, E>,
) -> ! {
    let (answer, pending) = oneshot::channel();
    // Whoever takes it goes on.
    let goes_on = Arc::new(Mutex::new(Some((next, Begun(pending)))));
    let others = Arc::clone(&goes_on);
    let watching = watch(Box::new(move || {
        if let Some((next, begun)) = take(&others) {
            match next(Ok(begun)) {}
        }
    }));
    let answered = watching.map(|thread| (call(), thread));
    if let Some((next, begun)) = take(&goes_on) {
        let begun = answered.map(|(value, thread)| {
            thread.iter().for_each(Thread::is_free);
            // The receiver is in `begun`.
            let _ = answer.send(value);
            begun
        });
        match next(begun) {}
    }
    let (own, calls) = Thread::new();
    own.is_free();
    if let Ok((value, _)) = answered {
        // The receiver is gone when the program has moved on: nobody wants the answer.
        let _ = answer.send(value);
    }
    own.serve(&calls)
}

fn take<N>(next: &Mutex<Option<N>>) -> Option<N> {
    next.lock().unwrap_or_else(PoisonError::into_inner).take()
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
    spawn(move || {
        let (thread, calls) = Thread::new();
        call(&thread);
        thread.serve(&calls);
    })
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let work = || {
        block_signals();
        work();
    };
    std::thread::Builder::new().name("aside".into()).spawn(work).map(drop)
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

    /// Where `here` went on, and what it got, when `call` was made on a thread of that name.
    async fn name_and_answer(call: impl FnOnce() -> u32 + Send + 'static) -> (String, super::Begun<u32>) {
        let (went_on, there) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("caller".into())
            .spawn(|| {
                super::here(call, move |begun| {
                    let name = std::thread::current().name().unwrap_or_default().to_owned();
                    assert!(went_on.send((name, begun.expect("a thread"))).is_ok(), "the test is over");
                    loop {
                        std::thread::park();
                    }
                })
            })
            .expect("a thread");
        there.await.expect("one of the two goes on")
    }

    #[tokio::test]
    async fn a_call_that_answers_at_once_is_made_where_its_caller_goes_on() {
        let (name, answer) = name_and_answer(|| 7).await;
        assert_eq!((name.as_str(), answer.answer().await.expect("an answer")), ("caller", 7));
    }

    #[tokio::test]
    async fn the_caller_goes_on_elsewhere_while_its_call_hangs_and_hears_the_answer_later() {
        let (release, held) = mpsc::channel();
        let (name, answer) = name_and_answer(move || held.recv().expect("the sender lives")).await;
        assert_eq!(name, "aside");
        release.send(7).expect("the call is still there");
        assert_eq!(answer.answer().await.expect("an answer"), 7);
    }

    #[tokio::test]
    async fn a_call_that_panics_is_an_error() {
        let mut aside = Aside::<()>::default();
        let error = aside.run(|| panic!("on purpose")).await.expect_err("a panic");
        assert!(error.to_string().contains("without an answer"));
    }
}
