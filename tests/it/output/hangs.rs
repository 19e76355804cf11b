//! Volumes that do not answer: timeout, stop and status hold all the same.

use std::time::{Duration, Instant};

use faultfs::Fault;
use nix::libc;

use crate::needs;
use crate::support::faulty::{Frozen, IN_TIME, Room, TIMEOUT};
use crate::support::harness::{Test, eventually};
use crate::support::running::{Running, as_pid_1};

#[test]
fn a_log_volume_that_stops_answering_does_not_hold_the_end_of_the_attempt() {
    needs!(Fuse);
    // A command that ends without a word, one that ends on TERM, one that has to be killed, and one that leaves what has
    // to be killed.
    let ends = [
        ":",
        "while :; do echo more; done",
        "trap '' TERM; while :; do echo more; done",
        "trap '' TERM; setsid sh -c 'while :; do echo more; done' & trap - TERM; while :; do echo more; done",
    ];
    std::thread::scope(|scope| {
        for end in ends {
            // A machine that is busy with other tests can be late by itself, a program that takes too long is so each time.
            scope.spawn(move || {
                let late: Vec<_> =
                    (0..3).map_while(|_| ends_in_time_though_the_log_hangs(end).err()).collect();
                assert!(late.len() < 3, "{end}: {late:#?}");
            });
        }
    });
}

/// The error says what was other than it should be, or late.
fn ends_in_time_though_the_log_hangs(end: &str) -> Result<(), String> {
    let mut room = Room::new();
    let script = format!("echo before; while ! [ -e go ]; do sleep 0.02; done; {end}");
    let since = Instant::now();
    let mut running = room.start(&["--timeout", TIMEOUT, "--grace", "1s"], &script);
    let runs = eventually("the command runs, or there was no time for it", || {
        let ended = running.child.try_wait().expect("wait").is_some();
        let runs = running.read("data/.hook-runner/runner.log").contains("step begins");
        (ended || runs && running.read("out").contains("before\n")).then_some(!ended)
    });
    if !runs {
        return Err(format!("no time for the command: {}", running.read("err")));
    }
    let frozen = room.freeze(&running);
    std::fs::write(running.path("go"), "").expect("a file");
    let status = running.end();
    let taken = since.elapsed();
    drop(frozen);
    let err = running.read("err");
    // A promise of the program, not a measurement.
    if status == 74 && err.contains("the volume hangs") && taken < IN_TIME {
        Ok(())
    } else {
        Err(format!("status {status} after {taken:?}: {err}"))
    }
}

/// A namespace ends only when all in it have ended, and on FUSE no signal ends a close(2) without an answer. What can
/// be had is that everybody knows in time how the attempt ended.
#[test]
fn as_pid_1_what_became_of_a_hanging_log_is_told_in_time_whatever_holds_the_exit() {
    needs!(Fuse, PidNamespace);
    let mut room = Room::new();
    let script = "echo before; while ! [ -e go ]; do sleep 0.02; done; while :; do echo more; done";
    let options = ["--timeout", TIMEOUT, "--grace", "1s", "--termination-log", "{}/message"];
    let mut running = as_pid_1(room.test(&options, script)).expect("root can make PID namespaces");
    let since = Instant::now();
    running.wait_for("out", "before\n");
    let frozen = room.freeze(&running);
    std::fs::write(running.path("go"), "").expect("a file");
    running.wait_for("message", "\"status\":74");
    let taken = since.elapsed();
    running.wait_for("err", "failed with status 74");
    drop(frozen);
    assert!(running.read("err").contains("the volume hangs"), "{}", running.read("err"));
    assert_eq!(running.end(), 74, "the volume answers again");
    assert!(taken < IN_TIME, "{taken:?}");
}

#[test]
fn signals_are_answered_while_the_log_volume_hangs() {
    needs!(Fuse);
    let mut room = Room::new();
    let script = "trap 'exit 9' TERM; echo before; while ! [ -e go ]; do sleep 0.02; done; \
                  touch going; while :; do echo more; done";
    let mut running = room.start(&["--grace", "1s"], script);
    running.wait_for("out", "before\n");
    let frozen = room.freeze(&running);
    std::fs::write(running.path("go"), "").expect("a file");
    eventually("the command writes on", || running.path("going").exists().then_some(()));
    running.signal(nix::libc::SIGTERM);
    let status = running.end();
    drop(frozen);
    assert_eq!(status, 74, "{}", running.read("err"));
}

