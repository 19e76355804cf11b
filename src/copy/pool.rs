//! A pool of plain threads over one stack of tasks. Last in, first out: a tree is walked depth first, which keeps
//! few directories open. The first error stops everything.
//!
//! Two tasks for each processor are at work at first. More only help where tasks wait, for a cold source or a network
//! volume; where they do not, more threads than processors contend for the kernel's locks of a filesystem (on xfs
//! sixteen threads on two processors took a fifth more processor time than four). So others join in when those at work
//! are seen to wait, and leave off when they wait no more. A thread is made when there is a task for it: sixteen that
//! have nothing to do took a twentieth of a copy's time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::error::Error;

/// How often it is looked whether more should be at work.
const LOOK: Duration = Duration::from_millis(2);
/// Tasks wait when they are put to sleep so often for each millisecond of processor time. Seen on two processors: 0.5 and
/// fewer for a warm copy, 14 for a cold source, 45 for a volume that takes 1 ms for an operation.
const WAITS: i64 = 8;
/// A look back is over so much processor time at the most, in microseconds.
const BACK: i64 = 20_000;

/// How many an earlier phase came to have at work: where that waited for a volume, the next one will.
static LEARNT: AtomicUsize = AtomicUsize::new(0);

/// Tasks of one phase.
pub(super) struct Pool<T> {
    state: Mutex<State<T>>,
    /// For those that work: there is a task, or nothing is left to do.
    changed: Condvar,
    /// For the one that makes them.
    needed: Condvar,
    stopped: AtomicBool,
}

struct State<T> {
    tasks: Vec<T>,
    active: usize,
    /// So many tasks may be at work, and so many at the least.
    limit: usize,
    least: usize,
    /// Threads that there are, and that there may be.
    threads: usize,
    most: usize,
    /// Threads that have no task.
    waiting: usize,
    /// Nobody looks from time to time whether more should be at work.
    unwatched: bool,
    since: Used,
    failure: Option<Error>,
}

/// What this process has used so far.
#[derive(Clone, Copy, Default)]
struct Used {
    /// Times that a thread was put to sleep.
    waits: i64,
    /// Processor time in microseconds.
    time: i64,
}

impl Used {
    fn now() -> Self {
        let of = |usage: Usage| Self {
            waits: usage.voluntary_context_switches(),
            time: (usage.user_time() + usage.system_time()).num_microseconds(),
        };
        getrusage(UsageWho::RUSAGE_SELF).map(of).unwrap_or_default()
    }
}

