//! Outputs of the runner that take no more: a pipe that nobody reads, a terminal.

use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::libc;

use crate::needs;
use crate::support::harness::{Test, with_default_actions};
use crate::support::running::Running;

/// A pipe without room; and a description of its end for writing that does not wait.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter, std::fs::File) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut sibling = std::fs::OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer)))
        .expect("the pipe");
    while std::io::Write::write(&mut sibling, &[b'x'; 4096]).is_ok() {}
    (reader, writer, sibling)
}

#[test]
fn a_blocked_stderr_holds_neither_a_hook_that_is_refused_nor_one_that_copies() {
    let copies = ["run", "--log", "{}/data/log", "--copy", "{}/app:{}/data", "--", "true"];
    for (arguments, status) in [(&["run", "--log", "none"][..], 78), (&copies, 0)] {
        let (_reader, writer, _sibling) = full_pipe();
        let test = Test::new().file("app/file", "content").args(arguments);
        let mut command = test.command();
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(writer);
        let mut child = command.spawn().expect("starts");
        drop(command);
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end && child.try_wait().expect("wait").is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        assert_eq!(child.wait().expect("ends").code(), Some(status), "{arguments:?}");
    }
}

/// The runner's last line goes to a terminal that is called writable and takes less than the line.
#[test]
fn a_terminal_with_less_room_than_a_line_does_not_hold_the_end_of_the_runner() {
    ends_on_a_terminal_that_is_nearly_full(Command::new(crate::support::harness::PROGRAM));
}

/// What may not be opened anew cannot be asked not to wait either: a thread writes.
#[test]
fn another_users_terminal_shows_the_last_line_and_does_not_hold_the_end_of_the_runner() {
    needs!(OtherUsers);
    let as_another = || {
        let mut command = with_default_actions("setpriv");
        command.args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            crate::support::harness::PROGRAM,
        ]);
        command
    };
    let terminal = crate::support::terminal::Terminal::open();
    let mut command = as_another();
    command.args(["run", "--log", "none", "--", "true"]);
    let directory = tempfile::tempdir().expect("a directory");
    assert_eq!(Running::start_in(command, directory, &terminal).end(), 0, "{}", terminal.screen());
    terminal.wait_for("succeeded after");
    ends_on_a_terminal_that_is_nearly_full(as_another());
}

/// The bar of a copy that takes longer than its first look is written to a terminal that nobody reads.
#[test]
fn a_terminal_that_takes_no_more_does_not_hold_a_copy() {
    let (_screen, line) = crate::support::terminal::nearly_full();
    let directory = tempfile::tempdir().expect("a directory");
    let [source, volume] = ["image", "volume"].map(|name| directory.path().join(name));
    for path in [&source, &volume] {
        std::fs::create_dir(path).expect("a directory");
    }
    // All hole: nothing to read or write, much to hash.
    let hole = std::fs::File::create(source.join("hole")).expect("a file");
    hole.set_len(6 << 30).expect("a hole");
    // Longer than what such a terminal takes: 3.5 KiB.
    let long = std::path::PathBuf::from(format!("{}{}", source.display(), "/.".repeat(1900)));
    let mut command = Command::new(crate::support::harness::PROGRAM);
    command.arg("copy").args([&long, &volume]);
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(line);
    let mut running = Running::of(command.spawn().expect("starts"), directory);
    drop(command);
    assert_eq!(running.end(), 0);
}

fn ends_on_a_terminal_that_is_nearly_full(mut command: Command) {
    let (_screen, line) = crate::support::terminal::nearly_full();
    // Its name stands in the line, which is longer than what such a terminal takes: 3.5 KiB.
    let missing = format!("/nowhere{}", "/there".repeat(640));
    command.args(["run", "--log", "none", "--", &missing]);
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(line);
    let directory = tempfile::tempdir().expect("a directory");
    let mut running = Running::of(command.spawn().expect("starts"), directory);
    drop(command);
    assert_eq!(running.end(), 127);
}
