//! `verify` after a copy that returned 0: nothing differs.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
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

/// What is below the mount was installed before, and the mount has a file of the same content.
#[test]
fn a_directory_that_is_mounted_over_is_left_with_everything_in_it_and_what_it_hides_stays_installed() {
    needs!(Mount, MountNamespace);
    for (change, prune) in [
        ("echo next >s/x/a", "none"),
        ("rm -r s/x", "owned"),
        ("rm -r s/x; echo file >s/x", "owned"),
        ("rm s/x/a", "all"),
    ] {
        for policy in ["replace", "keep-modified", "missing"] {
            let temp = image();
            let at = temp.path();
            let run = "\"$0\" run --log none --copy s:d --policy $1 --prune $2 -- true";
            // In a namespace of its own, which takes the mount with it.
            let script = format!(
                "mkdir m; echo own >m/own; printf image >m/a; {run}; mount --bind m d/x; {change}; \"$0\" copy s d --policy $1 \
                 --prune $2 --dry-run; {run}; {run}; \"$0\" verify d; test \"$(cd m; ls -A | xargs)\" = 'a own'; \
                 test \"$(cat m/a)\" = image; umount d/x; \"$0\" verify d; {run}; \"$0\" verify d"
            );
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-exc", &script, PROGRAM, policy, prune]).current_dir(at);
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{change} {policy}: {output:?}");
            let told = said.contains("x is a mount on the volume: not copied")
                || said.contains("x is a mount, or holds one");
            assert!(told || prune == "owned", "{change} {policy}: {said}");
        }
    }
}

/// Of the state's group, as with an `fsGroup`, but not the owner of the files.
#[test]
fn what_this_user_may_not_read_is_neither_as_installed_nor_changed() {
    needs!(OtherUsers);
    let temp = image();
    let at = temp.path();
    std::fs::set_permissions(at, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::copy(PROGRAM, at.join("hook-runner")).unwrap();
    let chmod =
        |path: &str, mode| std::fs::set_permissions(at.join(path), PermissionsExt::from_mode(mode)).unwrap();
    for (path, mode) in [("d", 0o755), ("s", 0o755), ("s/x", 0o700), ("s/f", 0o600)] {
        chmod(path, mode);
    }
    std::fs::write(at.join("s/open"), "image").unwrap();
    chmod("s/open", 0o644);
    let copied =
        Command::new(at.join("hook-runner")).args(["copy", "s", "d"]).current_dir(at).gid(0).status();
    assert!(copied.unwrap().success());
    let verify = |group: u32| {
        let mut command = Command::new(at.join("hook-runner"));
        let output = command.args(["verify", "d"]).current_dir(at).uid(65532).gid(group).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let denied = "denied    f\ndenied    x/a\ndenied    x/sub\ndenied    x/sub/b\n";
    let as_who = "verify as the user who copied, or another who may read all of it";
    let (status, out, said) = verify(0);
    let counts = "0 modified, 0 with another mode, 0 missing, 0 kept by the user, 4 not readable\n";
    assert_eq!((status, &*out), (Some(74), &*format!("{denied}2 as installed, {counts}")), "{said}");
    assert_eq!(
        said,
        format!("hook-runner: cannot compare 4 entries of d, as this user may not read them; {as_who}\n")
    );
    // What differs is told all the same, of a file that cannot be read if its size does.
    std::fs::write(at.join("d/open"), "user's").unwrap();
    std::fs::write(at.join("d/f"), "longer than the image's").unwrap();
    chmod("d/x", 0o744);
    let (status, out, said) = verify(0);
    let differ = format!("modified  f\nmodified  open\nmode      x\n{}", &denied["denied    f\n".len()..]);
    assert!(status == Some(74) && out.starts_with(&differ), "{out}{said}");
    assert!(said.contains("read them; others are not as the last copy left them; "), "{said}");
    let (status, out, said) = verify(65532);
    assert!(status == Some(74) && out.is_empty() && said.contains(as_who), "{out}{said}");
    assert_eq!(hook_runner(at, &["verify", "d"]).status.code(), Some(1));
}

#[test]
fn what_a_run_makes_unreadable_is_as_the_run_left_it() {
    needs!(OtherUsers);
    let temp = image();
    let at = temp.path();
    std::fs::copy(PROGRAM, at.join("hook-runner")).unwrap();
    let owned = Command::new("chown").args(["-R", "65532:65532", "."]).current_dir(at).status().unwrap();
    assert!(owned.success());
    let hook_runner = |arguments: &[&str]| {
        let mut command = Command::new(at.join("hook-runner"));
        command.args(arguments).current_dir(at).uid(65532).gid(65532).output().unwrap()
    };
    let options = ["--log", "none", "--policy", "keep-modified", "--copy", "s:d"];
    let run = hook_runner(&[&["run"], &options[..], &["--", "chmod", "0", "d/f"]].concat());
    assert!(run.status.success(), "{run:?}");
    for arguments in
        [&["verify", "d"][..], &["copy", "s", "d", "--policy", "keep-modified"], &["verify", "d"]]
    {
        let output = hook_runner(arguments);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let is_right = if arguments[0] == "verify" {
            said.starts_with("denied    f\n4 as")
        } else {
            said.contains("3 unchanged")
        };
        assert!(is_right, "{arguments:?}: {said}");
    }
}
