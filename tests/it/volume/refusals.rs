//! Paths that cannot work are refused with 78 before anything is made; what a volume or a user does not permit is said and
//! stops nobody.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use faultfs::Fault;
use nix::libc::{EINVAL, EOPNOTSUPP, EPERM};

use super::histories::{printed, run};
use crate::needs;
use crate::support::faulty::Room;
use crate::support::harness::{PROGRAM, Test, eventually, with_default_actions};
use crate::support::running::Running;

#[test]
fn a_state_directory_that_cannot_be_one_is_78_and_nothing_is_made() {
    for state in ["file", "file/x", "dangling", "d", "/", "d/log", "d/log/state", "d/none/../log"] {
        let test = Test::new().file("file", "users\n").file("d/x", "users\n");
        let directory = test.command().get_current_dir().expect("set").to_path_buf();
        std::os::unix::fs::symlink("nowhere", directory.join("dangling")).unwrap();
        let test = test.args(["run", "--log", "d/log", "--state", state, "--", "true"]);
        let done = test.status(78).stderr_contains("cannot be the state directory").run();
        assert_eq!(std::fs::read_dir(done.path("d")).unwrap().count(), 1, "{state}");
    }
}

#[test]
fn a_destination_among_the_runners_own_files_is_78_and_nothing_is_made() {
    let beside = ["--log", "l", "--copy", "s:.hook-runner"];
    let given = ["--log", "l", "--state", "d", "--copy", "s:d/below"];
    let another = ["--log", "l", "--copy", "s:other/.hook-runner/stage"];
    for words in [&beside[..], &given, &another] {
        let test = Test::new().file("s/f", "x").args(["run"]).args(words).args(["--", "true"]);
        let done = test.status(78).stderr_contains("where hook-runner keeps logs and state").run();
        assert_eq!(std::fs::read_dir(done.path("")).unwrap().count(), 1, "{words:?}");
    }
}

#[test]
fn a_log_or_report_in_the_place_of_what_is_copied_is_78_and_nothing_is_made() {
    let log = "in the place of the preserved log";
    for (words, said) in [
        (&["--log", "v/log", "--copy", "s:v/log"][..], log),
        (&["--log", "v/log", "--copy", "s:v/log/below"], log),
        (&["--log", "v/conf/x", "--copy", "s/f:v/conf"], log),
        (
            &["--log", "v/l", "--copy", "s:v/c", "--metrics-file", "v/c/f"],
            "--metrics-file v/c/f is where s/f is copied to",
        ),
        (&["--log", "v/l", "--copy", "s:v/c", "--termination-log", "v/c/f"], "is where s/f is copied to"),
        (&["--log", "v/l", "--copy", "s/f:v/g", "--metrics-file", "v/g"], "is where s/f is copied to"),
    ] {
        let done = Test::new().file("s/f", "x").args(["run"]).args(words).args(["--", "true"]).status(78);
        let done = done.stderr_contains(said).run();
        assert_eq!(std::fs::read_dir(done.path("")).unwrap().count(), 1, "{words:?}");
    }
    // What the copy leaves out, or the image does not have, is free.
    for words in [["--exclude", "f"], ["--metrics-file", "v/c/other"]] {
        let run = ["run", "--log", "v/l", "--copy", "s:v/c", "--metrics-file", "v/c/f"];
        let test = Test::new().file("s/f", "x").args(run).args(words).args(["--", "true"]);
        test.any_stderr().run();
    }
}

#[test]
fn a_log_in_a_state_directory_that_is_not_there_yet_is_78_and_nothing_is_made() {
    for state in ["new", "new/d"] {
        let args = ["run", "--log", "new/d/log", "--state", state, "--", "true"];
        let done = Test::new().args(args).status(78).stderr_contains("the log is in it").run();
        assert!(!done.path("new").exists(), "{state}");
    }
}

#[test]
fn a_log_whose_name_leaves_no_room_for_those_beside_it_is_78() {
    for log in ["x".repeat(249), "x".repeat(256), "d/none/../../log".into()] {
        let done = Test::new().file("d/x", "").args(["run", "--log", &log, "--", "true"]).status(78);
        let done = done.stderr_contains("cannot be a log").run();
        assert_eq!(std::fs::read_dir(done.path("")).unwrap().count(), 1, "{log}");
    }
    run(Test::new(), "r1", &"x".repeat(248), "true", 0);
}

