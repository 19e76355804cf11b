//! Volumes that fail, or are full, while the command runs.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use faultfs::{EIO, ENOSPC, EROFS, ESTALE, Fault};
use nix::libc;

use crate::needs;
use crate::support::faulty::Room;
use crate::support::harness::{LOG, Test, eventually, with_default_actions};
use crate::support::needs::unshare;
use crate::support::running::{Running, send};

/// What a volume answers, in the system's words and in the exit-status table's.
const CAUSES: [(i32, &str, &str); 4] = [
    (EIO, "I/O error", "io"),
    (ENOSPC, "No space left on device", "no-space"),
    (EROFS, "Read-only file system", "read-only"),
    (ESTALE, "Stale file handle", "stale"),
];

/// Runs a command whose log begins to fail in its middle; the status, stderr, and the cause in the summary.
fn with_a_log_that_fails(operation: &str, fault: faultfs::Rule) -> (i32, String, String, String) {
    let mut room = Room::new();
    let script = "echo before; while ! [ -e go ]; do sleep 0.02; done; seq 1000";
    let mut running = room.start(&["--termination-log", "{}/message"], script);
    running.wait_for("out", "before\n");
    let path = if operation == "fsyncdir" { "backing" } else { "post-hook-output.txt" };
    room.mount.set(operation, fault.on_path(path));
    std::fs::write(running.path("go"), "").expect("a file");
    let status = running.end();
    let message: serde_json::Value = serde_json::from_str(&running.read("message")).expect("JSON");
    let cause = message["failure"]["cause"].as_str().unwrap_or_default().to_owned();
    if operation == "write" {
        // Neither the footer nor the entry could be written.
        return (status, running.read("err"), cause, running.read("backing/post-hook-output.txt"));
    }
    // As long as the volume is there.
    let index = running.read("data/.hook-runner/histories/post-hook-output.txt/index.jsonl");
    assert!(index.lines().last().expect("an end").contains(&format!("\"status\":{status}")), "{index}");
    assert!(running.read("out").ends_with("\n999\n1000\n"), "stdout goes on");
    (status, running.read("err"), cause, running.read("backing/post-hook-output.txt"))
}

#[test]
fn a_log_that_fails_midway_ends_in_74_while_stdout_goes_on() {
    needs!(Fuse);
    for (errno, words, cause) in CAUSES {
        let (status, err, told, _) = with_a_log_that_fails("write", Fault::Errno(errno).into());
        assert_eq!((status, &*told), (74, cause), "{err}");
        assert_eq!(err.matches("the log ends at byte").count(), 1, "one line: {err}");
        assert!(err.contains(&format!("write failed: {words}")), "{err}");
    }
}

#[test]
fn a_log_that_fails_first_at_fsync_or_close_ends_in_74() {
    needs!(Fuse);
    for (operation, shown) in
        [("fsync", "fsync failed"), ("fsyncdir", "fsync of its directory failed"), ("flush", "close failed")]
    {
        for (errno, words, cause) in CAUSES {
            // The end was entered before the sync that failed: what is entered after it counts.
            let (status, err, told, _) = with_a_log_that_fails(operation, Fault::Errno(errno).into());
            assert_eq!((status, &*told), (74, cause), "{operation}: {err}");
            assert!(err.contains(&format!("{shown}: {words}")), "{operation}: {err}");
        }
    }
}

/// The log is the truth, the index a cache: what is in the log needs no entry.
#[test]
fn an_end_that_cannot_be_entered_in_the_index_is_read_from_the_log() {
    needs!(Fuse);
    let mut room = Room::new();
    let mut running = room.start(&[], "echo before; while ! [ -e go ]; do sleep 0.02; done; echo after");
    running.wait_for("out", "before\n");
    room.mount.set("write", Fault::Errno(EIO).on_path("index.jsonl"));
    std::fs::write(running.path("go"), "").expect("a file");
    assert_eq!(running.end(), 0, "{}", running.read("err"));
    assert!(running.read("err").contains("index.jsonl: I/O error"), "{}", running.read("err"));
    let history =
        Test::new().args(["history"]).args([running.path("data")]).stdout_contains("succeeded").run();
    assert!(!history.stdout.contains("interrupted"), "{}", history.stdout);
}

/// What the command wrote beside the log may not be durable: that is no success, and nothing on the volume says so.
#[test]
fn a_volume_that_cannot_be_synced_ends_in_74_and_the_footer_says_so() {
    let test =
        Test::new().args(["run", "--log", LOG, "--", "sh", "-c", "echo said; echo kept >{}/data/content"]);
    let mut command = test.command();
    refuse(&mut command, libc::SYS_syncfs, EIO);
    let mut running = Running::start(command, test.into_directory());
    assert_eq!(running.end(), 74);
    let err = running.read("err");
    let log = running.path("data/post-hook-output.txt");
    assert!(
        err.contains(&format!("cannot sync the volume of {}: ", running.path("data").display())),
        "{err}"
    );
    assert!(err.contains("I/O error"), "{err}");
    let log = std::fs::read_to_string(log).expect("a log");
    assert!(log.contains("said\n") && log.ends_with("=== end of attempt ===\n"), "{log}");
    assert!(log.contains("failed     cannot sync the volume of ") && !log.contains("succeeded"), "{log}");
    let history = Test::new().args(["history"]).args([running.path("data")]).stdout_contains("io (74)").run();
    assert!(!history.stdout.contains("succeeded"), "{}", history.stdout);
    let index = running.read("data/.hook-runner/histories/post-hook-output.txt/index.jsonl");
    assert!(index.lines().last().expect("an end").contains("\"status\":74"), "{index}");
}

