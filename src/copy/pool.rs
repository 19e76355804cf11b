//! A pool of plain threads over one stack of tasks. Last in, first out: a tree is walked depth first, which keeps
//! few directories open. The first error stops everything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::error::Error;

/// Tasks of one phase.
pub(super) struct Pool<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    stopped: AtomicBool,
}

struct State<T> {
    tasks: Vec<T>,
    active: usize,
    waiting: usize,
    failure: Option<Error>,
}

impl<T: Send> Pool<T> {
    pub(super) fn new(tasks: Vec<T>) -> Self {
        let state = State { tasks, active: 0, waiting: 0, failure: None };
        Self { state: Mutex::new(state), changed: Condvar::new(), stopped: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a task: only from within a task.
    pub(super) fn push(&self, task: T) {
        let mut state = self.lock();
        state.tasks.push(task);
        if state.waiting > 0 {
            self.changed.notify_one();
        }
    }

    /// Adds tasks; the last is taken first.
    pub(super) fn push_all(&self, tasks: &mut Vec<T>) {
        if tasks.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.tasks.append(tasks);
        // The one that adds them takes the last of them itself.
        if state.waiting > 0 && state.tasks.len() > 1 {
            self.changed.notify_one();
        }
    }

    /// Whether an error has ended the phase: a long task looks now and then.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if self.is_stopped() {
                return None;
            }
            if let Some(task) = state.tasks.pop() {
                state.active += 1;
                // Each that finds more wakes the next: all are at work soon where tasks take long, and few where two
                // can do them as fast as they come.
                if state.waiting > 0 && !state.tasks.is_empty() {
                    self.changed.notify_one();
                }
                return Some(task);
            }
            if state.active == 0 {
                return None;
            }
            state.waiting += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    fn done(&self, result: Result<(), Error>) {
        let mut state = self.lock();
        state.active -= 1;
        if let Err(error) = result {
            state.failure.get_or_insert(error);
            self.stopped.store(true, Ordering::Relaxed);
        }
        if state.active == 0 && state.tasks.is_empty() || self.is_stopped() {
            self.changed.notify_all();
        }
    }

    /// Runs every task, and those that they add, on one thread for each worker state, and gives the states back.
    pub(super) fn run<W: Send>(
        &self,
        workers: Vec<W>,
        act: impl Fn(&mut W, T) -> Result<(), Error> + Sync,
    ) -> Result<Vec<W>, Error> {
        let work = |mut worker: W| {
            while let Some(task) = self.take() {
                let result = act(&mut worker, task);
                self.done(result);
            }
            worker
        };
        let workers = std::thread::scope(|scope| {
            let mut threads = Vec::new();
            let mut left = Vec::new();
            for worker in workers {
                // Where a thread cannot be had (a pids limit), the others do its work; this one does if none can.
                let slot = std::sync::Arc::new(Mutex::new(Some(worker)));
                let theirs = slot.clone();
                let body = move || theirs.lock().unwrap_or_else(PoisonError::into_inner).take();
                match std::thread::Builder::new()
                    .name("copy".into())
                    .spawn_scoped(scope, move || body().map(work))
                {
                    Ok(thread) => threads.push(thread),
                    Err(_) => left.extend(slot.lock().unwrap_or_else(PoisonError::into_inner).take()),
                }
            }
            let mut done: Vec<W> =
                if threads.is_empty() { left.into_iter().map(work).collect() } else { left };
            for thread in threads {
                match thread.join() {
                    Ok(worker) => done.extend(worker),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            done
        });
        match self.lock().failure.take() {
            Some(error) => Err(error),
            None => Ok(workers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_with_those_that_tasks_add() {
        fn count(n: u64) -> u64 {
            1 + (0..n).map(|child| count(child.min(n / 2))).sum::<u64>()
        }
        let pool = Pool::new(vec![10u64]);
        let sums = pool
            .run(vec![0u64; 4], |sum, n| {
                *sum += 1;
                (0..n).for_each(|child| pool.push(child.min(n / 2)));
                Ok(())
            })
            .unwrap();
        assert_eq!(sums.iter().sum::<u64>(), count(10));
    }

    #[test]
    fn the_first_error_ends_the_phase() {
        let pool = Pool::new((0..1000).collect());
        let outcome = pool.run(vec![(); 4], |(), n| if n == 500 { Err(Error::cancelled()) } else { Ok(()) });
        assert!(outcome.is_err());
    }
}
