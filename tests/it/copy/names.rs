//! Names that are not text, and names that belong to the runner elsewhere.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use serde_json::Value;

use crate::support::harness::{PROGRAM, Test};

const NAMES: [&[u8]; 7] =
    [b"ok", b"new\nline", b"new\\nline", b"\x1b[31m", b"x\\x0a", b"a\xffb", b"\xff\xfe"];

fn hook_runner(at: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).current_dir(at).output().unwrap()
}

/// The path of an entry as JSON has it.
fn path(entry: &Value) -> Vec<u8> {
    match (&entry["path"], &entry["path_base64"]) {
        (Value::String(text), Value::Null) => text.clone().into_bytes(),
        (Value::Null, Value::String(base64)) => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
            assert!(std::str::from_utf8(&bytes).is_err(), "text is text: {entry}");
            bytes
        }
        _ => panic!("{entry}"),
    }
}

fn paths(list: &Value) -> BTreeSet<Vec<u8>> {
    list["items"].as_array().unwrap_or_else(|| panic!("{list}")).iter().map(path).collect()
}

fn of_lines(output: &Output) -> BTreeSet<Vec<u8>> {
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| path(&serde_json::from_slice(line).unwrap())).collect()
}

/// An image with all names, and the names.
fn image() -> (tempfile::TempDir, BTreeSet<Vec<u8>>) {
    let temp = tempfile::tempdir().unwrap();
    std::fs::create_dir(temp.path().join("s")).unwrap();
    for name in NAMES {
        std::fs::write(temp.path().join("s").join(OsStr::from_bytes(name)), "image").unwrap();
    }
    (temp, NAMES.iter().map(|name| name.to_vec()).collect())
}

#[test]
fn no_byte_of_a_name_is_lost_in_json() {
    let (temp, all) = image();
    let at = temp.path();
    let json = |output: Output| -> Value { serde_json::from_slice(&output.stdout).unwrap() };
    for dry in [&["--dry-run"][..], &[]] {
        let report = json(hook_runner(at, &[&["copy", "s", "d", "--json"][..], dry].concat()));
        assert_eq!((&report["schema"], paths(&report["changes"])), (&Value::from(2), all.clone()), "{dry:?}");
    }
    for name in NAMES {
        std::fs::write(at.join("d").join(OsStr::from_bytes(name)), "a user's").unwrap();
        std::fs::write(at.join("s").join(OsStr::from_bytes(name)), "new").unwrap();
        std::fs::write(at.join("d/added").with_file_name(OsStr::from_bytes(&[name, b"-added"].concat())), "")
            .unwrap();
    }
    let report = json(hook_runner(at, &["verify", "d", "--json"]));
    assert_eq!((&report["schema"], paths(&report["modified"])), (&Value::from(2), all.clone()));
    let added: BTreeSet<Vec<u8>> = all.iter().map(|name| [name, &b"-added"[..]].concat()).collect();
    assert_eq!(paths(&report["added"]), added);
    let report = json(hook_runner(at, &["copy", "s", "d", "--json", "--policy", "keep-modified"]));
    assert_eq!(paths(&report["conflicts"]), all);
}

