//! What a test needs of the machine. Each need is tried once per process, never derived from the user's number: root in a
//! container may mount nothing, and an ordinary user may have FUSE. A test whose need is not met ends as "not run": the
//! test runner of Rust has no word for that and counts it among the passed, so it is also written to the file that
//! `TESTS_NOT_RUN_FILE` names, and `tests/run` takes it off. Knows nothing of the program under test; the tests of
//! faultfs use this file, too.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::fs::XattrFlags;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(dead_code, reason = "two test programs share this file, and neither needs everything")]
pub(crate) enum Need {
    Mount,
    LoopDevice,
    Fuse,
    /// To become another user, and to give files away.
    OtherUsers,
    /// To set attributes that the kernel keeps for root: `trusted.*` and `security.capability`.
    TrustedAttributes,
    MountNamespace,
    /// A memory cgroup of the test's own, below that of its process.
    MemoryGroup,
    PidNamespace,
    /// Of the machine's own user namespace: what is in it may listen on port 53.
    NetworkNamespace,
    /// So many at the same time, in this process.
    OpenFiles(u64),
    Program(&'static str),
    /// The released binary, built by `image/binary`.
    StaticBinary,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::Mount => f.write_str("permission to mount"),
            Need::LoopDevice => f.write_str("a loop device"),
            Need::Fuse => f.write_str("FUSE (/dev/fuse, and fuse3 for an ordinary user)"),
            Need::OtherUsers => f.write_str("permission to become other users"),
            Need::TrustedAttributes => f.write_str("permission to set trusted attributes"),
            Need::MountNamespace => f.write_str("a mount namespace"),
            Need::MemoryGroup => f.write_str("permission to make a memory cgroup"),
            Need::PidNamespace => f.write_str("a PID namespace"),
            Need::NetworkNamespace => f.write_str("a network namespace"),
            Need::OpenFiles(count) => write!(f, "{count} open files (ulimit -n)"),
            Need::Program(name) => f.write_str(name),
            Need::StaticBinary => f.write_str("STATIC_HOOK_RUNNER (make root-test sets it)"),
        }
    }
}

/// True when all are met; otherwise the first that is not is written down as the reason why this test is not run.
pub(crate) fn met(needs: &[Need]) -> bool {
    let Some(unmet) = needs.iter().find(|need| !has(**need)) else { return true };
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Past the test runner's capture: nobody must overlook it.
    let _ = writeln!(std::io::stderr().lock(), "not run: {test} needs {unmet}");
    if let Some(path) = std::env::var_os("TESTS_NOT_RUN_FILE") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(format!("{test}\t{unmet}\n").as_bytes()));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    false
}

/// Whether a need is met, for a test that does its work either way.
pub(crate) fn has(need: Need) -> bool {
    static TRIED: Mutex<Option<HashMap<Need, bool>>> = Mutex::new(None);
    let mut tried = TRIED.lock().unwrap_or_else(PoisonError::into_inner);
    *tried.get_or_insert_default().entry(need).or_insert_with(|| tried_now(need))
}

fn tried_now(need: Need) -> bool {
    let scratch = Scratch::new();
    let at = scratch.0.as_path();
    match need {
        Need::Mount => {
            let point = at.join("mount");
            std::fs::create_dir(&point).is_ok()
                && succeeds(Command::new("mount").args(["-t", "tmpfs", "hook-runner-test"]).arg(&point))
                && succeeds(Command::new("umount").arg(&point))
        }
        Need::LoopDevice => loop_device(&at.join("image")),
        Need::Fuse => fuse(at),
        Need::OtherUsers => {
            let as_another = ["--reuid", "65532", "--regid", "65532", "--clear-groups", "true"];
            std::os::unix::fs::chown(at, Some(65532), Some(65532)).is_ok()
                && succeeds(Command::new("setpriv").args(as_another))
        }
        Need::TrustedAttributes => {
            let set = |name: &str, value: &[u8]| rustix::fs::setxattr(at, name, value, XattrFlags::empty());
            set("trusted.hook-runner", b"x").is_ok()
        }
        Need::MountNamespace => succeeds(unshare().args(["--mount", "true"])),
        Need::MemoryGroup => {
            memory_group("tried", 64 << 20).is_some_and(|group| std::fs::remove_dir(group).is_ok())
        }
        Need::PidNamespace => succeeds(unshare().args(["--pid", "--fork", "--mount-proc", "true"])),
        Need::NetworkNamespace => {
            succeeds(Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "up"]))
        }
        Need::OpenFiles(count) => open_files(count),
        Need::Program(name) => is_program(name),
        Need::StaticBinary => {
            std::env::var_os("STATIC_HOOK_RUNNER").is_some_and(|path| Path::new(&path).exists())
        }
    }
}