#[test]
fn a_log_below_a_link_to_nothing_and_one_file_for_two_reports_are_78_and_nothing_is_made() {
    let arguments: [&[&str]; 3] = [
        &["--log", "dangling/log"],
        &["--log", "dangling/d/log"],
        &["--log", "d/log", "--metrics-file", "m", "--termination-log", "m"],
    ];
    for words in arguments {
        let test = Test::new().args(["run"]).args(words).args(["--", "true"]);
        let directory = test.command().get_current_dir().expect("set").to_path_buf();
        std::os::unix::fs::symlink("nowhere", directory.join("dangling")).unwrap();
        let said = if words.len() == 2 {
            "its directory is a link to nothing"
        } else {
            "is the termination log, too"
        };
        let done = test.status(78).stderr_contains(said).run();
        assert!(!done.path("d").exists() && !done.path("nowhere").exists(), "{words:?}");
    }
}

#[test]
fn no_report_is_written_over_the_log_or_over_what_is_no_file() {
    for flag in ["--metrics-file", "--termination-log"] {
        let done = run(Test::new(), "r1", "d/log", "echo one", 0);
        let before = done.read("d/log");
        std::os::unix::fs::symlink("log", done.path("d/link")).unwrap();
        let mut done = done;
        for path in ["d/log", "d/../d/log", "d/link"] {
            let test = done.then().args(["run", "--log", "d/log", flag, path, "--", "true"]).status(78);
            done = test.stderr_contains(format!("{flag} {path} is ")).run();
        }
        assert_eq!(done.read("d/log"), before, "{flag}");
        let test = Test::new().file("s/x", "").args(["run", "--log", "d/log", flag, "s", "--", "true"]);
        let done = test.status(78).stderr_contains(format!("{flag} s is ")).run();
        assert!(!done.path("d").exists(), "{flag}");
    }
    for flag in ["--metrics-file", "--termination-log"] {
        for (path, why) in [("none/x", "in a directory that is not there"), ("e", "is ")] {
            let test = Test::new().file("e/x", "").args(["run", "--log", "d/log", flag, path, "--", "true"]);
            let done = test.status(78).stderr_contains(format!("{flag} {path} ")).stderr_contains(why).run();
            assert!(!done.path("d").exists(), "{flag} {path}");
        }
        // The log and the copies make theirs.
        let args = ["run", "--log", "d/log", "--copy", "e:f", flag, "d/report", "--", "true"];
        Test::new().file("e/x", "").args(args).any_stderr().run();
        let args = ["run", "--log", "d/log", "--copy", "e:f/g", flag, "f/g/report", "--", "true"];
        Test::new().file("e/x", "").args(args).any_stderr().run();
    }
}

#[test]
fn credentials_that_cannot_be_had_are_78_before_the_first_step() {
    let wait = ["--wait-for", "http://127.0.0.1:1/", "--wait-auth-file", "none"];
    let test =
        Test::new().file("app/x", "x").args(["run", "--copy", "app:data"]).args(["--wait-for", "file:/"]);
    let test = test.args(wait).args(["--", "true"]);
    // A step before the wait may make the file; a variable is there from the start or never.
    let done = test.args(["--wait-timeout", "1s"]).status(74).stderr_contains("cannot read none").run();
    let variable = ["--wait-for", "http://127.0.0.1:1/", "--wait-auth-env", "NO_SUCH_VARIABLE"];
    let test = Test::new().file("app/x", "x").args(["run", "--copy", "app:data"]).args(variable);
    let done_too = test.status(78).stderr_contains("the variable NO_SUCH_VARIABLE is not set").run();
    assert!(!done_too.path("data").exists());
    drop(done);
    let test = Test::new().args(["run", "--log", "log"]).args(wait).args(["--", "true"]);
    assert!(!test.status(78).stderr_contains("cannot read none").run().path("log").exists());
}

