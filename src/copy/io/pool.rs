//! A thread pool over a stack of tasks. Last in, first out: the tree is walked depth first, so that few directories are
//! open. The first error stops everything.
//!
//! At first one task per processor runs. More help only where tasks wait for a cold source or a network volume; where
//! they wait for each other, more threads are slower: on two processors, four threads took 10 % longer than two on xfs,
//! and sixteen took 33 % longer on btrfs. So the pool adds threads when its tasks are seen to wait for something other
//! than the processor, and drops them when they no longer do. A thread is started only when there is a task for it:
//! sixteen idle threads cost 5 % of a copy's time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

use crate::copy::error::{Cause, Error};
use crate::support::mutex;

/// How often to check whether more threads should run.
const LOOK: Duration = Duration::from_millis(2);
/// Tasks count as waiting when they sleep more often than this per millisecond of processor time. Measured on two
/// processors: at most 1 for a warm copy to ext4 or xfs, 8 to 30 on btrfs (its locks), 14 for a cold source, 45 for a
/// volume with 1 ms per operation.
const WAITS: i64 = 4;
/// They wait for something slow if they use less than one part in this many (an eighth) of the processors' time.
/// Measured: 1 % with a volume that takes 1 ms per operation, half with a cold source or btrfs's locks.
const IDLE: i64 = 8;
/// Longest period to judge by, in microseconds of processor time.
const BACK: i64 = 20_000;

/// The number of threads that an earlier phase reached: if that phase waited for a volume, so will the next.
static LEARNT: AtomicUsize = AtomicUsize::new(0);

pub(crate) struct Pool<T> {
    state: Mutex<State<T>>,
    /// Wakes workers: there is a task, or all is done.
    changed: Condvar,
    /// Wakes the thread that starts workers.
    needed: Condvar,
    stopped: AtomicBool,
}

struct State<T> {
    tasks: Vec<T>,
    active: usize,
    /// Upper and lower bound of concurrently running tasks.
    limit: usize,
    least: usize,
    /// Number of threads, and its upper bound.
    threads: usize,
    most: usize,
    /// Idle threads.
    waiting: usize,
    /// Nobody checks the load periodically at the moment.
    unwatched: bool,
    /// The last measurement, and the sums since the bounds last changed.
    last: Used,
    since: Used,
    failure: Option<Error>,
}

/// Resources that this process has used.
#[derive(Clone, Copy, Default)]
struct Used {
    /// How often a thread was put to sleep.
    waits: i64,
    /// Blocks read from disk (getrusage(2), `ru_inblock`).
    reads: i64,
    /// Processor time in microseconds.
    time: i64,
    /// Elapsed time in microseconds.
    clock: i64,
}

impl Used {
    fn now() -> Self {
        let clock = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| now.num_microseconds());
        let of = |usage: Usage| Self {
            waits: usage.voluntary_context_switches(),
            reads: usage.block_reads(),
            time: (usage.user_time() + usage.system_time()).num_microseconds(),
            clock,
        };
        getrusage(UsageWho::RUSAGE_SELF).map(of).unwrap_or_default()
    }
}

impl<T: Send> Pool<T> {
    pub(crate) fn new(tasks: Vec<T>) -> Self {
        let least = processors();
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
            last: Used::now(),
            since: Used::default(),
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
        mutex::lock(&self.state)
    }

    /// Lets an idle thread take a task, or else asks for a new thread or a measurement.
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

    /// Adds a task. Only called from within a task.
    pub(crate) fn push(&self, task: T) {
        let mut state = self.lock();
        state.tasks.push(task);
        self.wake(&state);
    }

    /// Adds tasks; the last is taken first.
    pub(crate) fn push_all(&self, tasks: &mut Vec<T>) {
        if tasks.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.tasks.append(tasks);
        // The caller takes the last one itself.
        if state.tasks.len() > 1 {
            self.wake(&state);
        }
    }

