//! Explains why a command cannot be started: after execve(2) refused the file, examines it for the cause, which the
//! error rarely tells (a script with a missing interpreter gives "No such file or directory"). Changes nothing.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access};

use crate::support::cause::words;

/// A command that could not be started. The message says what, why and what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot execute {}: {reason}", command.display())]
pub struct SpawnError {
    /// The command as given, or as found in PATH.
    pub command: PathBuf,
    pub reason: Reason,
}

/// The cause, which decides the status (POSIX shells: 127 not found, 126 not executable).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// No directory of PATH has it.
    #[error("not found in PATH ({}); give its absolute path, or add it to the image", path.display())]
    NotInPath {
        /// The PATH that was searched.
        path: OsString,
    },
    /// The file does not exist.
    #[error("no such file; is the volume or ConfigMap with it mounted there?")]
    Missing,
    /// The file cannot be read, or a directory above it cannot be entered.
    #[error(
        "a directory above it may not be entered by user {uid}; see the directory's mode and the pod's runAsUser and fsGroup"
    )]
    Unreachable {
        /// Effective user id of the runner.
        uid: u32,
    },
    /// The working directory cannot be used.
    #[error("its workdir {} cannot be entered: {why}; check the path, and what is mounted there", path.display())]
    Workdir {
        /// As given.
        path: PathBuf,
        /// The reason in words.
        why: &'static str,
    },
    /// It is a directory.
    #[error("it is a directory; name the file to execute in it")]
    Directory,
    /// A device, socket or FIFO.
    #[error("it is a device, a socket or a pipe; name a program or a script")]
    NotRegular,
    /// The file has no execute bit, as `ConfigMap`s are mounted by default.
    #[error(
        "it has no execute permission for user {uid} (mode {mode:04o}); mount the ConfigMap or Secret with `defaultMode: 0555`, or run it by its interpreter"
    )]
    NoExecuteBit {
        /// Permission bits of the file.
        mode: u32,
        /// Effective user id of the runner.
        uid: u32,
    },
    /// The filesystem does not allow execution.
    #[error("its filesystem is mounted noexec; mount the script from a ConfigMap or put it into the image")]
    NoExec,
    /// A script from Windows: the kernel takes the carriage return as part of the interpreter's name.
    #[error(
        "its first line ends in CRLF, so the kernel looks for the interpreter {interpreter:?}; save the script with LF line ends"
    )]
    CarriageReturn {
        /// The interpreter with the carriage return.
        interpreter: String,
    },
    /// The image has no such interpreter.
    #[error(
        "its first line names the interpreter {interpreter}, which is not in this image; use one that is (`#!/bin/sh`), or another image"
    )]
    NoInterpreter {
        /// The interpreter in the `#!` line.
        interpreter: String,
    },
    /// The interpreter exists but cannot be executed.
    #[error("its first line names the interpreter {interpreter}, which cannot be executed: {why}")]
    BadInterpreter {
        /// The interpreter in the `#!` line.
        interpreter: String,
        /// The reason for that.
        why: String,
    },
    /// A text file without `#!`.
    #[error("it is no program and its first line is no `#!` line; begin the script with `#!/bin/sh`")]
    NoShebang,
    /// A byte-order mark hides the `#!`.
    #[error("a byte order mark stands before its `#!` line; save the script as UTF-8 without BOM")]
    ByteOrderMark,
    /// An empty file.
    #[error("it is empty; write what it is to do into it, beginning with `#!/bin/sh`")]
    Empty,
    /// A program for other hardware.
    #[error("it is a program for {found}, and this node is {node}; use an image for {node}")]
    Architecture {
        /// The architecture in the ELF header.
        found: String,
        /// The architecture of this program.
        node: &'static str,
    },
    /// A dynamically linked program without its loader in the image.
    #[error(
        "it needs the loader {loader}, which is not in this image (a glibc program in a musl image, or the reverse)"
    )]
    NoLoader {
        /// The path in the program's `PT_INTERP`.
        loader: String,
    },
    /// Arguments and environment exceed the kernel's limit.
    #[error(
        "its arguments and environment are longer than the kernel allows; give the larger ones in a file"
    )]
    TooLong,
    /// A NUL byte in the command or its environment.
    #[error("an argument or environment variable contains a NUL byte; no program can be given one")]
    Nul,
    /// The file is open for writing.
    #[error("it is being written by another process; let the step that writes it end first")]
    Busy,
    /// An ELF file for this hardware that the kernel nevertheless cannot load.
    #[error(
        "it is no program that this node can load ({why}); its file is cut short, or was made for another system"
    )]
    Damaged {
        /// The system's answer in words.
        why: String,
    },
    /// The path is refused for another reason: a loop of links, a name that is too long.
    #[error("{why}; check the path, and what is mounted there")]
    Path {
        /// The system's answer in words.
        why: String,
    },
    /// Anything else.
    #[error("{}; see the node's kernel log", words(.0))]
    Other(io::Error),
}

impl SpawnError {
    /// 127 if there is nothing to execute, else 126.
    pub fn status(&self) -> u8 {
        match self.reason {
            Reason::NotInPath { .. } | Reason::Missing => 127,
            _ => 126,
        }
    }

    /// The pipes for the output could not be created.
    pub fn pipes(command: &super::command::Command, error: io::Error) -> Self {
        let command = command.argv.first().cloned().unwrap_or_default().into();
        Self { command, reason: Reason::Other(error) }
    }

    pub(super) fn nul(program: &OsStr) -> Self {
        Self { command: program.into(), reason: Reason::Nul }
    }

    /// Explains what execve(2) of `file` answered.
    pub(super) fn explain(file: &Path, errno: Errno) -> Self {
        Self { command: file.into(), reason: explain(file, errno, 0) }
    }
}