impl<T: Send> Pool<T> {
    pub(super) fn new(tasks: Vec<T>) -> Self {
        let least = 2 * processors();
        let limit = LEARNT.load(Ordering::Relaxed).max(least);
        let state = State {
            tasks,
            active: 0,
            limit,
            least,
            threads: 0,
            most: 0,
            waiting: 0,
            unwatched: false,
            since: Used::now(),
            failure: None,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            needed: Condvar::new(),
            stopped: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a task that waits taken by one that has none, or else has one made or looked for.
    fn wake(&self, state: &State<T>) {
        if state.tasks.is_empty() {
            return;
        }
        if state.waiting > 0 && state.active < state.limit {
            self.changed.notify_one();
        } else if state.threads < state.limit.min(state.most) || state.unwatched && state.limit < state.most {
            self.needed.notify_one();
        }
    }

    /// Adds a task: only from within a task.
    pub(super) fn push(&self, task: T) {
        let mut state = self.lock();
        state.tasks.push(task);
        self.wake(&state);
    }

    /// Adds tasks; the last is taken first.
    pub(super) fn push_all(&self, tasks: &mut Vec<T>) {
        if tasks.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.tasks.append(tasks);
        // The one that adds them takes the last of them itself.
        if state.tasks.len() > 1 {
            self.wake(&state);
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
            if state.limit > state.least {
                state.look(Used::now());
            }
            if state.active < state.limit
                && let Some(task) = state.tasks.pop()
            {
                state.active += 1;
                // Each that finds more wakes the next: all are at work soon where tasks take long, and few where two
                // can do them as fast as they come.
                self.wake(&state);
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
            self.needed.notify_one();
        }
    }

    /// Runs every task, and those that they add, on one thread for each worker state at the most, and gives the states
    /// back.
    pub(super) fn run<W: Send>(
        &self,
        workers: Vec<W>,
        act: impl Fn(&mut W, T) -> Result<(), Error> + Sync,
    ) -> Result<Vec<W>, Error> {
        {
            let mut state = self.lock();
            (state.threads, state.most) = (0, workers.len());
        }
        let workers = Mutex::new(workers);
        let states = || workers.lock().unwrap_or_else(PoisonError::into_inner);
        let work = || {
            let Some(mut worker) = states().pop() else { return };
            while let Some(task) = self.take() {
                let result = act(&mut worker, task);
                self.done(result);
            }
            states().push(worker);
        };
        std::thread::scope(|scope| {
            while self.is_one_needed() {
                if std::thread::Builder::new().name("copy".into()).spawn_scoped(scope, work).is_ok() {
                    continue;
                }
                // Where a thread cannot be had (a pids limit), the others do its work; this one does if there are none.
                let mut state = self.lock();
                state.threads -= 1;
                state.most = state.threads;
                if state.most == 0 {
                    drop(state);
                    work();
                }
            }
        });
        match self.lock().failure.take() {
            Some(error) => Err(error),
            None => Ok(workers.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Waits until there is a task for one more thread, which is counted in; false when there is nothing left to do.
    fn is_one_needed(&self) -> bool {
        let mut state = self.lock();
        loop {
            if self.is_stopped() || state.active == 0 && state.tasks.is_empty() {
                return false;
            }
            if !state.tasks.is_empty() && state.waiting == 0 && state.threads < state.limit.min(state.most) {
                state.threads += 1;
                return true;
            }
            state.unwatched = state.tasks.is_empty() || state.limit >= state.most;
            if state.unwatched {
                state = self.needed.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                state = self.needed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
                state.look(Used::now());
                self.wake(&state);
            }
        }
    }
}

impl<T> State<T> {
    /// Lets twice as many work where those at work wait, and half as many, down to those of the beginning, where they
    /// do not any more.
    fn look(&mut self, now: Used) {
        let (waits, time) = (now.waits - self.since.waits, now.time - self.since.time);
        let waiting = waits >= WAITS * time / 1000;
        // Several for each: all may have to wait once, for a lock or for the journal.
        if waiting && waits >= 4 * i64::try_from(self.limit).unwrap_or(i64::MAX / 4) {
            self.limit = (2 * self.limit).max(LEARNT.load(Ordering::Relaxed));
        } else if time < BACK {
            return;
        } else if !waiting {
            self.limit = (self.limit / 2).max(self.least);
        }
        self.since = now;
        LEARNT.store(self.limit, Ordering::Relaxed);
    }
}

/// Those that this process may use, by its affinity and its cgroup.
fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `limit` becomes when this process uses so many waits and microseconds from look to look.
    fn limit_after(looks: &[(i64, i64)]) -> usize {
        let mut state = Pool::<()>::new(Vec::new()).state.into_inner().unwrap();
        (state.limit, state.least, state.since) = (4, 4, Used::default());
        let mut now = Used::default();
        for (waits, time) in looks {
            now = Used { waits: now.waits + waits, time: now.time + time };
            state.look(now);
        }
        state.limit
    }

    #[test]
    fn more_are_at_work_where_tasks_wait_and_only_there() {
        assert_eq!(limit_after(&[(5, 10_000); 100]), 4, "a warm copy");
        assert!(limit_after(&[(150, 8_000); 3]) >= 16, "a cold source");
        assert!(limit_after(&[(20, 200); 4]) >= 16, "1 ms for each operation");
        assert!(limit_after(&[(1, 10); 100]) >= 16, "20 ms for each operation");
        assert_eq!(limit_after(&[(4, 0)]), 4, "all wait once");
        assert_eq!(
            limit_after(&[&[(20, 200); 4][..], &[(5, 10_000); 20]].concat()),
            4,
            "no longer a cold source"
        );
        assert!(limit_after(&[&[(0, 10_000); 50][..], &[(20, 200); 4]].concat()) >= 16, "after busy times");
    }

    #[test]
    fn every_task_runs_once_with_those_that_tasks_add() {
        fn count(n: u64) -> u64 {
            1 + (0..n).map(|child| count(child.min(n / 2))).sum::<u64>()
        }
        let pool = Pool::new(vec![10u64]);
        let sums = pool
            .run(vec![0u64; 64], |sum, n| {
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
