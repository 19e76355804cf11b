//! Limits of memory: a container's, which the kernel enforces by killing a process of it, and a process' own.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;

use nix::libc;

use crate::needs;
use crate::support::harness::{PROGRAM, Test};
use crate::support::needs::memory_group;

/// Removed when its processes have ended.
struct Group(PathBuf);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_process_that_the_oom_killer_took_is_told_whatever_the_command_made_of_it() {
    needs!(MemoryGroup);
    let group = Group(memory_group("told", 64 << 20).expect("as the need says"));
    for (end, status) in [("echo survived", 0), ("exit 3", 3)] {
        let directory = Test::new().into_directory();
        // tail(1) keeps in memory what it may have to print.
        let hungry = format!("head -c 400M /dev/zero | tail -c 300M >/dev/null; {end}");
        let script = format!(
            "echo $$ >{}/cgroup.procs; exec {PROGRAM} run --log log -- sh -c '{hungry}'",
            group.0.display()
        );
        let output = Command::new("sh").args(["-c", &script]).current_dir(directory.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
        assert!(log.contains("the kernel's OOM killer ended a process of the container meanwhile"), "{log}");
    }
}

/// At every limit, from one at which the program can hardly be loaded up to enough.
#[test]
fn where_there_is_no_memory_it_is_said_and_no_abort() {
    let mut said = 0;
    for limit in (4..90).step_by(2) {
        for arguments in ["run --log l -- true", "copy s d"] {
            let directory = Test::new().file("s/f", "x").into_directory();
            let script = format!("ulimit -v {}; exec {PROGRAM} {arguments}", limit << 10);
            let output =
                Command::new("sh").args(["-c", &script]).current_dir(directory.path()).output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr);
            // glibc's own end of a thread that finds no memory while another one has just said so; musl, which the shipped
            // program has, does not do that.
            let is_of_glibc = words.contains("Fatal glibc error");
            let aborted = output.status.signal() == Some(libc::SIGABRT);
            assert!(!aborted || is_of_glibc, "{limit} MiB, {arguments}: {output:?}");
            if output.status.code() == Some(70) {
                assert!(words.starts_with("hook-runner: "), "{limit} MiB, {arguments}: {words}");
                said += usize::from(words.contains("no memory left"));
            }
        }
    }
    assert!(said > 0, "none of the limits was too low");
}
