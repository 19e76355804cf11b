//! What to start, and where its output goes.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments; never empty. A name without a slash is looked up in PATH. As in a container runtime, a
    /// script without `#!` is not passed to a shell.
    pub argv: Vec<OsString>,
    /// Environment variables added to those of the runner.
    pub env: Vec<(OsString, OsString)>,
    /// The working directory; `None` is the runner's.
    pub workdir: Option<PathBuf>,
    /// Start it in a new session, not just a new process group. If the runner leads the terminal's session, the new
    /// session gets the terminal; a shell's terminal stays the shell's.
    pub setsid: bool,
}

/// Where the command's stdout and stderr go. `None` inherits the runner's. stdin is always the runner's.
#[derive(Debug, Default)]
pub struct ChildStdio {
    /// Becomes descriptor 1.
    pub stdout: Option<OwnedFd>,
    /// Becomes descriptor 2; `None` with a `stdout` means the same pipe.
    pub stderr: Option<OwnedFd>,
}

impl ChildStdio {
    /// The descriptors for 1 and 2.
    pub(super) fn pair(&self) -> [Option<i32>; 2] {
        let out = self.stdout.as_ref().map(AsRawFd::as_raw_fd);
        [out, self.stderr.as_ref().map(AsRawFd::as_raw_fd).or(out)]
    }
}
