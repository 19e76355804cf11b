//! A copy that comes after a command of its own run: what the command did to the copy's files is undone, as the hook asks.

use std::path::Path;
use std::process::{Command, Output};

use crate::needs;
use crate::support::cases::one_in;
use crate::support::harness::{PROGRAM, Test};

fn run_hook(at: &Path, hook: &str) -> Output {
    std::fs::write(at.join("hook.yaml"), hook).unwrap();
    Command::new(PROGRAM).args(["run", "--hook", "hook.yaml"]).current_dir(at).output().unwrap()
}

fn write(at: &Path, path: &str, content: &str) {
    std::fs::create_dir_all(at.join(path).parent().unwrap()).unwrap();
    std::fs::write(at.join(path), content).unwrap();
}

#[test]
fn a_restore_on_failure_brings_the_good_version_back_each_time() {
    for (policy, what) in [
        ("replace", "echo broken >dd/db"),
        ("replace", "rm dd/db"),
        ("keep-modified", "echo broken >dd/db"),
        ("keep-modified", "rm dd/db"),
        ("missing", "rm dd/db"),
    ] {
        let temp = tempfile::tempdir().unwrap();
        let at = temp.path();
        write(at, "bak/db", "good");
        write(at, "b/app", "2");
        let hook = format!(
            "log: log\nsteps: [{{copy: {{from: b, to: dd}}}}, {{exec: {{command: [sh, -c, '{what}; exit 4']}}}}]\n\
             on-failure: [{{copy: {{from: bak, to: dd, policy: {policy}}}}}]\n"
        );
        let installed = Command::new(PROGRAM).args(["copy", "bak", "dd"]).current_dir(at).status().unwrap();
        assert!(installed.success());
        for time in 1..4 {
            let output = run_hook(at, &hook);
            assert_eq!(output.status.code(), Some(4), "{policy}, {what}: {output:?}");
            let there = std::fs::read_to_string(at.join("dd/db")).unwrap_or_default();
            assert_eq!(there, "good", "{policy}, {what}, time {time}: {output:?}");
        }
    }
}

#[test]
fn a_second_copy_of_a_run_installs_what_its_command_has_edited_or_removed() {
    for policy in ["replace", "keep-modified"] {
        let temp = tempfile::tempdir().unwrap();
        let at = temp.path();
        for name in ["edited", "removed", "mine"] {
            write(at, &format!("s/{name}"), "image");
        }
        let copy = format!("{{copy: {{from: s, to: d, policy: {policy}}}}}");
        let hook = format!(
            "log: log\nsteps: [{copy}, {{exec: {{command: [sh, -c, 'echo x >d/edited; rm d/removed']}}}}, {copy}, \
             {{exec: {{command: [sh, -c, 'cat d/edited d/removed; echo later >d/edited']}}}}]\n"
        );
        for time in 1..4 {
            let output = run_hook(at, &hook);
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && printed == "imageimage", "{policy}, {time}: {output:?}");
            // The last command's edit is how the run left it.
            assert_eq!(std::fs::read_to_string(at.join("d/edited")).unwrap(), "later\n");
            if policy == "keep-modified" {
                let mine = if time == 1 { "image" } else { "mine" };
                assert_eq!(std::fs::read_to_string(at.join("d/mine")).unwrap(), mine, "time {time}");
                write(at, "d/mine", "mine");
            }
        }
        let verify = Command::new(PROGRAM).args(["verify", "d"]).current_dir(at).output().unwrap();
        assert!(verify.status.success(), "{policy}: {verify:?}");
    }
}

/// Copies `s` to `d`, then runs `command`, then the steps `after`.
fn copied_then(command: &str, after: &str) -> Output {
    let temp = tempfile::tempdir().unwrap();
    write(temp.path(), "s/f", "image");
    let copy = "{copy: {from: s, to: d}}";
    let exec = format!("{{exec: {{command: [sh, -c, '{command}']}}}}");
    run_hook(temp.path(), &format!("log: log\nsteps: [{copy}, {exec}{after}]\n"))
}

