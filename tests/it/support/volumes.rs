//! Volumes for the time of a test: mounts, and a filesystem that fails when told to.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::harness::PROGRAM;
use crate::support::running::whereabouts;

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

/// The FUSE passthrough with faults, mounted for the time of a test.
pub(crate) struct Faults {
    daemon: std::process::Child,
    pub(crate) mount: PathBuf,
    control: PathBuf,
    program: PathBuf,
}

impl Faults {
    pub(crate) fn mount(temp: &Path) -> Self {
        let program = Path::new(PROGRAM).with_file_name("faultfs");
        assert!(program.exists(), "{} is missing: cargo build -p faultfs", program.display());
        let (backing, mount, control) = (temp.join("backing"), temp.join("volume"), temp.join("control"));
        std::fs::create_dir(&backing).unwrap();
        std::fs::create_dir(&mount).unwrap();
        let mut daemon = Command::new(&program)
            .arg("--control")
            .arg(&control)
            .args([&backing, &mount])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let stdout = daemon.stdout.as_mut().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut ready).unwrap();
        assert_eq!(ready.trim(), "ready");
        Self { daemon, mount, control, program }
    }

    pub(crate) fn tell(&self, words: &str) {
        let mut command = Command::new(&self.program);
        let output = command.arg("ctl").arg(&self.control).args(words.split(' ')).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Where it hangs, when it does not end within a minute.
    fn ends_not(&mut self) -> Option<String> {
        let end = Instant::now() + Duration::from_secs(60);
        while !matches!(self.daemon.try_wait(), Ok(Some(_)) | Err(_)) {
            if Instant::now() > end {
                return Some(i32::try_from(self.daemon.id()).map(whereabouts).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        let _ = Command::new("fusermount3").arg("-uz").arg(&self.mount).status();
        let Some(hung) = self.ends_not() else { return };
        let _ = self.daemon.kill();
        let message = format!(
            "faultfs on {} did not end within a minute of its unmounting; killed. It hung here:\n{hung}",
            self.mount.display()
        );
        // A test that fails already shows it beside its own reason.
        eprintln!("{message}");
        assert!(std::thread::panicking(), "the daemon hung");
    }
}
