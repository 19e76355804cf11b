//! A user writes to the volume while a copy stages: the copy is stopped in between, as a slow volume would have it.

use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::harness::eventually;
use crate::support::tree::{copied, copy_command};

/// Long enough to be stopped in.
const LARGE: u64 = 256 << 20;

/// An image, a volume that has its first release, and the image's next one with a large file beside.
fn releases(at: &Path, first: &[&str], next: &[&str]) -> (PathBuf, PathBuf) {
    let (image, volume) = (at.join("image"), at.join("volume"));
    std::fs::create_dir(&image).unwrap();
    for name in first {
        std::fs::write(image.join(name), "first").unwrap();
    }
    copied(&image, &volume);
    for name in next {
        std::fs::write(image.join(name), "the next").unwrap();
    }
    let large = std::fs::File::create(image.join("large")).unwrap();
    // Not sparse: it is to take a while.
    let block = vec![b'x'; 1 << 20];
    for at in 0..LARGE >> 20 {
        std::os::unix::fs::FileExt::write_all_at(&large, &block, at << 20).unwrap();
    }
    (image, volume)
}

/// Begins a copy, stops it when all of `names` are staged, lets `user` write, and has it end well.
fn meanwhile(image: &Path, volume: &Path, options: &[&str], names: &[&str], user: impl FnOnce()) {
    let output = interrupted(image, volume, options, names, user);
    assert!(output.status.success(), "{output:?}");
}

/// The same, with whichever end.
fn interrupted(image: &Path, volume: &Path, options: &[&str], names: &[&str], user: impl FnOnce()) -> Output {
    let mut copy = copy_command(image, volume);
    let copy: Child = copy.args(options).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stage = volume.join(".hook-runner/stage");
    eventually("the small files staged", || names.iter().all(|name| staged(&stage, name)).then_some(()));
    let process = Pid::from_raw(i32::try_from(copy.id()).unwrap());
    kill(process, Signal::SIGSTOP).unwrap();
    assert!(!volume.join("large").exists(), "the copy was over before it was stopped");
    user();
    kill(process, Signal::SIGCONT).unwrap();
    copy.wait_with_output().unwrap()
}

fn staged(stage: &Path, name: &str) -> bool {
    let entries = std::fs::read_dir(stage).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        entry.file_name() == name
            || entry.file_type().is_ok_and(|kind| kind.is_dir()) && staged(&entry.path(), name)
    })
}

fn read(volume: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(volume.join(name)).ok()
}

#[test]
fn keep_modified_keeps_what_a_user_writes_while_it_stages() {
    let temp = tempfile::tempdir().unwrap();
    let (image, volume) =
        releases(temp.path(), &["edited", "left", "gone"], &["edited", "left", "gone", "new"]);
    meanwhile(&image, &volume, &["--policy", "keep-modified"], &["edited", "left", "gone", "new"], || {
        std::fs::write(volume.join("edited"), "a user's").unwrap();
        std::fs::write(volume.join("new"), "a user's, too").unwrap();
        std::fs::remove_file(volume.join("gone")).unwrap();
    });
    let next = || Some("the next".to_owned());
    assert_eq!(read(&volume, "edited"), Some("a user's".into()));
    assert_eq!(read(&volume, "edited.from-image"), next());
    assert_eq!(read(&volume, "new"), Some("a user's, too".into()));
    assert_eq!(read(&volume, "new.from-image"), next());
    assert_eq!(read(&volume, "left"), next());
    assert_eq!(read(&volume, "left.from-image"), None);
    // A deletion is no bytes: either may be.
    assert!([None, next()].contains(&read(&volume, "gone")));
    // The next copy takes them for the user's.
    let done = copy_command(&image, &volume).args(["--policy", "keep-modified"]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    assert_eq!(read(&volume, "edited"), Some("a user's".into()));
    assert_eq!(read(&volume, "new"), Some("a user's, too".into()));
}

#[test]
fn missing_keeps_what_a_user_creates_while_it_stages() {
    let temp = tempfile::tempdir().unwrap();
    let (image, volume) = releases(temp.path(), &["there"], &["new", "absent"]);
    meanwhile(&image, &volume, &["--policy", "missing"], &["new", "absent"], || {
        std::fs::write(volume.join("new"), "a user's").unwrap();
    });
    assert_eq!(read(&volume, "new"), Some("a user's".into()));
    assert_eq!(read(&volume, "new.from-image"), None);
    assert_eq!(read(&volume, "absent"), Some("the next".into()));
}

#[test]
fn hard_links_of_the_last_release_are_no_users_writing() {
    let temp = tempfile::tempdir().unwrap();
    let (image, volume) = (temp.path().join("image"), temp.path().join("volume"));
    std::fs::create_dir(&image).unwrap();
    std::fs::write(image.join("a"), "first").unwrap();
    std::fs::hard_link(image.join("a"), image.join("b")).unwrap();
    copied(&image, &volume);
    std::fs::write(image.join("a"), "the next").unwrap();
    let done = copy_command(&image, &volume).args(["--policy", "keep-modified"]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    for name in ["a", "b"] {
        assert_eq!(read(&volume, name), Some("the next".into()), "{name}: {done:?}");
    }
    assert_eq!(std::fs::read_dir(&volume).unwrap().count(), 3, "a, b and the state");
}

#[test]
fn a_destination_that_is_moved_away_while_it_is_copied_into_is_no_success() {
    for put_back in [false, true] {
        let temp = tempfile::tempdir().unwrap();
        let (image, volume) = releases(temp.path(), &["there"], &["new"]);
        let moved = temp.path().join("moved");
        let output = interrupted(&image, &volume, &[], &["new"], || {
            std::fs::rename(&volume, &moved).unwrap();
            if put_back {
                std::fs::create_dir(&volume).unwrap();
            }
        });
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(74) && said.contains("was moved"), "{output:?}");
        // As it says: the next copy is whole, whichever of the two directories it finds.
        let _ = std::fs::remove_dir(&volume);
        std::fs::rename(&moved, &volume).unwrap();
        copied(&image, &volume);
        assert_eq!(read(&volume, "new"), Some("the next".into()));
    }
}

#[test]
fn a_copy_that_is_stopped_says_so_and_the_next_one_completes() {
    for (signal, status) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let temp = tempfile::tempdir().unwrap();
        let (image, volume) = releases(temp.path(), &["small"], &["small"]);
        let message = temp.path().join("message");
        let mut copy = copy_command(&image, &volume);
        copy.arg("--termination-log").arg(&message).stdout(Stdio::null()).stderr(Stdio::piped());
        let copy = copy.spawn().unwrap();
        let stage = volume.join(".hook-runner/stage");
        eventually("the small file staged", || staged(&stage, "small").then_some(()));
        kill(Pid::from_raw(i32::try_from(copy.id()).unwrap()), signal).unwrap();
        let output = copy.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.contains(&format!("stopped by {signal:?}")) && said.lines().count() == 1, "{said}");
        let message = std::fs::read_to_string(&message).unwrap();
        assert!(message.contains(&format!(r#""status":{status},"result":"stopped""#)), "{message}");
        assert_eq!(read(&volume, "small"), Some("first".into()), "old or new, and here old");
        copied(&image, &volume);
        assert_eq!(read(&volume, "small"), Some("the next".into()));
    }
}