#[test]
fn a_run_does_not_succeed_when_its_command_moves_the_destination_away() {
    for command in ["mv d e", "mv d e; mkdir d", "mkdir e; mv d e/; ln -s e d", "mkdir n; mv d e; mv n d"] {
        let output = copied_then(command, "");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(74), "{command}: {said}");
        assert!(said.contains("/d no longer leads to the directory"), "{command}: {said}");
    }
}

#[test]
fn a_run_succeeds_when_its_command_cleans_the_destination_or_has_it_in_place_in_the_end() {
    for command in
        ["rm -r d/f", "rm -r d", "rm -r d; mkdir d", "mv d/f e", "mv d e; mv e d", "mv d e; ln -s e d"]
    {
        let output = copied_then(command, "");
        assert_eq!(output.status.code(), Some(0), "{command}: {output:?}");
    }
    let output = copied_then("mv d e", ", {copy: {from: s, to: d}}");
    assert_eq!(output.status.code(), Some(0), "copied again: {output:?}");
}

/// Where another copy's destination is inside that of the run, which may not know its directory.
#[test]
fn what_a_run_edits_in_a_destination_inside_its_own_is_no_users_edit_and_what_users_edit_there_is() {
    for (inner, images) in [
        ("v/d", ""),
        ("v/d", "mkdir b/d"),
        ("v/d/e", "mkdir -p b/d; echo b >b/d/b"),
        ("v/d/e", "mkdir -p b/d/e"),
        ("v/d/e/f", ""),
        ("v/d/e/f", "mkdir b/d"),
    ]
    .into_iter()
    .step_by(one_in(2))
    {
        for (end, outer_is_first) in [(0, false), (3, false), (0, true)] {
            let temp = tempfile::tempdir().unwrap();
            let at = temp.path();
            for name in ["n/run", "n/mine", "n/gone", "b/own"] {
                write(at, name, "1");
            }
            let sh =
                |script: &str| Command::new("sh").args(["-ec", script]).current_dir(at).status().unwrap();
            let copy_inner = || {
                let options = ["--policy", "keep-modified"];
                let output =
                    Command::new(PROGRAM).args(["copy", "n", inner]).args(options).current_dir(at).output();
                String::from_utf8(output.unwrap().stderr).unwrap()
            };
            assert!(sh(images).success());
            if outer_is_first {
                let run = ["run", "--log", "none", "--copy", "b:v", "--", "true"];
                assert!(Command::new(PROGRAM).args(run).current_dir(at).status().unwrap().success());
            }
            copy_inner();
            write(at, &format!("{inner}/mine"), "user's");
            let script = format!("echo edited >{inner}/run; rm {inner}/gone; exit {end}");
            let run = ["run", "--log", "none", "--copy", "b:v", "--", "sh", "-c", &script];
            let ended = Command::new(PROGRAM).args(run).current_dir(at).output().unwrap();
            assert_eq!(ended.status.code(), Some(end), "{ended:?}");
            for name in ["n/run", "n/mine", "n/gone"] {
                write(at, name, "next");
            }
            let said = copy_inner();
            let content = |name: &str| std::fs::read_to_string(at.join(inner).join(name)).unwrap_or_default();
            assert_eq!(
                ["run", "mine", "gone"].map(content),
                ["next", "user's", "next"],
                "{inner} {images} {end}: {said}"
            );
            assert_eq!(said.matches("was changed by the user").count(), 1, "{inner} {images} {end}: {said}");
        }
    }
}