#[test]
fn a_file_that_no_step_makes_is_missed_before_the_first_step() {
    let copy = "{copy: {from: app, to: data}}";
    let restore = "{copy: {from: backup, to: data}}";
    let auth =
        |file: &str| format!("{{wait: {{for: 'http://127.0.0.1:1/', auth-file: {file}, timeout: 1s}}}}");
    let (nowhere, copied) = (auth("none"), auth("data/none"));
    let ca = "{wait: {for: 'https://127.0.0.1:1/', timeout: 1s}}";
    let exec = "{exec: {command: ['true']}}";
    for (steps, also, expected, begins) in [
        (vec![copy, &nowhere], "", "cannot read none", false),
        (vec![copy, &copied], "", "cannot read data/none", true),
        (vec![copy, exec, &nowhere], "", "cannot read none", true),
        (vec![copy, ca], "ca-file: none", "cannot read the CA file none", false),
        (vec![copy, ca], "ca-file: app/x", "app/x holds no certificate", false),
        (vec![copy], &format!("on-failure: [{restore}]"), "the source backup does not exist", false),
        (vec![copy], &format!("finally: [{restore}]"), "the source backup does not exist", false),
        (vec![copy], &format!("finally: [{nowhere}]"), "cannot read none", false),
        (vec![copy, exec], &format!("finally: [{restore}]"), "no source backup", true),
    ] {
        let hook = format!("log: data/log\n{also}\nsteps: [{}]\n", steps.join(", "));
        let test = Test::new().file("app/x", "x").file("hook.yaml", &hook);
        // 78 promises that nothing was made.
        let status = if begins { 74 } else { 78 };
        let done = test.args(["run", "--hook", "hook.yaml"]).status(status).stderr_contains(expected).run();
        assert_eq!(done.path("data").exists(), begins, "{hook}");
    }
}

#[test]
fn a_path_whose_volume_is_to_be_synced_has_to_be_there_at_the_end() {
    for (command, status, sentence) in
        [("mkdir made", 0, "succeeded"), ("true", 74, "made: nothing is there")]
    {
        let test = Test::new().args(["run", "--log", "log", "--sync", "made", "--", "sh", "-c", command]);
        test.status(status).stderr_contains(sentence).run();
    }
}

#[test]
fn a_mode_that_lets_others_read_the_log_lets_them_read_its_history() {
    let done =
        Test::new().args(["run", "--log", "d/log", "--log-mode", "0644", "--", "true"]).any_stderr().run();
    let mode = |path: &str| std::fs::metadata(done.path(path)).unwrap().permissions().mode() & 0o7777;
    for directory in ["d/.hook-runner", "d/.hook-runner/histories", "d/.hook-runner/histories/log"] {
        assert_eq!(mode(directory), 0o2775, "{directory}");
    }
    for file in ["d/.hook-runner/running", "d/.hook-runner/histories/log/index.jsonl"] {
        assert_eq!(mode(file), 0o664, "{file}");
    }
}

#[test]
fn directories_made_for_the_log_are_the_groups_whatever_the_umask_is() {
    // The kubelet makes the directory of a volume with an fsGroup setgid.
    for (volume, wanted) in [(0o755, 0o775), (0o2775, 0o2775)] {
        let directory = Test::new().into_directory();
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(volume)).unwrap();
        let script = format!("umask 077; exec {PROGRAM} run --log a/b/log -- true");
        let output = Command::new("sh").args(["-c", &script]).current_dir(directory.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        for made in ["a", "a/b"] {
            let mode = std::fs::metadata(directory.path().join(made)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, wanted, "{made}");
        }
    }
}

#[test]
fn a_log_in_the_destination_changes_no_mode_of_what_is_copied() {
    let test = Test::new().file("app/sub/page", "x");
    let done = test.args(["run", "--copy", "app:data", "--", "true"]).any_stderr().run();
    for copied in ["sub", "sub/page"] {
        let mode = |tree: &str| std::fs::metadata(done.path(tree).join(copied)).unwrap().permissions().mode();
        assert_eq!(mode("data"), mode("app"), "{copied}");
    }
}

/// NFS and FUSE servers answer so; what can be had is said once.
#[test]
fn a_volume_that_does_not_sync_directories_is_used_all_the_same() {
    needs!(Fuse);
    for errno in [EINVAL, EPERM, EOPNOTSUPP] {
        let mut room = Room::new();
        room.mount.set("fsyncdir", Fault::Errno(errno));
        let test = room.test(&["--run-id", "r1"], "echo one");
        let done = test.any_stdout().any_stderr().run();
        assert!(done.log().contains("not permitted on the volume"), "{errno}: {}", done.log());
        let log = "data/post-hook-output.txt";
        let done = run(done.then(), "r2", log, "echo two", 0);
        let done = run(done.then(), "r1", log, "echo three", 0);
        let (done, all) = printed(done, &["logs", "--raw", "--run", "r1", log]);
        assert_eq!(all, "one\nthree\n", "{errno}");
        drop(room);
        drop(done);
    }
}

