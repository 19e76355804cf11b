//! A hook whose volume fails, or does not answer, when told to.

use std::time::Duration;

use faultfs::Mount;

use crate::support::harness::{LOG, Test};
use crate::support::running::Running;

/// Time enough to get to the command on a machine that is busy with other tests.
pub(crate) const TIMEOUT: &str = "8s";

/// What is promised: that timeout, a grace of a second, and 5 s.
pub(crate) const IN_TIME: Duration = Duration::from_secs(14);

/// A volume that does not answer, until this is dropped: before [`Running`], whose end may wait for an answer.
pub(crate) struct Frozen<'a>(pub(crate) &'a Mount);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.thaw();
    }
}

/// A test directory whose `data` is a faultfs.
pub(crate) struct Room {
    pub(crate) mount: Mount,
    directory: Option<tempfile::TempDir>,
    _remains: Remains,
}

/// What could not be removed as long as the volume was mounted in it; dropped after the mount.
pub(crate) struct Remains(pub(crate) std::path::PathBuf);

impl Drop for Remains {
    fn drop(&mut self) {
        // Mostly gone with the test's directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Room {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["backing", "data"] {
            std::fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        let mount =
            Mount::start(&directory.path().join("backing"), &directory.path().join("data")).expect("a mount");
        let remains = Remains(directory.path().to_path_buf());
        Self { mount, directory: Some(directory), _remains: remains }
    }

    /// Stops the volume once the runner has its diagnostics open, which it does while the command runs: a request that
    /// the server has taken when it is stopped cannot be ended.
    pub(crate) fn freeze(&self, running: &Running) -> Frozen<'_> {
        running.wait_for("data/.hook-runner/runner.log", "step begins");
        self.mount.freeze();
        Frozen(&self.mount)
    }

    pub(crate) fn test(&mut self, options: &[&str], script: &str) -> Test {
        Test::within(self.directory.take().expect("started once"))
            .args(["run", "--log", LOG])
            .args(options)
            .args(["--", "sh", "-c", script])
    }

    pub(crate) fn start(&mut self, options: &[&str], script: &str) -> Running {
        let test = self.test(options, script);
        let command = test.command();
        let running = Running::start(command, test.into_directory());
        // Before others, where that is permitted: a busy machine should not be taken for a runner that is late.
        let _ = rustix::process::setpriority_process(rustix::process::Pid::from_raw(running.pid()), -15);
        running
    }
}