#[test]
fn of_the_copies_of_a_run_the_later_wins_also_where_one_goes_inside_the_others_destination() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path();
    let copies = ["app:d", "plugins:d/plugins"];
    for round in 0..6 {
        write(at, "app/plugins/p", &format!("app {round}"));
        write(at, "plugins/p", &format!("plugins {round}"));
        let (first, last) = (copies[round / 2 % 2], copies[1 - round / 2 % 2]);
        let run = ["run", "--log", "none", "--copy", first, "--copy", last, "--", "true"];
        let output = Command::new(PROGRAM).args(run).current_dir(at).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let winner = last.split(':').next().unwrap();
        let there = std::fs::read_to_string(at.join("d/plugins/p")).unwrap();
        assert_eq!(there, format!("{winner} {round}"), "{first}, then {last}: {output:?}");
    }
}

#[test]
fn a_copy_on_failure_or_at_the_end_into_a_destination_of_its_own_undoes_each_time_what_the_command_did() {
    for (list, end) in [("on-failure", 4), ("finally", 4), ("finally", 0)] {
        for what in ["echo broken >own/db", "rm own/db"] {
            let temp = tempfile::tempdir().unwrap();
            let at = temp.path();
            write(at, "bak/db", "good");
            let hook = format!(
                "log: log\nsteps: [{{exec: {{command: [sh, -c, '{what}; exit {end}']}}}}]\n\
                 {list}: [{{copy: {{from: bak, to: own, policy: keep-modified}}}}]\n"
            );
            let copied = Command::new(PROGRAM).args(["copy", "bak", "own"]).current_dir(at).status().unwrap();
            assert!(copied.success());
            for time in 1..4 {
                let output = run_hook(at, &hook);
                assert_eq!(output.status.code(), Some(end), "{list}, {what}: {output:?}");
                let there = std::fs::read_to_string(at.join("own/db")).unwrap_or_default();
                assert_eq!(there, "good", "{list}, {what}, time {time}: {output:?}");
            }
        }
    }
}

#[test]
fn what_a_run_edits_is_recorded_when_its_command_removes_the_journal() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path();
    write(at, "s/f", "1");
    let script = "echo edit >d/f; rm -r d/.hook-runner/journal";
    let options = ["--policy", "keep-modified"];
    let run = ["run", "--log", "none", "--copy", "s:d", "--", "sh", "-c", script];
    assert!(Command::new(PROGRAM).args(run).current_dir(at).status().unwrap().success());
    write(at, "s/f", "2");
    assert!(
        Command::new(PROGRAM)
            .args(["copy", "s", "d"])
            .args(options)
            .current_dir(at)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(std::fs::read_to_string(at.join("d/f")).unwrap(), "2");
}

/// A copy that drops a name gives it back to the copy before it, in the same run and whatever a user made of it meanwhile; what a
/// command of the run has edited in between stays.
#[test]
fn a_name_that_the_later_copy_drops_is_the_earlier_ones_in_the_same_run() {
    let copies = ["--prune", "owned", "--copy", "a:d", "--copy", "b:d"];
    let run = |test: Test, words: &[&str], script: &str| {
        test.args(["run", "--log", "none"]).args(words).args(["--", "sh", "-c", script]).any_stderr()
    };
    for edit in ["", "USER"] {
        let test = Test::new().file("a/f", "A").file("b/f", "B").file("b/k", "x");
        let done = run(test, &copies, "cat d/f").stdout("B").run();
        std::fs::remove_file(done.path("b/f")).unwrap();
        let test = if edit.is_empty() { done.then() } else { done.then().file("d/f", edit) };
        run(test, &copies, "cat d/f").stdout("A").run();
    }
    let hook = "log: none\nsteps:\n- copy: {from: a, to: d}\n- exec: {command: [sh, -c, 'echo edit >d/g']}\n\
                - copy: {from: b, to: d, prune: owned}\n- exec: {command: [cat, d/f, d/g]}\n";
    let test = Test::new().file("a/f", "A").file("a/g", "G").file("b/f", "B").file("b/k", "x");
    let hooked = |test: Test| test.file("hook.yaml", hook).args(["run", "--hook", "hook.yaml"]).any_stderr();
    let done = hooked(test).stdout("Bedit\n").run();
    std::fs::remove_file(done.path("b/f")).unwrap();
    hooked(done.then()).stdout("Aedit\n").run();
}