/// A stop leaves the end three seconds; a second one, none. Nobody else would end it for half an hour.
#[test]
fn a_stop_while_the_log_is_sealed_on_a_volume_that_hangs_ends_in_74() {
    needs!(Fuse);
    for signals in [&[libc::SIGTERM][..], &[libc::SIGTERM, libc::SIGINT]] {
        let mut room = Room::new();
        let script = "echo $$ >pid; echo before; while ! [ -e go ]; do sleep 0.02; done; exit 0";
        let mut running = room.start(&["--termination-log", "{}/message"], script);
        running.wait_for("out", "before\n");
        let frozen = room.freeze(&running);
        std::fs::write(running.path("go"), "").expect("a file");
        eventually("the log is being sealed", || running.is_within("fuse_file_write_iter").then_some(()));
        for signal in signals {
            running.signal(*signal);
        }
        let status = running.end();
        drop(frozen);
        let err = running.read("err");
        assert_eq!(status, 74, "{err}");
        assert!(err.contains("the volume hangs"), "{err}");
        assert!(running.read("message").contains("\"status\":74"), "{}", running.read("message"));
    }
}

#[test]
fn a_stop_while_the_log_is_sealed_on_a_slow_volume_lets_it_be_sealed() {
    needs!(Fuse);
    let mut room = Room::new();
    let script = "echo before; while ! [ -e go ]; do sleep 0.02; done; echo after";
    let mut running = room.start(&[], script);
    running.wait_for("out", "before\n");
    let synced = |room: &Room| room.mount.statistics().get("fsync").copied().unwrap_or(0);
    let before = synced(&room);
    room.mount.set("fsync", Fault::Delay(Duration::from_secs(1)).on_path("post-hook-output.txt"));
    std::fs::write(running.path("go"), "").expect("a file");
    eventually("the log is being sealed", || (synced(&room) > before).then_some(()));
    running.signal(libc::SIGTERM);
    assert_eq!(running.end(), 0, "{}", running.read("err"));
    let log = running.read("data/post-hook-output.txt");
    assert!(log.contains("after\n") && log.contains("=== end of attempt ==="), "{log}");
}

/// The volume answers, only not at once: it is not said to hang, and the log ends with what the status is.
#[test]
fn a_second_signal_while_the_log_is_sealed_on_a_slow_volume_is_told_as_what_it_is() {
    needs!(Fuse);
    let mut room = Room::new();
    let script = "echo before; while ! [ -e go ]; do sleep 0.02; done; echo after";
    let mut running = room.start(&[], script);
    running.wait_for("out", "before\n");
    room.mount.set("fsync", Fault::Delay(Duration::from_secs(1)).on_path("post-hook-output.txt"));
    std::fs::write(running.path("go"), "").expect("a file");
    running.wait_for("data/post-hook-output.txt", "=== end of attempt ===");
    for _ in 0..2 {
        signal_alone(&running, libc::SIGTERM);
    }
    assert_eq!(running.end(), 74, "{}", running.read("err"));
    let err = running.read("err");
    assert!(err.contains("cut short") && err.contains("SIGTERM") && !err.contains("hangs"), "{err}");
    the_log_alone_says_74(&running);
}

/// The command has ended, and what it printed is still being written when it is stopped.
#[test]
fn a_stop_while_a_slow_volume_takes_the_output_is_no_hang() {
    needs!(Fuse);
    for (second, told) in
        [(libc::SIGTERM, "a second signal to stop came"), (libc::SIGINT, "not all was written")]
    {
        let mut room = Room::new();
        let script = "echo before; while ! [ -e go ]; do sleep 0.02; done; seq 140000; touch ended";
        let mut running = room.start(&["--grace", "1s"], script);
        running.wait_for("out", "before\n");
        // About ten writes: longer than the grace and the time after a stop.
        room.mount.set("write", Fault::Delay(Duration::from_secs(1)).on_path("post-hook-output.txt"));
        std::fs::write(running.path("go"), "").expect("a file");
        eventually("the command has ended", || running.path("ended").exists().then_some(()));
        std::thread::sleep(Duration::from_millis(50));
        for signal in [libc::SIGTERM, second] {
            signal_alone(&running, signal);
        }
        assert_eq!(running.end(), 74, "{}", running.read("err"));
        let err = running.read("err");
        assert!(err.contains(told) && err.contains("SIGTERM") && !err.contains("hangs"), "{err}");
    }
}

