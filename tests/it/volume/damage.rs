//! Each file of the volume's state × what may stand in its place × when it came there, against a small model of what must hold:
//! a run succeeds only with its whole output in the log, or it is refused with one sentence that names the path and what to
//! do; nothing outside of the directory is touched, nothing of a user's is removed, and the run after that works.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::cases::one_in;
use crate::support::harness::{PROGRAM, eventually};
use crate::support::needs::{Need, has};
use crate::support::volumes::Mount;

/// Log, state directory and everything in it that a run reads or writes.
const FILES: [&str; 10] = [
    "d/log",
    "d/.hook-runner",
    "d/.hook-runner/lock",
    "d/.hook-runner/running",
    "d/.hook-runner/runner.log",
    "d/.hook-runner/tail-log.0",
    "d/.hook-runner/histories",
    "d/.hook-runner/histories/log",
    "d/.hook-runner/histories/log/index.jsonl",
    "d/.hook-runner/histories/log/old.log",
];

/// What may be done to `$p`, as a shell does it. `outside` is a directory of the user's.
const DAMAGES: [(&str, &str); 12] = [
    ("missing", r#"rm -rf "$p""#),
    ("empty", r#"if [ -d "$p" ]; then rm -rf "$p"; mkdir "$p"; else : >"$p"; fi"#),
    ("truncated", r#"[ ! -f "$p" ] || truncate -s $(($(stat -c %s "$p") / 2)) "$p""#),
    ("beginning overwritten", r#"[ ! -f "$p" ] || printf XXXX | dd of="$p" conv=notrunc status=none"#),
    ("garbage", r#"rm -rf "$p"; printf 'users \001\n' >"$p""#),
    ("directory", r#"rm -rf "$p"; mkdir "$p"; echo users >"$p/users""#),
    ("link to a file", r#"rm -rf "$p"; ln -s "$PWD/outside/file" "$p""#),
    ("link to a directory", r#"rm -rf "$p"; ln -s "$PWD/outside" "$p""#),
    ("dangling link", r#"rm -rf "$p"; ln -s "$PWD/outside/none" "$p""#),
    ("pipe", r#"rm -rf "$p"; mkfifo "$p""#),
    ("closed", r#"[ ! -e "$p" ] || chmod 0 "$p""#),
    ("hard link", r#"[ ! -e "$p" ] || cp -al "$p" kept; [ ! -f kept ] || cp kept shown"#),
];

/// What the contract says of a run on such a volume.
#[derive(Debug, PartialEq)]
enum Must {
    Succeed,
    /// Status and a sentence; the next run is refused, too, until somebody has done what it says.
    Refuse(i32),
    /// The output is not whole; the next run succeeds.
    Fail(i32),
}

fn between_runs(file: &str, damage: &str) -> Must {
    match (file, damage) {
        // What is no log of the runner's is a user's.
        (
            "d/log",
            "beginning overwritten"
            | "garbage"
            | "directory"
            | "link to a file"
            | "link to a directory"
            | "dangling link"
            | "pipe",
        ) => Must::Refuse(78),
        ("d/log", "closed") => Must::Refuse(74),
        _ => Must::Succeed,
    }
}

fn while_it_runs(file: &str, damage: &str) -> Must {
    match (file, damage) {
        ("d/log", "empty" | "truncated" | "beginning overwritten") => Must::Fail(74),
        _ => Must::Succeed,
    }
}

/// An ordinary user's directory, where the test may become one: root may read and write whatever a mode forbids.
struct Room {
    directory: tempfile::TempDir,
    program: PathBuf,
}

const USER: u32 = 1001;

impl Room {
    fn empty(program: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        if has(Need::OtherUsers) {
            std::os::unix::fs::chown(directory.path(), Some(USER), Some(USER)).unwrap();
        }
        Self { directory, program: program.to_path_buf() }
    }

    /// With the run `old`, which failed and is archived, and the run `new`, which succeeded.
    fn template(program: &Path) -> Self {
        let room = Self::empty(program);
        room.sh("mkdir d outside; echo precious >outside/file", "");
        assert_eq!(room.run("old", "echo old; exit 3").status.code(), Some(3));
        assert_eq!(room.run("new", "echo new").status.code(), Some(0));
        room
    }

    fn like(template: &Self) -> Self {
        let room = Self::empty(&template.program);
        room.sh("cp -a \"$p\"/. .", &template.directory.path().to_string_lossy());
        room
    }

    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(self.directory.path());
        if has(Need::OtherUsers) {
            command.uid(USER).gid(USER);
        }
        command
    }

    fn sh(&self, script: &str, path: &str) -> String {
        let output = self.command("/bin/sh").args(["-c", script]).env("p", path).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn start(&self, arguments: &[&str], path: &str) -> Output {
        let mut command = self.command(&self.program);
        command.args(arguments).env("p", path).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually(&format!("the end of {arguments:?}"), || child.try_wait().unwrap());
        child.wait_with_output().unwrap()
    }

    fn run(&self, run: &str, script: &str) -> Output {
        self.run_on(run, script, "")
    }

    fn run_on(&self, run: &str, script: &str, path: &str) -> Output {
        let head = ["run", "--run-id", run, "--log", "d/log", "--max-log", "1M", "--", "sh", "-c"];
        self.start(&[&head[..], &[script]].concat(), path)
    }

    /// Run and result of each attempt.
    fn history(&self) -> Vec<(String, String)> {
        let output = self.start(&["history", "-o", "json", "d/log"], "");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let row = |line: &str| {
            let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let field = |name: &str| row[name].as_str().expect("text").to_owned();
            (field("run"), field("result"))
        };
        text.lines().map(row).collect()
    }

    fn output_of(&self, run: &str) -> String {
        let output = self.start(&["logs", "--run", run, "--raw", "d/log"], "");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// All names and what is in them.
    fn everything(&self) -> String {
        self.sh("find . -printf '%p %y %s %l\\n' | sort; find . -type f -exec cksum {} + | sort -k 3", "")
    }

    fn check(&self, case: &str, damage: &str, file: &str, may_grow: bool) {
        let outside = self.sh("find outside | sort; cat outside/file", "");
        assert_eq!(outside, "outside\noutside/file\nprecious\n", "{case}");
        if damage == "directory" || damage == "garbage" && file == "d/log" {
            let kept = self.sh("grep -rls users d || true", "");
            assert!(!kept.is_empty(), "{case}: what the user put there is gone");
        }
        if damage == "hard link" && file.ends_with("/log") && !file.ends_with("histories/log") {
            let (shown, kept) = (self.sh("cat shown", ""), self.sh("cat kept", ""));
            let same = if may_grow { kept.starts_with(&shown) } else { kept == shown };
            assert!(same, "{case}: the user's link was written to");
        }
    }
}

/// Our sentence, alone: the path, and what to do.
fn is_sentence(output: &Output, path: &str) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines().count() == 1 && said.contains(path) && said.contains("; ") && !said.contains("os error")
}

#[track_caller]
fn hold(case: &str, room: &Room, must: &Must, output: &Output, file: &str) {
    match must {
        Must::Succeed => assert_eq!(output.status.code(), Some(0), "{case}: {output:?}"),
        Must::Fail(status) => {
            assert_eq!(output.status.code(), Some(*status), "{case}: {output:?}");
            assert!(room.history().iter().any(|(_, result)| result == "io"), "{case}: {:?}", room.history());
        }
        Must::Refuse(status) => {
            assert_eq!(output.status.code(), Some(*status), "{case}: {output:?}");
            assert!(is_sentence(output, file), "{case}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// Each case in a thread's share; what fails is told of all cases together.
fn every(damages: &[(&str, &str)], judge: impl Fn(Room, &str, &str, &str) + Sync) {
    let shared = tempfile::tempdir().unwrap();
    std::fs::set_permissions(shared.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let program = shared.path().join("hook-runner");
    // By another process: a child of another test may hold what is written here open, and it could not be executed.
    assert!(Command::new("cp").arg(PROGRAM).arg(&program).status().unwrap().success());
    let template = Room::template(&program);
    let cases: Vec<_> = FILES
        .iter()
        .flat_map(|file| damages.iter().map(move |(name, script)| (*file, *name, *script)))
        .step_by(one_in(5))
        .collect();
    let failed: Vec<String> = std::thread::scope(|scope| {
        let (judge, template) = (&judge, &template);
        let shares: Vec<_> = cases
            .chunks(cases.len() / 2)
            .map(|share| {
                scope.spawn(move || {
                    let judged = share.iter().filter_map(|(file, name, script)| {
                        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                            judge(Room::like(template), file, name, script);
                        }));
                        judged.err().map(|_| format!("{file}: {name}"))
                    });
                    judged.collect::<Vec<_>>()
                })
            })
            .collect();
        shares.into_iter().flat_map(|share| share.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "{} of {} cases do not hold: {failed:#?}", failed.len(), cases.len());
}

#[test]
fn whatever_stands_in_the_place_of_a_file_between_two_runs_blocks_nobody_for_ever() {
    every(&DAMAGES, |room, file, damage, script| {
        let case = format!("{file}: {damage}");
        room.sh(script, file);
        let shown = room.history();
        let is_state =
            matches!(file, "d/.hook-runner" | "d/.hook-runner/histories" | "d/.hook-runner/histories/log");
        let is_closed = file == "d/.hook-runner" && damage == "closed";
        assert!(is_closed || shown.contains(&("new".into(), "succeeded".into())), "{case}: {shown:?}");
        if !is_state || matches!(damage, "truncated" | "beginning overwritten" | "hard link") {
            assert!(shown.contains(&("old".into(), "command".into())), "{case}: {shown:?}");
        }
        let before = room.everything();
        let must = between_runs(file, damage);
        let next = room.run("next", "echo next");
        hold(&case, &room, &must, &next, file);
        if must == Must::Succeed {
            assert_eq!(room.output_of("next"), "next\n", "{case}");
            let again = room.run("again", "echo again");
            assert_eq!(again.status.code(), Some(0), "{case}: {again:?}");
            assert_eq!(room.output_of("next"), "next\n", "{case}");
        } else if must == Must::Refuse(78) {
            assert_eq!(room.everything(), before, "{case}: a run that is refused changes nothing");
        }
        room.check(&case, damage, file, false);
    });
}

#[test]
fn whatever_a_command_puts_in_the_place_of_a_file_0_means_that_its_log_is_whole() {
    every(&DAMAGES, |room, file, damage, script| {
        let case = format!("{file}: {damage}, while it runs");
        let must = while_it_runs(file, damage);
        let mine = room.run_on("mine", &format!("echo first; {script}; echo last"), file);
        hold(&case, &room, &must, &mine, file);
        if must == Must::Succeed && !(file == "d/log" && damage == "closed") {
            let output = room.output_of("mine");
            let rest = output.strip_prefix("first\nlast\n").unwrap_or_else(|| panic!("{case}: {output:?}"));
            assert!(rest.is_empty() || rest.starts_with("hook-runner: the log was re"), "{case}: {rest}");
        }
        let next = room.run("next", "echo next");
        let refused = file == "d/log" && damage == "closed";
        hold(&case, &room, if refused { &Must::Refuse(74) } else { &Must::Succeed }, &next, file);
        room.check(&case, damage, file, file == "d/log");
    });
}

/// What only root can do to `$p`.
const BY_ROOT: [(&str, &str); 2] = [
    (
        "another user's",
        r#"if [ -d "$p" ]; then chown 0:0 "$p"; chmod 755 "$p"; else chown 0:0 "$p"; chmod 644 "$p"; fi"#,
    ),
    ("mount", r#"mount --bind "$p" "$p""#),
];

/// What cannot be written is refused by its name. A directory of another user refuses what is made in it.
fn after_root(file: &str, damage: &str) -> (Must, &'static str) {
    match (file, damage) {
        ("d/.hook-runner/lock", "another user's") => (Must::Refuse(74), "d/.hook-runner/lock"),
        ("d/.hook-runner/histories/log", "another user's") => {
            (Must::Refuse(74), "d/.hook-runner/histories/log")
        }
        ("d/.hook-runner", "another user's") | ("d/.hook-runner/tail-log.0", "mount") => {
            (Must::Refuse(74), "d/.hook-runner")
        }
        _ => (Must::Succeed, ""),
    }
}

#[test]
fn what_belongs_to_another_user_or_is_a_mount_is_used_or_refused_by_its_name() {
    crate::needs!(OtherUsers, Mount);
    every(&BY_ROOT, |room, file, damage, script| {
        let case = format!("{file}: {damage}");
        let path = room.directory.path().join(file);
        if !path.exists() {
            std::fs::write(&path, "").unwrap();
        }
        let done = Command::new("sh").args(["-c", script]).env("p", &path).status().unwrap();
        assert!(done.success(), "{case}");
        let _mounted = (damage == "mount").then(|| Mount(path));
        let (must, named) = after_root(file, damage);
        hold(&case, &room, &must, &room.run("next", "echo next"), named);
        let shown = room.history();
        for earlier in [("old", "command"), ("new", "succeeded")] {
            assert!(shown.contains(&(earlier.0.into(), earlier.1.into())), "{case}: {shown:?}");
        }
        assert!(must != Must::Succeed || room.output_of("next") == "next\n", "{case}");
    });
}

/// A backup reads, and may lock what it reads against writers.
#[test]
fn whatever_somebody_reads_and_locks_meanwhile_a_run_succeeds() {
    every(&[("read", "")], |room, file, _, _| {
        let Ok(read) = std::fs::File::open(room.directory.path().join(file)) else { return };
        if file != "d/.hook-runner/lock" {
            rustix::fs::flock(&read, rustix::fs::FlockOperation::LockShared).unwrap();
        }
        for run in ["next", "again"] {
            hold(file, &room, &Must::Succeed, &room.run(run, "echo next"), file);
            assert_eq!(room.output_of(run), "next\n", "{file}");
        }
    });
}

/// `echo x >>LOG` by the command, with and without a newline, and by a process that nobody waits for.
#[test]
fn what_a_command_appends_to_its_own_log_is_output_and_breaks_no_reading() {
    use super::histories::{printed, run};
    use crate::support::harness::Test;
    let index = "d/.hook-runner/histories/log/index.jsonl";
    for script in ["echo a; echo x >>d/log; echo b; exit 3", "echo a; printf x >>d/log; exit 3"] {
        let done = run(Test::new(), "r1", "d/log", script, 3);
        let done = run(done.then(), "r1", "d/log", "echo second", 0);
        std::fs::remove_file(done.path(index)).unwrap();
        let (done, rows) = printed(done, &["history", "d/log"]);
        assert!(!rows.contains("interrupted") && rows.contains("exited with 3"), "{rows}");
        let (_, first) = printed(done, &["logs", "--raw", "--attempt", "1", "d/log"]);
        assert!(["a", "x"].iter().all(|text| first.contains(text)), "{first:?}");
    }
}

/// A note that somebody adds between two runs stands after a footer.
#[test]
fn what_somebody_appends_to_a_log_between_two_runs_stays_and_breaks_no_reading() {
    use super::histories::{printed, run};
    use crate::support::harness::Test;
    let done = run(Test::new(), "r1", "d/log", "echo one; exit 3", 3);
    let log = done.path("d/log");
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, format!("{text}a note")).unwrap();
    let done = run(done.then(), "r1", "d/log", "echo two", 0);
    std::fs::remove_dir_all(done.path("d/.hook-runner")).unwrap();
    let (done, rows) = printed(done, &["history", "d/log"]);
    assert!(!rows.contains("interrupted") && rows.contains("exited with 3"), "{rows}");
    let (done, all) = printed(done, &["logs", "--run", "r1", "d/log"]);
    assert!(all.contains("=== end of attempt ===\na note\n=== hook-runner: attempt 2"), "{all}");
    let (_, raw) = printed(done, &["logs", "--raw", "--all", "d/log"]);
    assert_eq!(raw, "one\ntwo\n");
}