/// As [`a_name_that_the_later_copy_drops_is_the_earlier_ones_in_the_same_run`], where the files have one size and one mtime, as in images
/// that are built reproducibly, and the destination of one of the copies is another mount of the same directory.
#[test]
fn a_name_that_the_later_copy_drops_is_the_earlier_ones_also_by_another_mount_and_with_equal_times() {
    needs!(Mount, MountNamespace);
    for (first, second) in [("d", "d"), ("d", "m"), ("m", "d"), ("m", "m")] {
        for policy in ["replace", "keep-modified"] {
            let temp = tempfile::tempdir().unwrap();
            for name in ["a/f", "b/f", "b/k", "d/own", "m/own"] {
                write(temp.path(), name, &name[..1]);
            }
            let run = format!(
                "\"$0\" run --log none --policy {policy} --prune owned --copy a:{first} --copy b:{second} -- cat d/f"
            );
            // In a namespace of its own, which takes the mount with it.
            let script = format!(
                "touch -d @1 a/f b/f; mount --bind d m; {run}; rm b/f; echo new >a/new; {run}; \"$0\" verify d >&2"
            );
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-ec", &script, PROGRAM]).current_dir(temp.path());
            let output = command.output().unwrap();
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && printed == "ba",
                "{first} {second} {policy}: {printed} {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

#[test]
fn a_run_does_not_succeed_when_its_command_mounts_something_on_the_destination() {
    needs!(Mount, MountNamespace);
    let temp = tempfile::tempdir().unwrap();
    for name in ["s/f", "other/f"] {
        write(temp.path(), name, "image");
    }
    let hook = "log: none\nsteps: [{copy: {from: s, to: d}}, {exec: {command: [mount, --bind, other, d]}}]\n";
    write(temp.path(), "hook.yaml", hook);
    let mut command = Command::new("unshare");
    command.args(["--mount", PROGRAM, "run", "--hook", "hook.yaml"]).current_dir(temp.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(74), "{said}");
    assert!(said.contains("/d no longer leads to the directory"), "{said}");
}

#[test]
fn what_copies_recorded_is_there_again_after_a_command_that_removed_it() {
    for removes in [
        "rm -rf d/.hook-runner",
        "mv d/.hook-runner d/x",
        "rm -rf d/.hook-runner; echo mine >d/.hook-runner",
        "rm d/.hook-runner/manifests/*",
        "rm -rf d/.hook-runner/journal",
    ] {
        for policy in ["replace", "keep-modified"] {
            for fails in [false, true] {
                let case = format!("{removes}, {policy}, fails: {fails}");
                let temp = tempfile::tempdir().unwrap();
                let at = temp.path();
                for name in ["f", "same", "users"] {
                    write(at, &format!("s/{name}"), "1");
                }
                let copy = |options: &[&str]| {
                    let mut command = Command::new(PROGRAM);
                    command.arg("copy").args(options).args(["--policy", policy, "s", "d"]);
                    command.current_dir(at).output().unwrap()
                };
                assert!(copy(&[]).status.success());
                write(at, "d/users", "user");
                // An edit of the same size and mtime too.
                let script = format!(
                    "{removes}; echo HOOK >d/f; touch -r d/same r; printf H >d/same; touch -r r d/same; exit {}",
                    if fails { 5 } else { 0 }
                );
                let run =
                    ["run", "--log", "l", "--policy", policy, "--copy", "s:d", "--", "sh", "-c", &script];
                let output = Command::new(PROGRAM).args(run).current_dir(at).output().unwrap();
                assert_eq!(output.status.code(), Some(if fails { 5 } else { 0 }), "{case}: {output:?}");
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(
                    said.contains("in d was removed while the hook ran, and is written"),
                    "{case}: {said}"
                );
                let read = |name: &str| std::fs::read_to_string(at.join("d").join(name)).unwrap();
                let copied = copy(&[]);
                assert!(copied.status.success(), "{case}: {copied:?}");
                let hooks = if fails { ["1", "1"] } else { ["HOOK\n", "H"] };
                assert_eq!([read("f"), read("same")], hooks, "{case}: {copied:?}");
                let users = if policy == "replace" { "1" } else { "user" };
                assert_eq!(read("users"), users, "{case}");
                // The next release reaches what the hook had edited.
                write(at, "s/f", "2");
                let next = copy(&[]);
                assert_eq!(read("f"), "2", "{case}: {next:?}");
                assert!(!at.join("d/f.from-image").exists(), "{case}");
            }
        }
    }
}

#[test]
fn a_copy_that_is_repeated_says_what_it_installed() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path();
    for path in ["a/f", "a/g", "b/f", "b/h"] {
        write(at, path, path);
    }
    let run = ["run", "--log", "l", "--prune", "owned", "--copy", "a:d", "--copy", "b:d"];
    let run = || Command::new(PROGRAM).args(run).current_dir(at).output().unwrap();
    assert!(run().status.success());
    std::fs::remove_file(at.join("b/f")).unwrap();
    let output = run();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("; a again: 1 file (3 B) copied"), "{said}");
    assert_eq!(std::fs::read_to_string(at.join("d/f")).unwrap(), "a/f");
}

#[test]
fn a_run_without_a_command_takes_no_users_edit_for_its_own() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path();
    write(at, "a/f", "1");
    write(at, "b/g", "1");
    let copy = || {
        let copy = ["copy", "--policy", "keep-modified", "a", "d"];
        assert!(Command::new(PROGRAM).args(copy).current_dir(at).status().unwrap().success());
    };
    copy();
    write(at, "d/f", "user");
    let hook = "log: log\nsteps: [{copy: {from: b, to: d, policy: keep-modified}}]\n";
    assert!(run_hook(at, hook).status.success());
    write(at, "a/f", "2");
    copy();
    assert_eq!(std::fs::read_to_string(at.join("d/f")).unwrap(), "user");
}