/// A memory cgroup of either version below that of this process (cgroups(7)), limited to `bytes`.
pub(crate) fn memory_group(name: &str, bytes: u64) -> Option<PathBuf> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let of = |controller: &str| {
        let own =
            groups.lines().find_map(|line| line.split_once(controller)).map(|(_, path)| path.to_owned());
        own.into_iter().chain([String::new()])
    };
    let version_1 =
        of(":memory:").map(|own| (format!("/sys/fs/cgroup/memory{own}"), "memory.limit_in_bytes"));
    let version_2 = of("0::").map(|own| (format!("/sys/fs/cgroup{own}"), "memory.max"));
    version_1.chain(version_2).find_map(|(parent, limit)| {
        let group = Path::new(&parent).join(format!("hook-runner-test-{}-{name}", std::process::id()));
        std::fs::create_dir(&group).ok()?;
        let limited = std::fs::write(group.join(limit), bytes.to_string()).is_ok();
        if limited {
            return Some(group);
        }
        let _ = std::fs::remove_dir(&group);
        None
    })
}

/// unshare(1) for namespaces that root makes as it is, and an ordinary user in a user namespace.
pub(crate) fn unshare() -> Command {
    let mut command = Command::new("unshare");
    if !succeeds(Command::new("unshare").args(["--mount", "true"])) {
        command.args(["--user", "--map-root-user"]);
    }
    command
}

fn loop_device(image: &Path) -> bool {
    let made = std::fs::File::create(image).and_then(|file| file.set_len(1 << 20));
    let attached = Command::new("losetup").args(["--find", "--show"]).arg(image).output();
    let Some(attached) = attached.ok().filter(|output| output.status.success()) else { return false };
    let device = String::from_utf8_lossy(&attached.stdout).trim().to_owned();
    made.is_ok() && succeeds(Command::new("losetup").args(["--detach", &device]))
}

fn fuse(at: &Path) -> bool {
    let (backing, mount) = (at.join("backing"), at.join("mount"));
    // Before a daemon is built for nothing.
    std::fs::File::options().read(true).write(true).open("/dev/fuse").is_ok()
        && [&backing, &mount].iter().all(|dir| std::fs::create_dir(dir).is_ok())
        && faultfs::Mount::start(&backing, &mount).is_ok()
}

/// Raises the limit as far as this process may.
fn open_files(count: u64) -> bool {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        limit.current = limit.maximum;
        let _ = setrlimit(Resource::Nofile, limit);
        limit = getrlimit(Resource::Nofile);
    }
    limit.current.is_none_or(|current| current >= count)
}

fn is_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .any(|dir| rustix::fs::access(dir.join(name), rustix::fs::Access::EXEC_OK).is_ok())
}

fn succeeds(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// A directory for one trial, gone after it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("needs-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Leaves the test, counted as "not run", unless the machine has what it needs: `needs!(Mount, Program("rsync"))`.
#[macro_export]
macro_rules! needs {
    ($($need:ident $(($what:expr))?),+ $(,)?) => {
        if !$crate::support::needs::met(&[$($crate::support::needs::Need::$need $(($what))?),+]) {
            return;
        }
    };
}