/// The command may put a link where its log was, or take its working directory away: the log's own volume is synced.
#[test]
fn a_log_is_put_back_where_a_link_or_nothing_is_left_of_its_directory() {
    let done = run(Test::new(), "r1", "d/log", "echo one; rm d/log; ln -s log d/log", 0);
    let (_, all) = printed(done, &["logs", "--raw", "d/log"]);
    assert!(all.starts_with("one\n"), "{all}");
    let script = format!("mkdir x; cd x; exec {PROGRAM} run --log log -- sh -c 'rm -rf ../x; echo one'");
    let directory = Test::new().into_directory();
    let output = Command::new("sh").args(["-c", &script]).current_dir(directory.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(std::fs::read_to_string(directory.path().join("x/log")).unwrap().contains("\none\n"));
}

#[test]
fn the_last_step_of_an_endless_log_keeps_its_end() {
    let test = Test::new().args(["run", "--log", "log", "--max-log", "10KiB", "--", "sh", "-c"]);
    let done = test.args(["seq 5000; echo REASON; exit 3"]).status(3).any_stdout().any_stderr().run();
    let (_, step) = printed(done, &["logs", "--step", "1", "--raw", "log"]);
    assert!(step.starts_with("1\n2\n") && step.ends_with("\nREASON\n"), "{step}");
}

/// RFC 3339 cannot show it, and a node without a clock may begin anywhere.
#[test]
fn text_from_before_1970_is_adopted() {
    let done = Test::new().file("post-hook-output.txt", "old\n").args(["--version"]).any_stdout().run();
    let log = std::fs::File::options().write(true).open(done.path("post-hook-output.txt")).unwrap();
    let time = std::time::SystemTime::UNIX_EPOCH - std::time::Duration::from_secs(1_000_000);
    log.set_modified(time).unwrap();
    let done = run(done.then(), "r1", "post-hook-output.txt", "echo one", 0);
    let (_, all) = printed(done, &["logs", "--all", "--raw", "post-hook-output.txt"]);
    assert!(all.contains("old\n") && all.contains("one\n"), "{all}");
}

#[test]
fn a_stop_between_two_tries_ends_the_attempt_as_a_stop() {
    let test = Test::new().args(["run", "--log", "log", "--retries", "3", "--backoff", "60s", "--", "false"]);
    let mut running = Running::start(test.command(), test.into_directory());
    running.wait_for("err", "retry 1 of 3");
    running.signal(15);
    assert_eq!(running.end(), 143);
    assert!(running.read("log").contains("stopped by SIGTERM"), "{}", running.read("log"));
}

/// The time limit of the attempt counts only from when its hook is known.
#[test]
fn a_pipe_or_an_endless_device_in_place_of_a_file_holds_no_start() {
    for flag in ["--redact-file", "--ca-file", "--wait-auth-file", "--hook"] {
        for device in ["/dev/zero", "pipe"] {
            let test = Test::new().args(["run", "--log", "log", "--wait-for", "https://127.0.0.1:1/"]);
            let test = test.args(["--wait-timeout", "100ms", flag, device]);
            let directory = test.command().get_current_dir().expect("set").to_path_buf();
            assert!(Command::new("mkfifo").arg(directory.join("pipe")).status().unwrap().success());
            let mut child = test.command().stderr(std::process::Stdio::null()).spawn().unwrap();
            let status = eventually(&format!("an end of {flag} {device}"), || child.try_wait().unwrap());
            // A secret of no bytes is told and goes on to the wait.
            assert!(matches!(status.code(), Some(78 | 69)), "{flag} {device}: {status:?}");
        }
    }
}

#[test]
fn what_begins_only_with_a_headers_first_words_is_a_users_file() {
    let text = "=== hook-runner: attempt notes of mine\nmore\n";
    let test = Test::new().file("d/other", text).args(["run", "--log", "d/other", "--", "true"]);
    let done = test.status(78).stderr_contains("is no log of hook-runner").run();
    assert_eq!(done.read("d/other"), text);
}

#[test]
fn a_log_that_was_copied_back_is_counted_once() {
    let done = run(Test::new(), "r1", "d/log", "echo one", 0);
    let old = done.read("d/log");
    let done = run(done.then(), "r2", "d/log", "echo two", 0);
    std::fs::write(done.path("d/log"), old).unwrap();
    let done = run(done.then(), "r3", "d/log", "echo three", 0);
    let (done, rows) = printed(done, &["history", "d"]);
    assert!(rows.contains("3 attempts") || rows.contains("2 runs, 2 attempts"), "{rows}");
    let (_, all) = printed(done, &["logs", "--raw", "--run", "r1", "d/log"]);
    assert_eq!(all, "one\n");
}

#[test]
fn the_default_log_of_a_copy_of_a_file_is_beside_the_file() {
    let done = Test::new().file("s/f", "x").args(["run", "--copy", "s/f:d/conf", "--", "true"]);
    let done = done.any_stderr().run();
    assert_eq!(done.read("d/conf"), "x");
    assert!(done.path("d/post-hook-output.txt").is_file());
}

/// Whether it is read or not: nobody waits for a pipe, and nothing is made.
#[test]
fn a_termination_log_that_is_no_file_is_78_before_anything() {
    let paths = [("pipe", "a pipe"), ("read", "a pipe"), ("socket", "a socket"), ("/dev/null", "a device")];
    let paths = paths.into_iter().chain([("app", "a directory"), ("link", "a pipe")]);
    for (path, what) in paths {
        for command in [
            &["run", "--log", "d/log", "--termination-log"][..],
            &["run", "--log", "d/log", "--copy", "app:d", "--termination-log"],
            &["copy", "app", "d", "--termination-log"],
            &["install", "bin", "--termination-log"],
        ] {
            let test = Test::new().file("app/x", "x").file("bin/y", "y");
            let directory = test.into_directory();
            let at = |name: &str| directory.path().join(name);
            for pipe in ["pipe", "read"] {
                nix::unistd::mkfifo(&at(pipe), nix::sys::stat::Mode::S_IRWXU).unwrap();
            }
            std::os::unix::fs::symlink("pipe", at("link")).unwrap();
            let reader = rustix::fs::open(
                at("read"),
                rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK,
                rustix::fs::Mode::empty(),
            );
            let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
            let test = Test::within(directory).args(command).args([path]);
            let test = if command[0] == "run" { test.args(["--", "true"]) } else { test };
            let done = test.status(78).stderr_contains(format!("--termination-log {path} is {what}")).run();
            drop(reader);
            assert!(!done.path("d").exists() && !done.path("bin/hook-runner").exists(), "{command:?} {path}");
        }
    }
}

/// `cd d; rmdir ../d`: what needs no working directory works, and a relative path is refused.
#[test]
fn a_working_directory_that_was_removed_is_78_only_where_something_needs_it() {
    let hook = "steps:\n- exec: {command: [true], workdir: below}\n";
    for (arguments, relative) in [
        (&["run", "--log", "{}/log", "--", "true"][..], None),
        (&["run", "--log", "none", "--copy", "{}/app:{}/copied", "--", "true"], None),
        (&["copy", "{}/app", "{}/copied"], None),
        (&["run", "--log", "log", "--", "true"], Some("log")),
        (&["run", "--log", "{}/log", "--state", "state", "--", "true"], Some("state")),
        (&["run", "--log", "{}/log", "--copy", "app:{}/copied", "--", "true"], Some("app")),
        (&["run", "--log", "{}/log", "--copy", "{}/app:copied", "--", "true"], Some("copied")),
        (&["run", "--log", "{}/log", "--sync", "synced", "--", "true"], Some("synced")),
        (&["run", "--log", "{}/log", "--termination-log", "t", "--", "true"], Some("t")),
        (&["run", "--log", "{}/log", "--metrics-file", "m", "--", "true"], Some("m")),
        (&["run", "--log", "{}/log", "--", "./hook.sh"], Some("./hook.sh")),
        (&["run", "--log", "{}/log", "--hook", "{}/hook.yaml"], Some("below")),
        (&["copy", "app", "{}/copied"], Some("app")),
        (&["copy", "{}/app", "copied"], Some("copied")),
    ] {
        let test = Test::new().file("app/x", "x").file("gone/y", "").file("hook.yaml", hook).args(arguments);
        let runner = test.command();
        let script = "cd gone && rm y && rmdir ../gone && exec \"$@\"";
        let mut shell = with_default_actions("sh");
        shell.args(["-c", script, "sh"]).arg(runner.get_program()).args(runner.get_args());
        let output = shell.current_dir(runner.get_current_dir().unwrap()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(if relative.is_some() { 78 } else { 0 }),
            "{arguments:?}: {said}"
        );
        let directory = test.into_directory();
        if let Some(relative) = relative {
            let sentence = format!("{relative} is relative to the working directory, which was removed");
            assert!(said.contains(&sentence), "{arguments:?}: {said}");
            let made = ["log", "copied", ".hook-runner"].map(|name| directory.path().join(name).exists());
            assert_eq!(made, [false; 3], "{arguments:?}");
        }
    }
}