/// A limit of processes or of memory: what is wrong is said all the same, with what to do.
#[test]
fn what_is_to_be_said_is_said_without_a_thread_where_none_can_be_had() {
    let test = Test::new().args(["run", "--log", "log", "--", "true"]);
    let mut command = test.command();
    refuse(&mut command, libc::SYS_clone3, libc::EAGAIN);
    // Into a file, which only a thread can be trusted to write to.
    let mut running = Running::start(command, test.into_directory());
    assert_eq!(running.end(), 70);
    let err = running.read("err");
    assert!(err.contains("no thread can be started") && err.contains("raise the limit"), "{err}");
}

/// Has the kernel answer `errno` to one system call of the program (seccomp(2)), which needs no privilege.
fn refuse(command: &mut Command, call: libc::c_long, errno: i32) {
    let instruction = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).expect("an instruction"),
        jt,
        jf,
        k,
    };
    let (call, errno) = (u32::try_from(call).expect("a number"), u32::try_from(errno).expect("a number"));
    let filter = [
        // The number of the call is the first word of struct seccomp_data.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let program = libc::sock_fprog { len: 4, filter: filter.as_ptr().cast_mut() };
        nix::sys::prctl::set_no_new_privs()?;
        // SAFETY: the program and its instructions live across the call, which copies them.
        let rc = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
        if rc == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: two system calls.
    unsafe { command.pre_exec(install) };
}

#[test]
fn a_volume_that_takes_a_part_of_a_write_has_that_part_and_a_marker_for_the_rest() {
    needs!(Fuse);
    // A write across the mark is cut short there, and the next fails; then all is well.
    let (status, err, _, log) = with_a_log_that_fails("write", Fault::Errno(EIO).after_bytes(100).times(1));
    assert_eq!(status, 74, "what is missing is missing, though the volume has recovered: {err}");
    let output = log.split_once("--- output ---\n").expect("a header").1;
    let (body, rest) = output.split_once("\nhook-runner: ").unwrap_or_else(|| panic!("no marker: {log}"));
    let (missing, after) =
        rest.split_once(" bytes are missing here: I/O error\n").unwrap_or_else(|| panic!("{log}"));
    let numbers: String = (1..=1000).map(|n| format!("{n}\n")).collect();
    let all = format!("before\n{numbers}");
    assert!(all.starts_with(body) && body.len() == "before\n".len() + 100, "{body}");
    assert!(after.trim_start().starts_with("--- attempt 1 of run "), "the log goes on: {after}");
    assert_eq!(missing.parse::<usize>().expect("a number") + body.len(), all.len(), "{log}");
}

#[test]
fn what_the_runner_has_read_when_it_is_killed_in_a_write_is_not_lost() {
    needs!(Fuse);
    let mut room = Room::new();
    let script = "echo $$ > pid; echo before; while ! [ -e go ]; do sleep 0.02; done; echo after; touch said; \
                  exec sleep 1000";
    let mut running = room.start(&[], script);
    running.wait_for("out", "before\n");
    let command = running.read("pid").trim().parse().expect("a process id");
    let mut options = std::fs::OpenOptions::new();
    let options = options.read(true).custom_flags(nix::libc::O_NONBLOCK);
    let mut pipe = options.open(format!("/proc/{command}/fd/1")).expect("the command's pipe");
    let frozen = room.freeze(&running);
    std::fs::write(running.path("go"), "").expect("a file");
    eventually("the command has said it", || running.path("said").exists().then_some(()));
    eventually("the write of the log hangs", || running.is_within("fuse_file_write_iter").then_some(()));
    running.signal(nix::libc::SIGKILL);
    // The kill ends the write that nobody has taken; the close that follows waits for the server.
    eventually("the write has ended", || running.is_within("do_exit").then_some(()));
    drop(frozen);
    assert_eq!(running.end(), 137);
    let mut left = Vec::new();
    // Ends with EAGAIN, as the command still holds the pipe.
    let _ = pipe.read_to_end(&mut left);
    send(command, nix::libc::SIGKILL);
    let log = running.read("data/post-hook-output.txt");
    assert!(log.ends_with("after\n") || left == b"after\n", "neither in the file nor in the pipe: {log}");
}

