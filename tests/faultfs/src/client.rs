//! The tests' side: one daemon with one mount for as long as a [`Mount`] lives.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mount::MountFlags;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::control;
use crate::fault::Rule;
use crate::manners::Manner;

/// Time for the daemon to start or to end, generous because tests share a machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// A mounted faultfs. Dropping it lifts all faults and unmounts.
#[derive(Debug)]
pub struct Mount {
    daemon: Child,
    mountpoint: PathBuf,
    control: PathBuf,
    /// The number that the kernel knows it by: the minor of its device.
    connection: u32,
}

/// How a mount is to be started.
#[derive(Clone, Debug)]
pub struct Options {
    delay: Duration,
    ttl: Duration,
    manners: Vec<Manner>,
}

impl Options {
    /// Delay every operation.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Options {
        Options { delay, ..self }
    }

    /// How long the kernel may believe names and attributes; 0 where a test changes the backing directory beside the mount.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Options {
        Options { ttl, ..self }
    }

    /// Be such a volume, too.
    #[must_use]
    pub fn manner(mut self, manner: Manner) -> Options {
        self.manners.push(manner);
        self
    }

    /// Mounts `backing` on `mountpoint`, both existing directories.
    pub fn start(&self, backing: &Path, mountpoint: &Path) -> io::Result<Mount> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let control = std::env::temp_dir().join(format!("faultfs-{}-{number}.sock", std::process::id()));
        let _ = std::fs::remove_file(&control);
        let mut daemon = Command::new(daemon_binary()?)
            .arg("--control")
            .arg(&control)
            .arg("--delay")
            .arg(format!("{}us", self.delay.as_micros()))
            .arg("--ttl")
            .arg(format!("{}us", self.ttl.as_micros()))
            .args(self.manners.iter().flat_map(|manner| ["--manner", manner.word()]))
            .arg(backing)
            .arg(mountpoint)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = daemon.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line != "ready\n" {
            let mut reason = String::new();
            if let Some(mut stderr) = daemon.stderr.take() {
                stderr.read_to_string(&mut reason)?;
            }
            daemon.wait()?;
            return Err(io::Error::other(format!("faultfs did not mount: {}", reason.trim_end())));
        }
        let connection = rustix::fs::minor(std::fs::metadata(mountpoint)?.dev());
        Ok(Mount { daemon, mountpoint: mountpoint.to_owned(), control, connection })
    }
}

impl Mount {
    /// No delay, and a kernel that believes what it saw for one second.
    pub fn options() -> Options {
        Options { delay: Duration::ZERO, ttl: Duration::from_secs(1), manners: Vec::new() }
    }

    /// Mounts `backing` on `mountpoint`, both existing directories, with no fault yet.
    pub fn start(backing: &Path, mountpoint: &Path) -> io::Result<Mount> {
        Mount::options().start(backing, mountpoint)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mountpoint
    }

    /// Puts a fault in force for the operations in `ops` (names of [`crate::Op`], comma-separated), in place of an earlier
    /// one for the same operation. Panics on a name that does not exist.
    #[track_caller]
    pub fn set(&self, ops: &str, rule: impl Into<Rule>) {
        self.tell(&format!("set {ops} {}", rule.into()));
    }

    /// Lifts all faults; what hangs goes on.
    #[track_caller]
    pub fn clear(&self) {
        self.tell("clear");
    }