#[test]
fn no_changed_entry_is_missing_from_diff_whatever_its_name() {
    let (temp, all) = image();
    let at = temp.path();
    std::os::unix::fs::symlink(OsStr::from_bytes(b"to\xff"), at.join("s/link")).unwrap();
    let run = |id: &str| {
        let to = [&b"s:v\xfe/d"[..]].concat();
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--run-id", id, "--log", "log", "--prune", "owned", "--copy"]);
        let output =
            command.arg(std::ffi::OsString::from_vec(to)).args(["--", "true"]).current_dir(at).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let diff = || hook_runner(at, &["diff", "--log", "log", "--json"]);
    run("r1");
    let first = diff();
    let mut with_link = all.clone();
    with_link.insert(b"link".to_vec());
    assert_eq!(of_lines(&first), with_link);
    let text = String::from_utf8(first.stdout).unwrap();
    assert!(text.contains(r#""target_base64":"dG//""#) && text.contains(r#""to_base64""#), "{text}");
    let shown = hook_runner(at, &["diff", "--log", "log"]);
    assert_eq!(String::from_utf8_lossy(&shown.stdout).lines().count(), with_link.len(), "{shown:?}");
    for name in NAMES {
        std::fs::remove_file(at.join("s").join(OsStr::from_bytes(name))).unwrap();
    }
    run("r2");
    assert_eq!(of_lines(&diff()), all, "removed");
}

/// What the source has is content, whatever its name and whichever command copies it.
#[test]
fn a_file_of_the_source_that_is_named_as_the_default_log_is_copied_where_no_log_is() {
    let name = "post-hook-output.txt";
    let image = Test::new().file(&format!("s/{name}"), "image").file("s/f", "1");
    let copy = |test: Test| test.args(["copy", "s", "d", "--prune", "owned"]).any_stdout().run();
    let run = |test: Test| {
        let run = ["run", "--log", "l", "--copy", "s:d", "--prune", "owned", "--", "true"];
        test.args(run).any_stderr().run()
    };
    let verified = |test: Test| test.args(["verify", "d"]).stdout_contains("2 as installed").run();
    let done = verified(copy(image).then());
    assert_eq!(done.read(&format!("d/{name}")), "image");
    let done = verified(copy(run(done.then().file(&format!("s/{name}"), "next")).then()).then());
    assert_eq!(done.read(&format!("d/{name}")), "next");
    std::fs::remove_file(done.path(&format!("s/{name}"))).unwrap();
    let done = copy(done.then());
    assert!(!done.path(&format!("d/{name}")).exists());
    // A log is left alone.
    let log = format!("d/{name}");
    let done = done
        .then()
        .args(["run", "--log", &log, "--", "echo", "printed"])
        .stdout("printed\n")
        .any_stderr()
        .run();
    let done = done.then().file(&format!("s/{name}"), "image");
    let done = done
        .args(["copy", "s", "d"])
        .any_stdout()
        .stderr_contains("runner's own on the volume: not copied")
        .run();
    assert!(done.read(&log).contains("printed"));
}

/// What the shell's one-liner has left under the default name, before the first run.
#[test]
fn a_log_of_the_one_liner_is_not_pruned_by_a_copy() {
    let test = Test::new().file("s/f", "1").file("d/post-hook-output.txt", "printed").file("d/other", "x");
    let done = test.args(["copy", "s", "d", "--prune", "all"]).any_stdout().any_stderr().run();
    assert!(!done.path("d/other").exists());
    assert_eq!(done.read("d/post-hook-output.txt"), "printed");
}

#[test]
fn a_destination_that_is_a_dangling_link_is_refused_as_that() {
    let (temp, _) = image();
    let at = temp.path();
    std::os::unix::fs::symlink("nowhere", at.join("d")).unwrap();
    for to in ["d", "d/below", "d/"] {
        let pair = format!("s:{to}");
        for arguments in [
            &["copy", "s", to][..],
            &["copy", "s", to, "--dry-run"],
            &["run", "--log", "l/log", "--copy", &pair, "--", "true"],
            &["copy", "s/ok", "d/below/ok"],
        ] {
            let output = hook_runner(at, arguments);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{arguments:?}: {said}");
            assert!(said.contains("d is a link that leads to nothing"), "{arguments:?}: {said}");
        }
    }
    assert!(!at.join("l").exists() && !at.join("nowhere").exists());
    // An earlier step may make what it leads to.
    std::fs::write(
        at.join("hook.yaml"),
        "log: none\nsteps: [{exec: {command: [mkdir, nowhere]}}, {copy: {from: s, to: d}}]\n",
    )
    .unwrap();
    let output = hook_runner(at, &["run", "--hook", "hook.yaml"]);
    assert!(output.status.success() && at.join("nowhere/ok").exists(), "{output:?}");
}

#[test]
fn what_another_copy_of_equal_content_has_is_counted() {
    let test = Test::new().file("s/f", "1").file("s/x/g", "1");
    let done = test.args(["copy", "s", "d"]).any_stdout().run();
    let done = done.then().args(["copy", "--owner", "me", "s", "d"]).any_stdout().run();
    done.then().args(["copy", "s", "d"]).stdout("hook-runner: 0 files (0 B) copied, 2 unchanged\n").run();
}

#[test]
fn too_few_descriptors_are_told_as_that() {
    let (temp, _) = image();
    let script = "ulimit -n 12; exec \"$0\" copy s d";
    let output = Command::new("sh").args(["-c", script, PROGRAM]).current_dir(temp.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || said.contains("raise the limits of open files"), "{said}");
}

#[test]
fn a_pattern_that_can_match_nothing_is_refused_and_one_that_matches_no_file_is_said() {
    let (temp, _) = image();
    let at = temp.path();
    for pattern in ["./ok", "../ok", "/", "a//b", "[a", "a\\", "."] {
        for option in ["--exclude", "--include"] {
            let output = hook_runner(at, &["copy", "s", "d", &format!("{option}={pattern}")]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{pattern}: {said}");
            assert!(
                said.contains(&format!("'{pattern}' matches nothing: ")) && said.lines().count() == 1,
                "{said}"
            );
        }
    }
    assert!(!at.join("d").exists());
    for dry in [&["--dry-run"][..], &[]] {
        let output =
            hook_runner(at, &[&["copy", "s", "d", "--include=ok", "--include=ko"][..], dry].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.contains("--include ko matches nothing in the source"),
            "{said}"
        );
        assert!(!said.contains("--include ok"), "{said}");
    }
}
