//! What a well-known peer misses and the copy must not: a claim about another program is shown with that program.

use std::fs::{self, File, FileTimes};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::needs;
use crate::support::harness::Test;

/// Reproducible images give every file one mtime.
fn image_mtime() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(315_532_800)
}

/// A release whose one file has the size and the mtime that every release's has.
fn release(image: &Path, content: &str) {
    fs::create_dir_all(image).expect("the image");
    let mut file = File::create(image.join("index.html")).expect("a file");
    file.write_all(content.as_bytes()).expect("content");
    file.set_times(FileTimes::new().set_modified(image_mtime())).expect("an mtime");
}

#[test]
fn a_change_of_same_size_and_mtime_is_copied_though_rsync_misses_it() {
    needs!(Program("rsync"));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let image = directory.path().join("image");
    let rsync = directory.path().join("by-rsync");
    let copied = |by: &Path| fs::read_to_string(by.join("index.html")).expect("copied");

    release(&image, "Cats");
    rsync_a(&image, &rsync);
    let first =
        Test::within(directory).args(["copy", "{}/image", "{}/by-us"]).any_stdout().any_stderr().run();
    assert_eq!(copied(&rsync), "Cats");
    assert_eq!(first.read("by-us/index.html"), "Cats");

    release(&image, "Dogs");
    rsync_a(&image, &rsync);
    let second = first.then().args(["copy", "{}/image", "{}/by-us"]).any_stdout().any_stderr().run();
    assert_eq!(copied(&rsync), "Cats", "rsync -a sees the change now: the claim about it no longer holds");
    assert_eq!(second.read("by-us/index.html"), "Dogs");
}

/// Runs `rsync -a`.
fn rsync_a(from: &Path, to: &Path) {
    let mut from = from.as_os_str().to_owned();
    from.push("/");
    let status =
        Command::new("rsync").arg("-a").args([&from, to.as_os_str()]).status().expect("rsync starts");
    assert!(status.success(), "rsync: {status}");
}