#[test]
fn log_failure_warn_keeps_the_commands_status() {
    needs!(Fuse);
    let mut room = Room::new();
    let mut running = room
        .start(&["--log-failure", "warn"], "echo before; while ! [ -e go ]; do sleep 0.02; done; echo after");
    running.wait_for("out", "before\n");
    room.mount.set("write", faultfs::Rule::from(Fault::Errno(EIO)).on_path("backing/post-hook-output.txt"));
    std::fs::write(running.path("go"), "").expect("a file");
    assert_eq!(running.end(), 0, "{}", running.read("err"));
}

#[test]
fn a_slow_log_volume_slows_the_command_and_loses_nothing() {
    needs!(Fuse);
    let mut room = Room::new();
    room.mount.set("write", Fault::Delay(Duration::from_millis(5)));
    let mut running = room.start(&["--drain", "100ms"], "seq 200000");
    assert_eq!(running.end(), 0, "{}", running.read("err"));
    let expected: String = (1..=200_000).map(|i| format!("{i}\n")).collect();
    assert!(running.read("data/post-hook-output.txt").contains(&expected));
}

/// A runner on a volume that its own earlier logs have filled: `on` mounts it at `data`, and the script goes on there.
fn begins_on_a_full_volume(mut shell: Command, on: &str) {
    // The first runs keep all logs; then nothing is left, not even a byte behind the end of a file.
    let script = format!(
        "{on}
        for run in 1 2 3; do
            \"$PROGRAM\" run --run-id r$run --keep 10 --log data/log -- head -c 60000 /dev/zero >/dev/null 2>&1
        done
        cp data/log last
        dd if=/dev/zero of=data/filler bs=4k 2>/dev/null; dd if=/dev/zero of=data/filler bs=1 oflag=append conv=notrunc 2>/dev/null
        printf x 2>/dev/null >data/full || true
        [ -s data/full ] && exit 99
        rm data/full
        \"$PROGRAM\" run --run-id r4 --keep 10 --log data/log -- echo never; echo \"kept: $?\"
        \"$PROGRAM\" run --run-id r5 --keep 1 --log data/log -- echo begun; echo \"pruned: $?\"
        ls data/.hook-runner/histories/post-hook-output.txt; cat data/log; cat data/.hook-runner/histories/post-hook-output.txt/index.jsonl >index; exit 0"
    );
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("data")).expect("a directory");
    shell
        .args(["sh", "-c", &script])
        .env("PROGRAM", crate::support::harness::PROGRAM)
        .current_dir(directory.path());
    let output = shell.output().expect("unshare is there");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let index = std::fs::read_to_string(directory.path().join("index")).unwrap_or_default();
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("kept: 74\n") && !out.contains("never\n"), "{out}\n{err}");
    assert!(err.contains("No space left on device") && err.contains("free space on the volume"), "{err}");
    assert!(out.contains("pruned: 0\n"), "{out}\n{err}");
    let log = out.split_once("pruned: 0\n").expect("a log").1;
    assert!(log.contains("begun\n") && log.ends_with("=== end of attempt ===\n"), "{log}");
    assert!(log.contains("=== hook-runner: attempt 1 of run r5 ===\n"), "{log}");
    assert!(!index.contains("\"run\":\"r4\"") || index.contains("\"status\":74"), "{index}");
}

/// In a mount namespace, and as an ordinary user in a user namespace.
fn with_mounts() -> Command {
    let mut shell = with_default_actions("unshare");
    shell.args(unshare().get_args()).arg("--mount");
    shell
}

#[test]
fn a_run_begins_on_a_volume_that_logs_of_earlier_runs_have_filled() {
    needs!(MountNamespace);
    begins_on_a_full_volume(with_mounts(), "mount -t tmpfs -o size=512k tmpfs data");
}

#[test]
fn a_run_begins_on_a_disk_that_logs_of_earlier_runs_have_filled() {
    needs!(Mount, LoopDevice, MountNamespace, Program("mkfs.ext4"));
    let on = "truncate -s 2M image; mkfs.ext4 -q -m 0 image 2>/dev/null && mount -o loop image data";
    begins_on_a_full_volume(with_mounts(), on);
}

#[test]
fn an_attempt_whose_header_cannot_be_made_durable_is_no_header_in_the_log_and_has_an_end() {
    needs!(Fuse);
    for operation in ["write", "fsync"] {
        let mut room = Room::new();
        room.mount
            .set(operation, faultfs::Rule::from(Fault::Errno(EIO)).on_path("backing/post-hook-output.txt"));
        let mut running = room.start(&[], "echo never");
        assert_eq!(running.end(), 74, "{}", running.read("err"));
        assert!(running.read("err").contains("I/O error"), "{}", running.read("err"));
        assert_eq!(running.read("data/post-hook-output.txt"), "", "{operation}");
        let index = running.read("data/.hook-runner/histories/post-hook-output.txt/index.jsonl");
        assert!(index.lines().last().expect("an end").contains("\"status\":74"), "{operation}: {index}");
    }
}