    /// Whether an error has ended the phase. Long tasks ask now and then.
    pub(crate) fn is_stopped(&self) -> bool {
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
                // Each worker that finds more tasks wakes the next one: all run soon if tasks are long, and few if two
                // can keep up.
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
            // A task that was stopped because another failed does not know the reason.
            if state.failure.as_ref().is_none_or(|first| first.cause() == Cause::Cancelled) {
                state.failure = Some(error);
            }
            self.stopped.store(true, Ordering::Relaxed);
        }
        if state.active == 0 && state.tasks.is_empty() || self.is_stopped() {
            self.changed.notify_all();
            self.needed.notify_one();
        }
    }

    /// Runs all tasks and those that they add, on at most one thread per worker state. Returns the states.
    pub(crate) fn run<W: Send>(
        &self,
        workers: Vec<W>,
        act: impl Fn(&mut W, T) -> Result<(), Error> + Sync,
    ) -> Result<Vec<W>, Error> {
        {
            let mut state = self.lock();
            (state.threads, state.most) = (0, workers.len());
        }
        let workers = Mutex::new(workers);
        let states = || mutex::lock(&workers);
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
                // If no thread can be started (a pids limit), the others do its work; if there are none, this thread
                // does.
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
            None => Ok(mutex::into_inner(workers)),
        }
    }

    /// Waits until one more thread is needed, and counts it. False when everything is done.
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
    /// Doubles the number of running tasks while they wait for something slow; halves it, down to the initial number,
    /// when they no longer do.
    fn look(&mut self, now: Used) {
        let waits = now.waits - self.last.waits;
        self.since.waits += waits;
        self.since.reads += now.reads - self.last.reads;
        self.since.time += now.time - self.last.time;
        // If all threads sleep long at once, the filesystem is committing, and more threads would sleep as well.
        self.since.clock += if waits > 0 { now.clock - self.last.clock } else { 0 };
        self.last = now;
        let Used { waits, reads, time, clock } = self.since;
        let processors = i64::try_from(self.least).unwrap_or(1);
        let waiting = waits >= WAITS * time / 1000 && (reads >= waits || time * IDLE <= clock * processors);
        // A few sleeps per task: each may have to wait once for a lock or the journal.
        if waiting && waits >= 4 * i64::try_from(self.limit).unwrap_or(i64::MAX / 4) {
            self.limit = (2 * self.limit).max(LEARNT.load(Ordering::Relaxed));
        } else if time < BACK {
            return;
        } else if !waiting {
            self.limit = (self.limit / 2).max(self.least);
        }
        self.since = Used::default();
        LEARNT.store(self.limit, Ordering::Relaxed);
    }
}

/// The number of processors that affinity and cgroup give this process.
fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The new limit on 4 processors, starting at 4, after these measurements.
    fn limit_after(looks: &[Used]) -> usize {
        let mut state = Pool::<()>::new(Vec::new()).state.into_inner().unwrap();
        (state.limit, state.least, state.last) = (4, 4, Used::default());
        let mut now = Used::default();
        for used in looks {
            now.waits += used.waits;
            now.reads += used.reads;
            now.time += used.time;
            now.clock += used.clock;
            state.look(now);
        }
        state.limit
    }

    #[test]
    fn more_are_at_work_where_tasks_wait_for_a_disk_or_a_network_and_only_there() {
        let used = |waits, reads, time, clock| Used { waits, reads, time, clock };
        let warm = used(5, 0, 10_000, 2_000);
        let remote = used(20, 0, 200, 2_000);
        assert_eq!(limit_after(&[warm; 100]), 4, "a warm copy");
        assert!(limit_after(&[used(150, 1200, 8_000, 2_500); 3]) >= 16, "a cold source");
        assert!(limit_after(&[remote; 4]) >= 16, "1 ms for each operation");
        assert!(limit_after(&[used(1, 0, 10, 2_000); 100]) >= 16, "20 ms for each operation");
        assert_eq!(limit_after(&[used(4, 0, 0, 2_000)]), 4, "all wait once");
        assert_eq!(limit_after(&[used(150, 0, 5_000, 2_500); 100]), 4, "for each other");
        let commit = [&[used(150, 0, 5_000, 2_500)][..], &[used(0, 0, 0, 2_000); 100]].concat();
        assert_eq!(limit_after(&commit.repeat(10)), 4, "for each other, and a filesystem that commits");
        assert_eq!(limit_after(&[&[remote; 4][..], &[warm; 20]].concat()), 4, "no longer a cold source");
        assert!(
            limit_after(&[&[used(0, 0, 10_000, 2_500); 50][..], &[remote; 4]].concat()) >= 16,
            "after busy times"
        );
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
