//! A program that is watched and signalled while it runs: its output goes into files that can be polled.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::libc;

use crate::support::harness::{Test, eventually, with_default_actions};
use crate::support::needs::{Need, met, unshare};
use crate::support::terminal::Terminal;

/// Ended by KILL when it is dropped, with what works below its directory: a runner that was killed leaves its command
/// behind, and so does a test that fails.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) directory: tempfile::TempDir,
    began_in: PathBuf,
}

impl Running {
    pub(crate) fn of(child: Child, directory: tempfile::TempDir) -> Self {
        let began_in = directory.path().to_owned();
        Self { child, directory, began_in }
    }

    /// Starts `command` with `{}` in its arguments already replaced; stdout and stderr go to `out` and `err`.
    #[track_caller]
    pub(crate) fn start(mut command: Command, directory: tempfile::TempDir) -> Self {
        let file = |name: &str| File::create(directory.path().join(name)).expect("a file");
        command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
        Self::of(command.spawn().expect("the program starts"), directory)
    }

    /// With a terminal as stdin, stdout and stderr.
    #[track_caller]
    pub(crate) fn start_in(mut command: Command, directory: tempfile::TempDir, terminal: &Terminal) -> Self {
        let line = || terminal.line.try_clone().expect("a descriptor");
        command.stdin(line()).stdout(line()).stderr(line());
        Self::of(command.spawn().expect("the program starts"), directory)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file so far; empty when it is not there.
    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, name: &str, text: &str) {
        eventually(&format!("{text:?} in {name}"), || self.read(name).contains(text).then_some(()));
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    /// Whether one of its threads is within this function of the kernel; for root only.
    pub(crate) fn is_within(&self, function: &str) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).into_iter().flatten();
        let mut stacks = threads.flatten().map(|thread| std::fs::read_to_string(thread.path().join("stack")));
        stacks.any(|stack| stack.is_ok_and(|stack| stack.contains(function)))
    }

    /// Whether a signal to the process has not been taken yet.
    pub(crate) fn has_pending(&self, signal: i32) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("not reaped");
        let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:\t"));
        let pending = pending.map_or(0, |set| u64::from_str_radix(set, 16).expect("a number"));
        pending & 1 << (signal - 1) != 0
    }

    pub(crate) fn signal(&self, signal: i32) {
        send(self.pid(), signal);
    }

    /// Waits for the end; the exit status as a shell shows it.
    #[track_caller]
    pub(crate) fn end(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let pid = self.pid();
        let end = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                break status;
            }
            assert!(Instant::now() < end, "the program does not end:\n{}", whereabouts(pid));
            std::thread::sleep(Duration::from_millis(10));
        };
        status.code().unwrap_or_else(|| 128 + status.signal().expect("a signal"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, in a test that passes.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let end = Instant::now() + Duration::from_secs(10);
        while let Some(pid) = working_below(&self.began_in).filter(|_| Instant::now() < end) {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A process whose working directory is, or was, below this one: its name goes on with ` (deleted)` then.
fn working_below(directory: &Path) -> Option<nix::unistd::Pid> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|process| {
            std::fs::read_link(process.path().join("cwd"))
                .is_ok_and(|cwd| cwd.as_os_str().as_bytes().starts_with(directory.as_os_str().as_bytes()))
        })
        .find_map(|process| process.file_name().to_str()?.parse().ok().map(nix::unistd::Pid::from_raw))
}

/// Starts the runner as PID 1 of a namespace of its own.
pub(crate) fn as_pid_1(test: Test) -> Option<Running> {
    if !met(&[Need::PidNamespace]) {
        return None;
    }
    let runner = test.command();
    let mut command = with_default_actions("unshare");
    command.args(unshare().get_args()).args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    command
        .arg(runner.get_program())
        .args(runner.get_args())
        .current_dir(runner.get_current_dir().expect("set"));
    Some(Running::start(command, test.into_directory()))
}

/// Where each thread of a process, and of those below it, waits in the kernel: for whoever reads of a hang.
pub(crate) fn whereabouts(pid: i32) -> String {
    let mut text = String::new();
    let mut todo = vec![pid];
    while let Some(pid) = todo.pop() {
        todo.extend(children(pid));
        for thread in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let read = |name| std::fs::read_to_string(thread.path().join(name)).unwrap_or_default();
            let status = read("status");
            let state = status.lines().find(|line| line.starts_with("State:")).unwrap_or_default();
            let _ =
                writeln!(text, "{pid} {} {state} {}\n{}", read("comm").trim(), read("wchan"), read("stack"));
        }
    }
    text
}

/// Any signal, real-time ones included.
pub(crate) fn send(pid: i32, signal: i32) {
    // SAFETY: kill(2) takes two numbers.
    let sent = unsafe { libc::kill(pid, signal) };
    assert_eq!(sent, 0, "kill {pid} {signal}: {}", std::io::Error::last_os_error());
}

/// State and parent of all processes.
pub(crate) fn processes() -> Vec<(i32, char, i32)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let rest = &stat[stat.rfind(')').expect("a name") + 1..];
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next().and_then(|state| state.chars().next()).expect("a state");
        let parent = fields.next().and_then(|parent| parent.parse().ok()).expect("a parent");
        found.push((pid, state, parent));
    }
    found
}

pub(crate) fn children(parent: i32) -> Vec<i32> {
    processes().into_iter().filter(|process| process.2 == parent).map(|process| process.0).collect()
}