fn explain(file: &Path, errno: Errno, depth: u8) -> Reason {
    let uid = nix::unistd::geteuid().as_raw();
    match errno {
        Errno::E2BIG => return Reason::TooLong,
        Errno::ETXTBSY => return Reason::Busy,
        _ => {}
    }
    let meta = match fs::metadata(file) {
        Ok(meta) => meta,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Reason::Missing,
                io::ErrorKind::PermissionDenied => Reason::Unreachable { uid },
                _ => Reason::Path { why: words(&error) },
            };
        }
    };
    if meta.is_dir() {
        return Reason::Directory;
    }
    if !meta.is_file() {
        return Reason::NotRegular;
    }
    if errno == Errno::EACCES {
        // For root, access(2) also needs one execute bit, as execve(2) does.
        let mode = meta.permissions().mode() & 0o7777;
        if mode & 0o111 == 0 {
            return Reason::NoExecuteBit { mode, uid };
        }
        if statvfs(file).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_NOEXEC)) {
            return Reason::NoExec;
        }
        if access(file, AccessFlags::X_OK).is_err() {
            return Reason::NoExecuteBit { mode, uid };
        }
    }
    from_contents(file, errno, depth)
}

fn from_contents(file: &Path, errno: Errno, depth: u8) -> Reason {
    let Ok(head) = head(file) else { return Reason::Other(errno.into()) };
    if head.is_empty() {
        return Reason::Empty;
    }
    if head.starts_with(b"\x7fELF") {
        return from_elf(file, &head, errno);
    }
    if head.starts_with(b"\xef\xbb\xbf#!") {
        return Reason::ByteOrderMark;
    }
    let Some(line) = head.strip_prefix(b"#!") else {
        return if errno == Errno::ENOEXEC { Reason::NoShebang } else { Reason::Other(errno.into()) };
    };
    from_shebang(line, errno, depth)
}

/// execve(2): the interpreter is the first word after `#!`.
fn from_shebang(line: &[u8], errno: Errno, depth: u8) -> Reason {
    let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let interpreter =
        line.split(|&byte| byte == b' ' || byte == b'\t').find(|word| !word.is_empty()).unwrap_or_default();
    let shown = String::from_utf8_lossy(interpreter).into_owned();
    if line.ends_with(b"\r") {
        return Reason::CarriageReturn { interpreter: shown };
    }
    if interpreter.is_empty() {
        return Reason::NoShebang;
    }
    let path = Path::new(OsStr::from_bytes(interpreter));
    if !path.exists() {
        return Reason::NoInterpreter { interpreter: shown };
    }
    // Linux follows at most five interpreters (exec_binprm).
    if depth < 5 {
        let why = explain(path, errno, depth + 1).to_string();
        return Reason::BadInterpreter { interpreter: shown, why };
    }
    Reason::Other(errno.into())
}

/// elf(5): `e_ident[EI_DATA]` at offset 5 is the byte order, `e_machine` is at offset 18.
fn from_elf(file: &Path, head: &[u8], errno: Errno) -> Reason {
    let Some(machine) = head.get(18..20).and_then(|bytes| <[u8; 2]>::try_from(bytes).ok()) else {
        return Reason::Damaged { why: words(&errno.into()) };
    };
    let machine = if head[5] == 2 { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) };
    let found = machine_name(machine);
    let node = std::env::consts::ARCH;
    if found != node {
        return Reason::Architecture { found, node };
    }
    if errno == Errno::ENOENT
        && let Some(loader) = loader(file)
    {
        return Reason::NoLoader { loader };
    }
    match errno {
        Errno::ENOEXEC | Errno::EINVAL | Errno::ELIBBAD => Reason::Damaged { why: words(&errno.into()) },
        _ => Reason::Other(errno.into()),
    }
}

/// `e_machine` in the words of Rust and uname(1) (elf.h).
fn machine_name(machine: u16) -> String {
    match machine {
        3 => "x86".into(),
        20 | 21 => "powerpc64".into(),
        22 => "s390x".into(),
        40 => "arm".into(),
        62 => "x86_64".into(),
        183 => "aarch64".into(),
        243 => "riscv64".into(),
        258 => "loongarch64".into(),
        other => format!("machine type {other}"),
    }
}

/// The path in `PT_INTERP` of a 64-bit little-endian program (elf(5)).
fn loader(file: &Path) -> Option<String> {
    use std::os::unix::fs::FileExt;
    let file = File::open(file).ok()?;
    let mut header = [0_u8; 64];
    file.read_exact_at(&mut header, 0).ok()?;
    if header[4] != 2 || header[5] != 1 {
        return None;
    }
    let table = u64::from_le_bytes(header[32..40].try_into().ok()?);
    let entry_size = u64::from(u16::from_le_bytes(header[54..56].try_into().ok()?));
    let entries = u64::from(u16::from_le_bytes(header[56..58].try_into().ok()?));
    for index in 0..entries {
        let mut entry = [0_u8; 56];
        file.read_exact_at(&mut entry, table.checked_add(index.checked_mul(entry_size)?)?).ok()?;
        if u32::from_le_bytes(entry[0..4].try_into().ok()?) == 3 {
            let offset = u64::from_le_bytes(entry[8..16].try_into().ok()?);
            let size = u64::from_le_bytes(entry[32..40].try_into().ok()?).min(4096);
            let mut name = vec![0; usize::try_from(size).ok()?];
            file.read_exact_at(&mut name, offset).ok()?;
            name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(name.len()));
            return String::from_utf8(name).ok();
        }
    }
    None
}

fn head(file: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    // The kernel reads 256 bytes (BINPRM_BUF_SIZE).
    File::open(file)?.take(256).read_to_end(&mut head)?;
    Ok(head)
}
