//! What is started, and where its output goes.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

/// What to start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments; never empty. A name without a slash is looked up in PATH. A file without `#!`
    /// is not given to a shell, as a container runtime does not either.
    pub argv: Vec<OsString>,
    /// Environment variables added to those of the runner.
    pub env: Vec<(OsString, OsString)>,
    /// The directory that it starts in; none is the runner's.
    pub workdir: Option<PathBuf>,
    /// A session of its own instead of a process group of its own. The terminal of the session that the runner leads
    /// becomes that session's; a terminal that is a shell's stays the shell's.
    pub setsid: bool,
}

/// Where the command's stdout and stderr go; stdin is always the runner's. `None` inherits the runner's.
#[derive(Debug, Default)]
pub struct ChildStdio {
    /// Becomes descriptor 1.
    pub stdout: Option<OwnedFd>,
    /// Becomes descriptor 2; `None` with a `stdout` means the same pipe as that.
    pub stderr: Option<OwnedFd>,
}

impl ChildStdio {
    /// The descriptors that stand for 1 and 2.
    pub(super) fn pair(&self) -> [Option<i32>; 2] {
        let out = self.stdout.as_ref().map(AsRawFd::as_raw_fd);
        [out, self.stderr.as_ref().map(AsRawFd::as_raw_fd).or(out)]
    }
}
