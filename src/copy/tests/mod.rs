//! Promises that must hold release after release, tested on real files.

mod cut;
mod histories;
mod history;
mod hostile;
mod metadata;
mod orphans;
mod owners;
mod policies;
mod shards;
mod table;
mod told;
mod whose;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::*;

/// An image, a volume, and copies from one to the other.
pub(super) struct Volume {
    pub(super) temp: tempfile::TempDir,
    pub(super) options: Options,
    /// The run id of several copiers.
    pub(super) group: String,
    attempt: u32,
}

impl Volume {
    pub(super) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("image")).unwrap();
        std::fs::create_dir(temp.path().join("volume")).unwrap();
        let workers = std::num::NonZeroUsize::new(4);
        Self {
            temp,
            options: Options { workers, owner: Some("image".into()), ..Options::default() },
            group: "run".into(),
            attempt: 0,
        }
    }

    pub(super) fn image(&self, path: &str) -> PathBuf {
        self.temp.path().join("image").join(path)
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.temp.path().join("volume").join(path)
    }

    /// A file of the image. All have the same mtime, as in a reproducible image.
    pub(super) fn put(&self, path: &str, content: &str) {
        write(&self.image(path), content);
        let file = std::fs::File::options().write(true).open(self.image(path)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1)).unwrap();
    }

    /// A file that somebody else puts on the volume.
    pub(super) fn edit(&self, path: &str, content: &str) {
        write(&self.at(path), content);
    }

    pub(super) fn request(&mut self) -> Request {
        self.attempt += 1;
        Request {
            source: self.image(""),
            destination: self.at(""),
            run: format!("attempt-{}", self.attempt),
            group: self.group.clone(),
            options: self.options.clone(),
            ..Request::default()
        }
    }

    #[track_caller]
    pub(super) fn copy(&mut self) -> Report {
        copy(&self.request(), &Silent, &CancellationToken::new()).unwrap()
    }

    pub(super) fn seal(&mut self) {
        ended_well(&self.request());
    }

    #[track_caller]
    pub(super) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.at(path)).unwrap()
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }
}

/// The end of a run whose command edited what is different now.
fn ended_well(request: &Request) {
    let root = Dir::open(request.destination.as_path()).unwrap();
    let _marks = state::State::open(&root).unwrap().unwrap().begin_run(&request.run).unwrap();
    seal(request, Ended::Well).unwrap();
}

fn write(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // A new file, so that no hard link is written through.
    let _ = std::fs::remove_file(path);
    std::fs::write(path, content).unwrap();
}

#[test]
fn a_second_copy_changes_nothing_and_does_not_write() {
    let mut volume = Volume::new();
    volume.put("templates/index.html", "cats vs dogs");
    std::fs::hard_link(volume.image("templates/index.html"), volume.image("again.html")).unwrap();
    std::os::unix::fs::symlink("nowhere", volume.image("dangling")).unwrap();
    let first = volume.copy();
    assert_eq!((first.files, first.dirs, first.links), (2, 1, 1));
    let inode = |path: &str| volume.at(path).metadata().unwrap().ino();
    assert_eq!(inode("templates/index.html"), inode("again.html"));
    let manifest = inode(".hook-runner/manifests/image");
    let second = volume.copy();
    assert!(!second.changed(), "{}", second.summary());
    assert_eq!(volume.at(".hook-runner/manifests/image").metadata().unwrap().ino(), manifest);
    assert!(verify(&volume.at(""), None).unwrap().is_clean());
    volume.edit("again.html", "edited");
    let found = verify(&volume.at(""), None).unwrap();
    assert_eq!(found.modified.items, ["again.html"]);
}

#[test]
fn a_change_of_the_same_size_and_mtime_is_seen() {
    let mut volume = Volume::new();
    volume.put("index.html", "cats vs dogs");
    volume.copy();
    volume.put("index.html", "dogs vs cats");
    assert_eq!(volume.copy().files, 1);
    assert_eq!(volume.read("index.html"), "dogs vs cats");
    // Not with the option that skips the comparison.
    volume.options.trust_mtime = true;
    volume.put("index.html", "owls vs cats");
    assert!(!volume.copy().changed());
}

#[test]
fn shards_together_copy_the_tree_and_make_one_manifest() {
    let mut volume = Volume::new();
    for n in 0..40 {
        volume.put(&format!("d{}/e{n}/file", n % 7), &n.to_string());
        volume.put(&format!("d{}/beside-{n}", n % 7), &n.to_string());
    }
    let sharded = |volume: &mut Volume| -> (u64, u64) {
        let reports = [2, 0, 1].map(|index| {
            volume.options.shard = Some(Shard { index, count: 3 });
            volume.copy()
        });
        (reports.iter().map(|r| r.files).sum(), reports.iter().map(|r| r.dirs).sum())
    };
    volume.options.dry_run = true;
    assert_eq!(sharded(&mut volume).0, 80);
    assert!(!volume.at("d0").exists(), "a dry run makes nothing");
    volume.options.dry_run = false;
    assert_eq!(sharded(&mut volume).0, 80);
    // The next release: a change, and new directories in old ones.
    volume.put("d3/beside-3", "changed");
    volume.put("d3/new/deep/file", "new");
    volume.put("d4/new/file", "new");
    assert_eq!(sharded(&mut volume).0, 3);
    assert_eq!(sharded(&mut volume).0, 0);
    volume.options.shard = None;
    let whole = volume.copy();
    assert!(!whole.changed(), "{}", whole.summary());
    assert!(verify(&volume.at(""), None).unwrap().is_clean());
    for n in 0..40 {
        let path = format!("d{}/e{n}", n % 7);
        assert_eq!(
            volume.image(&path).metadata().unwrap().mtime_nsec(),
            volume.at(&path).metadata().unwrap().mtime_nsec()
        );
    }
}
