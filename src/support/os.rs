//! What reading a volume or a hook file needs of the system beyond the standard library. On other systems
//! `off_linux/os.rs` replaces it.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{Access, AtFlags, CWD, MemfdFlags, OFlags};

pub use std::os::unix::ffi::{OsStrExt, OsStringExt};
pub use std::os::unix::fs::FileExt;

/// An empty file in memory.
pub fn memory_file() -> io::Result<File> {
    Ok(rustix::fs::memfd_create("log", MemfdFlags::CLOEXEC)?.into())
}

/// Standard input as a file of its own.
pub fn stdin() -> io::Result<File> {
    Ok(rustix::io::dup(rustix::stdio::stdin())?.into())
}

/// Opens for reading. Does not wait for a pipe's writer.
pub fn open_at_once(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    File::options().read(true).custom_flags(flags).open(path)
}

/// Makes later reads wait for the pipe's writer.
pub fn let_wait(file: &File) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    Ok(rustix::fs::fcntl_setfl(file, flags.difference(OFlags::NONBLOCK))?)
}

/// Columns of the terminal on stdout.
pub fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
}

/// The system's words for error `number`: "No space left on device".
pub fn description(number: i32) -> Option<String> {
    match Errno::from_raw(number) {
        Errno::UnknownErrno => None,
        errno => Some(errno.desc().to_owned()),
    }
}

/// The SHA-256 of `bytes`, for content security policies.
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec()
}

/// This user's id, if this user may not create files in `directory`.
pub fn user_who_may_not_write(directory: &Path) -> Option<u32> {
    let answer = rustix::fs::accessat(CWD, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
    (answer == Err(rustix::io::Errno::ACCESS)).then(|| rustix::process::geteuid().as_raw())
}
