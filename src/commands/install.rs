//! `install DIR`: puts a copy of this program into a directory that another container shares, so that any
//! image can run it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::termination;
use crate::attempt::outcome::{Failure, StepReport};
use crate::cli;
use crate::exit::Kind;
use crate::support::cause::words;
use crate::support::durations::milliseconds;

/// Why the program was not installed. A wrong directory is 78, a failure of the volume 74.
#[derive(Debug, thiserror::Error)]
enum InstallError {
    /// Not a directory that exists.
    #[error("{} is not a directory; mount the shared volume (an emptyDir) there", .0.display())]
    NoDirectory(PathBuf),
    /// The copy failed.
    #[error("cannot {operation} {}: {}; see the volume's free space and that user {uid} may write to it", path.display(), words(source))]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// Who tried.
        uid: u32,
    },
}

/// Installs, and leaves the termination message.
pub(super) fn run(arguments: &cli::Install) -> Result<(), Failure> {
    let began = Instant::now();
    termination::with_message(arguments.termination.log.as_deref(), || {
        let installed = install(&arguments.dir).map_err(|error| {
            let kind = match error {
                InstallError::NoDirectory(_) => Kind::Config,
                InstallError::Io { .. } => Kind::Io,
            };
            Failure::new(kind, error.to_string())
        })?;
        Ok(StepReport {
            step: format!("install into {}", arguments.dir.display()),
            result: format!("installed {}", installed.display()),
            duration_ms: milliseconds(began.elapsed()),
        })
    })
}

/// Copies this program to `directory/hook-runner`: mode 0755, durable, and under its name only when complete.
fn install(directory: &Path) -> Result<PathBuf, InstallError> {
    let fail = |operation: &'static str, path: &Path| {
        let path = path.to_path_buf();
        move |source: io::Error| InstallError::Io {
            operation,
            path,
            source,
            uid: rustix::process::getuid().as_raw(),
        }
    };
    if !directory.is_dir() {
        return Err(InstallError::NoDirectory(directory.to_path_buf()));
    }
    let program = std::env::current_exe().map_err(fail("find", Path::new("/proc/self/exe")))?;
    let target = directory.join("hook-runner");
    let temporary = directory.join(format!(".hook-runner.{}.new", std::process::id()));
    let copy = || -> io::Result<()> {
        let options = fs_extra::file::CopyOptions::new().overwrite(true);
        fs_extra::file::copy(&program, &temporary, &options).map_err(|error| match error.kind {
            fs_extra::error::ErrorKind::Io(cause) => cause,
            fs_extra::error::ErrorKind::PermissionDenied => io::ErrorKind::PermissionDenied.into(),
            fs_extra::error::ErrorKind::NotFound => io::ErrorKind::NotFound.into(),
            _ => io::Error::other("the copy of the program failed"),
        })?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755))?;
        fs::File::open(&temporary)?.sync_all()?;
        fs::rename(&temporary, &target)?;
        fs::File::open(directory)?.sync_all()
    };
    copy().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        fail("install", &target)(error)
    })?;
    Ok(target)
}
