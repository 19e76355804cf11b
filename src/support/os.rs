//! What reading a volume and a hook file asks of the system beyond the standard library's portable calls.
//! Off Linux, `off_linux/os.rs` stands in its place.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{Access, AtFlags, CWD, MemfdFlags, OFlags};

pub use std::os::unix::ffi::{OsStrExt, OsStringExt};
pub use std::os::unix::fs::FileExt;

/// An empty file that is nowhere on a volume.
pub fn memory_file() -> io::Result<File> {
    Ok(rustix::fs::memfd_create("log", MemfdFlags::CLOEXEC)?.into())
}

/// Standard input as a file of its own.
pub fn stdin() -> io::Result<File> {
    Ok(rustix::io::dup(rustix::stdio::stdin())?.into())
}

/// Opens for reading; does not wait for a writer where the path is a pipe.
pub fn open_at_once(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    File::options().read(true).custom_flags(flags).open(path)
}

/// From now on reading waits for what the pipe's writer writes.
pub fn let_wait(file: &File) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    Ok(rustix::fs::fcntl_setfl(file, flags.difference(OFlags::NONBLOCK))?)
}

/// Columns of the terminal that stdout is.
pub fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
}

/// The system's words for its error `number`: "No space left on device".
pub fn description(number: i32) -> Option<String> {
    match Errno::from_raw(number) {
        Errno::UnknownErrno => None,
        errno => Some(errno.desc().to_owned()),
    }
}

/// The SHA-256 of `bytes`, which browsers ask for.
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec()
}

/// This user's id, if this user may not make files in `directory`.
pub fn user_who_may_not_write(directory: &Path) -> Option<u32> {
    let answer = rustix::fs::accessat(CWD, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
    (answer == Err(rustix::io::Errno::ACCESS)).then(|| rustix::process::geteuid().as_raw())
}
