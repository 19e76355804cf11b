//! A pool of plain threads over one stack of tasks. Last in, first out: a tree is walked depth first, which keeps
//! few directories open. The first error stops everything.
//!
//! One task for each processor is at work at first. More only help where tasks wait for a cold source or a network
//! volume; where they wait for each other, more threads than processors make it worse: on two processors xfs took a tenth
//! longer with four than with two, btrfs a third longer with sixteen. So others join in when those at work are seen to
//! wait for what is not the processors' work, and leave off when they wait no more. A thread is made when there is a task
//! for it: sixteen that have nothing to do took a twentieth of a copy's time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

use crate::copy::error::{Cause, Error};
use crate::support::mutex;

/// How often it is looked whether more should be at work.
const LOOK: Duration = Duration::from_millis(2);
/// Tasks wait when they are put to sleep so often for each millisecond of processor time. Seen on two processors: 1 and
/// fewer for a warm copy to ext4 or xfs, 8 to 30 to btrfs (for its locks), 14 for a cold source, 45 for a volume that takes
/// 1 ms for an operation.
const WAITS: i64 = 4;
/// What they wait for takes time of its own when no more than this part of the processors' time is used meanwhile: an
/// eighth. Seen: 1 % with a volume that takes 1 ms for an operation, a half with a cold source or the locks of btrfs.
const IDLE: i64 = 8;
/// A look back is over so much processor time at the most, in microseconds.
const BACK: i64 = 20_000;

/// How many an earlier phase came to have at work: where that waited for a volume, the next one will.
static LEARNT: AtomicUsize = AtomicUsize::new(0);

/// Tasks of one phase.
pub(crate) struct Pool<T> {
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
    /// The last look, and what was used since the last time that something came of one.
    last: Used,
    since: Used,
    failure: Option<Error>,
}

/// What this process has used.
#[derive(Clone, Copy, Default)]
struct Used {
    /// Times that a thread was put to sleep.
    waits: i64,
    /// Blocks read from a disk: getrusage(2), `ru_inblock`.
    reads: i64,
    /// Processor time in microseconds.
    time: i64,
    /// Microseconds by the clock.
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
        // The one that adds them takes the last of them itself.
        if state.tasks.len() > 1 {
            self.wake(&state);
        }
    }

    /// Whether an error has ended the phase: a long task looks now and then.
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
            // One that stopped because another failed does not say why.
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

    /// Runs every task, and those that they add, on one thread for each worker state at the most, and gives the states
    /// back.
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
            None => Ok(mutex::into_inner(workers)),
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
    /// Lets twice as many work where those at work wait for what takes time of its own, and half as many, down to those of
    /// the beginning, where they do not any more.
    fn look(&mut self, now: Used) {
        let waits = now.waits - self.last.waits;
        self.since.waits += waits;
        self.since.reads += now.reads - self.last.reads;
        self.since.time += now.time - self.last.time;
        // When all sleep at once and for long, a filesystem commits, and more of them would sleep.
        self.since.clock += if waits > 0 { now.clock - self.last.clock } else { 0 };
        self.last = now;
        let Used { waits, reads, time, clock } = self.since;
        let processors = i64::try_from(self.least).unwrap_or(1);
        let waiting = waits >= WAITS * time / 1000 && (reads >= waits || time * IDLE <= clock * processors);
        // Several for each: all may have to wait once, for a lock or for the journal.
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

/// Those that this process may use, by its affinity and its cgroup.
fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `limit` becomes, from 4 on 4 processors, when this process uses so much from look to look.
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
