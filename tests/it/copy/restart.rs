//! The application's initContainer copies onto the volume that a hook edits: at every restart of its pod, and while the
//! hook is at work.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::harness::PROGRAM;

const EDIT: &str =
    "#!/bin/sh\nsed -i 's/vs/or/g' data/page; touch ready; until [ -e go ]; do sleep 0.01; done\n";

/// `hook-runner copy app data` below `home`.
fn copy(home: &Path) -> String {
    let out =
        Command::new(PROGRAM).current_dir(home).args(["copy", "app", "data"]).output().expect("started");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8")
}

fn scene() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir_all(home.path().join("app")).expect("made");
    fs::create_dir_all(home.path().join("data")).expect("made");
    fs::write(home.path().join("app/page"), "cats vs dogs\n").expect("written");
    home
}

/// A hook that brings the application's content, then runs a script.
fn runner(home: &Path, script: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.current_dir(home).args(["run", "--copy", "app:data", "--log", "data/post-hook-output.txt"]);
    command.args(["--", "/bin/sh", "-c", script]);
    command
}

/// Runs the hook that edits the page; `beside` happens when the edit is done and the hook not yet at its end.
fn hook(home: &Path, beside: impl FnOnce()) {
    let mut run = runner(home, EDIT).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    let begun = Instant::now();
    while !home.join("ready").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the hook does not get to its edit");
        std::thread::sleep(Duration::from_millis(5));
    }
    beside();
    fs::write(home.join("go"), "").expect("written");
    assert!(run.wait().expect("waited for").success());
}

fn page(home: &Path) -> String {
    fs::read_to_string(home.join("data/page")).expect("the page")
}

fn verify(home: &Path) {
    let out = Command::new(PROGRAM).current_dir(home).args(["verify", "data"]).output().expect("started");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
}

#[test]
fn a_pods_restart_leaves_what_the_hook_edited() {
    let home = scene();
    let home = home.path();
    hook(home, || ());
    copy(home);
    assert_eq!(page(home), "cats or dogs\n");
    copy(home);
    assert_eq!(page(home), "cats or dogs\n", "the second restart");
    verify(home);
}

#[test]
fn a_copy_beside_the_hook_neither_waits_for_it_nor_undoes_its_edit() {
    let home = scene();
    let home = home.path();
    copy(home);
    hook(home, || {
        copy(home);
        assert_eq!(page(home), "cats or dogs\n", "while the hook is at work");
    });
    verify(home);
    copy(home);
    assert_eq!(page(home), "cats or dogs\n", "after the hook");
}

#[test]
fn a_new_image_replaces_what_the_hook_edited_and_the_next_hook_edits_it_again() {
    let home = scene();
    let home = home.path();
    hook(home, || ());
    fs::write(home.join("app/page"), "two cats vs dogs\n").expect("written");
    copy(home);
    assert_eq!(page(home), "two cats vs dogs\n");
    fs::remove_file(home.join("ready")).expect("removed");
    hook(home, || ());
    assert_eq!(page(home), "two cats or dogs\n");
    verify(home);
}

#[test]
fn the_next_hook_finds_the_images_version_to_work_on() {
    let home = scene();
    let home = home.path();
    hook(home, || ());
    fs::remove_file(home.join("ready")).expect("removed");
    // Had it found its own edit, there would be nothing to count.
    let count = "#!/bin/sh\ngrep -c vs data/page";
    let out = runner(home, count).output().expect("started");
    assert_eq!(String::from_utf8_lossy(&out.stdout), "1\n");
}