/// Sends a signal that is no repetition of the one before it.
fn signal_alone(running: &Running, signal: i32) {
    running.signal(signal);
    eventually("the signal is read", || (!running.has_pending(signal)).then_some(()));
    std::thread::sleep(Duration::from_millis(100));
}

/// Without the index, which says it too.
fn the_log_alone_says_74(running: &Running) {
    std::fs::copy(running.path("data/post-hook-output.txt"), running.path("copied.txt")).expect("a copy");
    let history = Test::new().args(["history"]).args([running.path("copied.txt")]);
    history.stdout_contains("io (74)").run();
}

#[test]
fn a_volume_that_does_not_answer_when_it_is_opened_holds_neither_the_timeout_nor_a_stop() {
    needs!(Fuse);
    for (options, stop, status) in
        [(["--timeout", "2s"], None, 124), (["--grace", "1s"], Some(libc::SIGTERM), 143)]
    {
        let mut room = Room::new();
        room.mount.freeze();
        let mut running = room.start(&options, "echo never");
        let frozen = Frozen(&room.mount);
        if let Some(signal) = stop {
            // There is a thread for what hangs, and another one.
            let tasks = format!("/proc/{}/task", running.pid());
            eventually("the volume is being opened", || {
                (std::fs::read_dir(&tasks).expect("it runs").count() > 1).then_some(())
            });
            running.signal(signal);
        }
        assert_eq!(running.end(), status, "{}", running.read("err"));
        drop(frozen);
        assert_eq!(running.read("out"), "");
    }
}

#[test]
fn a_stop_while_the_volume_is_opened_leaves_no_header_without_a_footer() {
    needs!(Fuse);
    let mut room = Room::new();
    room.mount.set("fsync", Fault::Hang.on_path("backing/post-hook-output.txt"));
    let mut running = room.start(&["--grace", "1s"], "echo never");
    running.wait_for("backing/post-hook-output.txt", "--- output ---\n");
    running.signal(libc::SIGTERM);
    eventually("the signal is read", || (!running.has_pending(libc::SIGTERM)).then_some(()));
    room.mount.clear();
    assert_eq!(running.end(), 143, "{}", running.read("err"));
    let log = running.read("data/post-hook-output.txt");
    assert!(log.contains("before the first step"), "{log}");
    assert!(log.ends_with("=== end of attempt ===\n") && !log.contains("\nnever\n"), "{log}");
    let index = running.read("data/.hook-runner/histories/post-hook-output.txt/index.jsonl");
    assert!(index.lines().last().expect("an end").contains("\"status\":143"), "{index}");
}

/// The footer is written before the sync that hangs. When the volume answers again, a second one corrects it.
#[test]
fn an_attempt_whose_last_sync_hangs_for_a_while_did_not_succeed_in_the_log() {
    needs!(Fuse);
    let mut room = Room::new();
    // One for the header, one before the footer.
    let rule = Fault::Hang.after_ops(2).on_path("backing/post-hook-output.txt");
    room.mount.set("fsync", rule);
    let mut running = room.start(&["--timeout", TIMEOUT, "--grace", "20s"], "echo hi");
    running.wait_for("data/.hook-runner/runner.log", "making the log durable did not end");
    room.mount.clear();
    assert_eq!(running.end(), 74, "{}", running.read("err"));
    the_log_alone_says_74(&running);
}

/// The footer is written before the sync that hangs; on this volume nothing can be appended to the log then.
#[test]
fn an_attempt_whose_last_sync_hangs_did_not_succeed_in_the_history() {
    needs!(Fuse);
    let mut room = Room::new();
    // One for the header, one before the footer.
    let rule = Fault::Hang.after_ops(2).on_path("backing/post-hook-output.txt");
    room.mount.set("fsync", rule);
    let mut running = room.start(&["--timeout", TIMEOUT, "--grace", "1s"], "echo hi");
    running.wait_for("err", "failed with status 74");
    room.mount.clear();
    running.end();
    let history = Test::new().args(["history"]).args([running.path("data/post-hook-output.txt")]);
    history.stdout_contains("io (74)").run();
}