#[test]
fn what_a_command_edits_in_its_runs_destination_is_the_runs_though_a_copy_around_it_installed_it() {
    for (policy, edited) in [("replace", "1"), ("keep-modified", "user")] {
        for fails in [false, true] {
            let case = format!("{policy}, fails first: {fails}");
            let temp = tempfile::tempdir().unwrap();
            let at = temp.path();
            for name in ["d/f", "d/users", "users"] {
                write(at, &format!("outer/{name}"), "1");
            }
            write(at, "inner/g", "1");
            let copy = || {
                let copy = ["copy", "--policy", policy, "outer", "v"];
                assert!(Command::new(PROGRAM).args(copy).current_dir(at).status().unwrap().success());
            };
            copy();
            for name in ["v/d/users", "v/users"] {
                write(at, name, "user");
            }
            let run = |script: &str| {
                let run = ["run", "--log", "l", "--copy", "inner:v/d", "--", "sh", "-c", script];
                Command::new(PROGRAM).args(run).current_dir(at).status().unwrap().success()
            };
            assert_eq!(run(&format!("printf hook >v/d/f; exit {}", u32::from(fails))), !fails, "{case}");
            assert!(!fails || run("true"), "{case}");
            copy();
            let read = |name: &str| std::fs::read_to_string(at.join("v").join(name)).unwrap();
            assert_eq!([read("d/f"), read("d/users"), read("users")], ["hook", edited, edited], "{case}");
            write(at, "outer/d/f", "2");
            copy();
            assert_eq!(read("d/f"), "2", "{case}");
        }
    }
}
