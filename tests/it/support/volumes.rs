//! Volumes for the time of a test: mounts, and a filesystem that fails when told to (faultfs).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mount for the time of a test.
pub(crate) struct Mount(pub(crate) PathBuf);

/// Runs a command that has to succeed.
#[track_caller]
pub(crate) fn done(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

impl Mount {
    /// Of the filesystem that is found on a device, or, with the option `loop`, in a file.
    #[track_caller]
    pub(crate) fn new(at: &Path, options: &str, device: &Path) -> Self {
        std::fs::create_dir_all(at).unwrap();
        done(Command::new("mount").args(["-o", options]).arg(device).arg(at));
        Self(at.to_owned())
    }

    /// Of a new filesystem in a file beside the mount, of so many bytes.
    #[track_caller]
    pub(crate) fn made(filesystem: &str, size: u64, options: &str, at: &Path) -> Self {
        let image = at.with_extension("image");
        std::fs::File::create(&image).unwrap().set_len(size).unwrap();
        done(
            Command::new(format!("mkfs.{filesystem}"))
                .arg("-q")
                .arg(&image)
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        Self::new(at, &format!("loop,{options}"), &image)
    }

    #[track_caller]
    pub(crate) fn tmpfs(at: &Path, options: &str) -> Self {
        std::fs::create_dir_all(at).unwrap();
        done(Command::new("mount").args(["-t", "tmpfs", "-o", options, "hook-runner-test"]).arg(at));
        Self(at.to_owned())
    }

    pub(crate) fn remount(&self, options: &str) {
        done(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A faultfs over a new directory `backing`, mounted at the new directory `volume` of a test directory.
pub(crate) fn faulty_volume(at: &Path) -> faultfs::Mount {
    let [backing, volume] = ["backing", "volume"].map(|name| at.join(name));
    for dir in [&backing, &volume] {
        std::fs::create_dir(dir).unwrap();
    }
    faultfs::Mount::start(&backing, &volume).unwrap()
}
