//! `verify` after a copy that returned 0: nothing differs.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use crate::needs;
use crate::support::harness::PROGRAM;

fn hook_runner(at: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).current_dir(at).output().unwrap()
}

/// An image with a directory, and an empty volume.
fn image() -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(temp.path().join("s/x/sub")).unwrap();
    std::fs::create_dir(temp.path().join("d")).unwrap();
    for name in ["s/f", "s/x/a", "s/x/sub/b"] {
        std::fs::write(temp.path().join(name), "image").unwrap();
    }
    temp
}

#[track_caller]
fn assert_verified(at: &Path) {
    let output = hook_runner(at, &["verify", "d"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !said.contains("added"), "{output:?}");
}

#[test]
fn a_directory_that_a_link_of_the_volume_leads_to_is_as_installed_where_links_were_followed() {
    let temp = image();
    let at = temp.path();
    std::fs::create_dir(at.join("elsewhere")).unwrap();
    symlink("../elsewhere", at.join("d/x")).unwrap();
    let copy = ["copy", "s", "d", "--follow-destination-links"];
    assert!(hook_runner(at, &copy).status.success());
    assert_verified(at);
    std::fs::write(at.join("elsewhere/sub/b"), "another").unwrap();
    let output = hook_runner(at, &["verify", "d"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("modified  x/sub/b"), "{output:?}");
}

#[test]
fn a_link_that_leads_into_the_runners_own_directory_is_not_followed() {
    for target in [".hook-runner", ".hook-runner/stage", ".hook-runner/manifests"] {
        let temp = image();
        let at = temp.path();
        assert!(hook_runner(at, &["copy", "s", "d", "--exclude", "/x"]).status.success());
        std::fs::create_dir_all(at.join("d").join(target)).unwrap();
        symlink(target, at.join("d/x")).unwrap();
        let output = hook_runner(at, &["copy", "s", "d", "--follow-destination-links"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(74) && said.contains(".hook-runner, where hook-runner keeps"),
            "{said}"
        );
        assert!(!at.join("d").join(target).join("a").exists(), "{target}");
    }
}

#[test]
fn a_mode_that_a_user_has_set_and_the_copy_has_left_is_as_installed() {
    for policy in ["missing", "keep-modified", "replace"] {
        let temp = image();
        let at = temp.path();
        let copy = ["copy", "s", "d", "--policy", policy];
        assert!(hook_runner(at, &copy).status.success());
        std::fs::set_permissions(at.join("d/f"), PermissionsExt::from_mode(0o600)).unwrap();
        assert!(hook_runner(at, &copy).status.success());
        assert_verified(at);
    }
}

#[test]
fn what_copies_have_put_beside_a_name_is_nobodys_addition() {
    let temp = image();
    let at = temp.path();
    let copy = ["copy", "s", "d", "--policy", "keep-modified"];
    assert!(hook_runner(at, &copy).status.success());
    std::fs::write(at.join("d/f"), "user's").unwrap();
    std::fs::write(at.join("s/f"), "next").unwrap();
    assert!(hook_runner(at, &copy).status.success());
    assert!(at.join("d/f.from-image").exists());
    assert_verified(at);
    std::fs::write(at.join("d/g.from-image"), "user's").unwrap();
    let output = hook_runner(at, &["verify", "d"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("added     g.from-image"), "{output:?}");
}

#[test]
fn a_volume_whose_journal_is_gone_is_compared_all_the_same() {
    let temp = image();
    let at = temp.path();
    assert!(hook_runner(at, &["copy", "s", "d"]).status.success());
    std::fs::remove_dir(at.join("d/.hook-runner/journal")).unwrap();
    assert_verified(at);
    assert!(!at.join("d/.hook-runner/journal").exists(), "verify makes nothing");
}

#[test]
fn a_file_that_is_mounted_on_a_name_stays_and_is_remarked() {
    needs!(Mount);
    for (name, change) in
        [("f", "echo next >s/f"), ("f", "rm s/f; mkdir s/f; echo next >s/f/g"), ("x/a", "echo next >s/x/a")]
    {
        for policy in ["replace", "keep-modified", "missing"] {
            let temp = image();
            let at = temp.path();
            assert!(hook_runner(at, &["copy", "s", "d"]).status.success());
            std::fs::write(at.join("mounted"), "of the mount").unwrap();
            // In a namespace of its own, which takes the mount with it.
            let script = format!(
                "mount --bind mounted d/{name}; {change}; \"$0\" copy s d --policy {policy}; \"$0\" copy s d --policy {policy}; \
                 cat d/{name}; \"$0\" verify d >&2"
            );
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-ec", &script, PROGRAM]).current_dir(at);
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && output.stdout.ends_with(b"of the mount"),
                "{name} {policy}: {output:?}"
            );
            let remarked = said.contains(&format!("{name} is a mount on the volume: not copied"));
            assert!(remarked || policy != "replace", "{name} {policy}: {said}");
        }
    }
}
