//! The faults in force, asked before every operation. Knows rules and time, nothing of files or of FUSE.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::fault::{Fault, Op, Rule};

/// Where every operation passes.
#[derive(Debug)]
pub struct Gate {
    base_delay: Duration,
    counts: [AtomicU64; Op::ALL.len()],
    any_rule: AtomicBool,
    rules: Mutex<Rules>,
    changed: Condvar,
    hanging: AtomicUsize,
}

#[derive(Debug, Default)]
struct Rules {
    armed: Vec<Armed>,
    next_id: u64,
    closed: bool,
}

#[derive(Debug)]
struct Armed {
    id: u64,
    op: Op,
    rule: Rule,
    bytes_left: u64,
    ops_left: u64,
    strikes_left: Option<u64>,
}

/// What the rules decided for one operation; carried out after the lock is let go.
enum Verdict {
    Pass,
    Cut(u64),
    Sleep(Duration),
    Fail(i32),
    Hang(u64),
}

impl Gate {
    /// A gate that delays every operation by `base_delay`, and has no other fault yet.
    pub fn new(base_delay: Duration) -> Gate {
        Gate {
            base_delay,
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            any_rule: AtomicBool::new(false),
            rules: Mutex::default(),
            changed: Condvar::new(),
            hanging: AtomicUsize::new(0),
        }
    }

    /// Lets an operation on `len` bytes pass, now or later, or fails it with an errno. `path` is asked for only by rules that
    /// are restricted to a path. The answer is how many of the bytes may be carried out.
    pub fn pass(&self, op: Op, len: u64, path: impl Fn() -> Option<PathBuf>) -> Result<u64, i32> {
        self.counts[op as usize].fetch_add(1, Ordering::Relaxed);
        if !self.base_delay.is_zero() {
            thread::sleep(self.base_delay);
        }
        if !self.any_rule.load(Ordering::Acquire) {
            return Ok(len);
        }
        match self.judge(op, len, path) {
            Verdict::Pass => Ok(len),
            Verdict::Cut(allowed) => Ok(allowed),
            Verdict::Sleep(delay) => {
                thread::sleep(delay);
                Ok(len)
            }
            Verdict::Fail(errno) => Err(errno),
            Verdict::Hang(id) => {
                self.hang(id);
                Ok(len)
            }
        }
    }

    fn judge(&self, op: Op, len: u64, path: impl Fn() -> Option<PathBuf>) -> Verdict {
        let mut rules = self.lock();
        for armed in rules.armed.iter_mut().filter(|armed| armed.op == op) {
            if let Some(part) = &armed.rule.path
                && !path().is_some_and(|path| path.to_string_lossy().contains(part))
            {
                continue;
            }
            if armed.ops_left > 0 {
                armed.ops_left -= 1;
                continue;
            }
            if armed.bytes_left > 0 {
                let allowed = len.min(armed.bytes_left);
                armed.bytes_left -= allowed;
                if allowed < len {
                    return Verdict::Cut(allowed);
                }
                continue;
            }
            match &mut armed.strikes_left {
                Some(0) => continue,
                Some(left) => *left -= 1,
                None => {}
            }
            return match armed.rule.fault {
                Fault::Errno(number) => Verdict::Fail(number),
                Fault::Delay(delay) => Verdict::Sleep(delay),
                Fault::Hang => Verdict::Hang(armed.id),
            };
        }
        Verdict::Pass
    }

    fn hang(&self, id: u64) {
        self.hanging.fetch_add(1, Ordering::SeqCst);
        let mut rules = self.lock();
        while !rules.closed && rules.armed.iter().any(|armed| armed.id == id) {
            rules = self.changed.wait(rules).unwrap_or_else(PoisonError::into_inner);
        }
        drop(rules);
        self.hanging.fetch_sub(1, Ordering::SeqCst);
    }

    /// Puts `rule` in force for each of `ops`, in place of what was in force for them. Each operation counts for itself.
    pub fn set(&self, ops: &[Op], rule: &Rule) {
        let mut rules = self.lock();
        rules.armed.retain(|armed| !ops.contains(&armed.op));
        for &op in ops {
            let id = rules.next_id;
            rules.next_id += 1;
            rules.armed.push(Armed {
                id,
                op,
                rule: rule.clone(),
                bytes_left: rule.after_bytes,
                ops_left: rule.after_ops,
                strikes_left: rule.times,
            });
        }
        self.any_rule.store(!rules.armed.is_empty(), Ordering::Release);
        self.changed.notify_all();
    }

    /// Lifts the faults of `ops` and lets go what hangs in them.
    pub fn clear(&self, ops: &[Op]) {
        let mut rules = self.lock();
        rules.armed.retain(|armed| !ops.contains(&armed.op));
        self.any_rule.store(!rules.armed.is_empty(), Ordering::Release);
        self.changed.notify_all();
    }

    /// Lets go everything that hangs and lets nothing hang from now on, so that the mount can be taken down.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// How often each operation was asked for, and `hanging`: how many have no answer now.
    pub fn statistics(&self) -> Vec<(&'static str, u64)> {
        let counts =
            Op::ALL.into_iter().map(|op| (op.name(), self.counts[op as usize].load(Ordering::Relaxed)));
        counts.chain([("hanging", self.hanging.load(Ordering::SeqCst) as u64)]).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(gate: &Gate, len: u64) -> Result<u64, i32> {
        gate.pass(Op::Write, len, || None)
    }

    #[test]
    fn bytes_before_the_mark_pass_and_a_write_across_it_is_cut() {
        let gate = Gate::new(Duration::ZERO);
        gate.set(&[Op::Write], &Fault::Errno(libc::ENOSPC).after_bytes(10));
        assert_eq!(write(&gate, 8), Ok(8));
        assert_eq!(write(&gate, 8), Ok(2));
        assert_eq!(write(&gate, 8), Err(libc::ENOSPC));
        gate.clear(&[Op::Write]);
        assert_eq!(write(&gate, 8), Ok(8));
    }

    #[test]
    fn a_rule_strikes_as_often_as_asked_after_the_operations_it_spares() {
        let gate = Gate::new(Duration::ZERO);
        gate.set(&[Op::Write], &Fault::Errno(libc::EIO).after_ops(1).times(1));
        assert_eq!([write(&gate, 1), write(&gate, 1), write(&gate, 1)], [Ok(1), Err(libc::EIO), Ok(1)]);
    }

    #[test]
    fn a_rule_for_a_path_leaves_other_paths_and_operations_alone() {
        let gate = Gate::new(Duration::ZERO);
        gate.set(&[Op::Open], &Fault::Errno(libc::ESTALE).on_path("bad"));
        let open = |path: &str| gate.pass(Op::Open, 0, || Some(PathBuf::from(path)));
        assert_eq!(open("/a/bad/file"), Err(libc::ESTALE));
        assert_eq!(open("/a/good"), Ok(0));
        assert_eq!(write(&gate, 5), Ok(5));
    }

    #[test]
    fn what_hangs_goes_on_when_the_fault_is_lifted() {
        let gate = Gate::new(Duration::ZERO);
        gate.set(&[Op::Write], &Rule::from(Fault::Hang));
        thread::scope(|scope| {
            let hung = scope.spawn(|| write(&gate, 3));
            while gate.statistics().last() != Some(&("hanging", 1)) {
                thread::yield_now();
            }
            assert!(!hung.is_finished());
            gate.clear(&[Op::Write]);
            assert_eq!(hung.join().expect("the operation ends"), Ok(3));
        });
    }
}