    /// How often each operation was asked for since the start, by name, and `hanging`: how many wait now.
    #[track_caller]
    pub fn statistics(&self) -> HashMap<String, u64> {
        self.tell("stats")
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?)))
            .collect()
    }

    /// Stops the daemon as if its machine had gone: nothing is read from the kernel's queue any more, and the faults cannot be
    /// changed. Callers hang, but SIGKILL still ends them: the kernel lets go of a request that was not read yet, and
    /// of no other. So it is stopped in a moment in which no request is on its way, looked for as long as a few seconds
    /// where there is no end of them.
    pub fn freeze(&self) {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            self.wait_until_quiet();
            self.signal(Signal::STOP);
            self.wait_until_stopped();
            if self.requests_on_their_way() == 0 || Instant::now() > end {
                return;
            }
            self.thaw();
        }
    }

    /// For a second at most.
    fn wait_until_quiet(&self) {
        let mut before = self.statistics();
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(50));
            let now = self.statistics();
            if now == before {
                return;
            }
            before = now;
        }
    }

    /// Those that the kernel waits for, as its control filesystem tells root (Documentation/filesystems/fuse.rst:
    /// `waiting`); 0 for others.
    fn requests_on_their_way(&self) -> u64 {
        let at = self.control.with_extension("connections");
        if std::fs::create_dir(&at).is_err() {
            return 0;
        }
        let mounted = rustix::mount::mount("none", &at, "fusectl", MountFlags::empty(), None).is_ok();
        let waiting = std::fs::read_to_string(at.join(self.connection.to_string()).join("waiting"));
        if mounted {
            let _ = rustix::mount::unmount(&at, rustix::mount::UnmountFlags::DETACH);
        }
        let _ = std::fs::remove_dir(&at);
        waiting.ok().and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    }

    /// SIGSTOP has been sent when kill(2) returns, not obeyed: a thread of the daemon that has not run since would still
    /// take one request. waitpid(2) tells of a stop when the last thread has stopped.
    fn wait_until_stopped(&self) {
        let Some(pid) = i32::try_from(self.daemon.id()).ok().and_then(Pid::from_raw) else { return };
        let end = Instant::now() + DEADLINE;
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        while !matches!(waitid(WaitId::Pid(pid), options), Ok(Some(_))) {
            assert!(Instant::now() < end, "faultfs: the daemon does not stop");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Undoes [`Mount::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills the daemon: every operation on the mount fails with ENOTCONN from now on.
    pub fn abandon(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.daemon.wait();
    }

    #[track_caller]
    fn tell(&self, command: &str) -> String {
        match control::command(&self.control, command) {
            Ok(answer) => answer,
            Err(error) => panic!("faultfs: {error}"),
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.daemon.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // The daemon is not waited for yet, so the number is still its own; gone is as good.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if matches!(self.daemon.try_wait(), Ok(None)) {
            self.thaw();
            self.signal(Signal::TERM);
            let end = Instant::now() + DEADLINE;
            while matches!(self.daemon.try_wait(), Ok(None)) {
                if Instant::now() > end {
                    eprintln!("faultfs: {} did not unmount in time, killed", self.mountpoint.display());
                    self.abandon();
                    break;
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        // After a daemon that died the mount is still there, answering ENOTCONN; otherwise there is nothing to take away.
        detach(&self.mountpoint);
        let _ = std::fs::remove_file(&self.control);
    }
}

fn detach(mountpoint: &Path) {
    // The kernel may still believe what it knows of the attributes.
    let dead = std::fs::read_dir(mountpoint).is_err_and(|error| error.raw_os_error() == Some(libc::ENOTCONN));
    if dead && rustix::mount::unmount(mountpoint, rustix::mount::UnmountFlags::DETACH).is_err() {
        let _ = Command::new("fusermount3").args(["-u", "-z", "--"]).arg(mountpoint).status();
    }
}

/// The daemon's binary: built by cargo when it is not yet, once per test process. `FAULTFS` names one built elsewhere.
fn daemon_binary() -> io::Result<PathBuf> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BINARY.get_or_init(|| build().map_err(|error| error.to_string())).clone().map_err(io::Error::other)
}

fn build() -> io::Result<PathBuf> {
    if let Some(path) = std::env::var_os("FAULTFS") {
        return Ok(path.into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--bin", "faultfs", "--message-format=json", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .stderr(Stdio::inherit())
        .output()?;
    let messages = String::from_utf8_lossy(&output.stdout);
    messages
        .lines()
        .filter_map(|line| line.split_once("\"executable\":\""))
        .filter_map(|(_, rest)| rest.split_once('"'))
        .map(|(path, _)| PathBuf::from(path))
        .next_back()
        .ok_or_else(|| io::Error::other("cargo built no faultfs"))
}
