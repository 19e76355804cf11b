//! Writes a manifest under another name, then renames it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::copy::manifest::head::{HEADER, Head};
use crate::copy::manifest::text::escape;
use crate::support::rooted_dir::Dir;

/// Bytes of a manifest that are hashed and written at once.
pub(super) const HASHED: usize = 1 << 17;

/// Writes a manifest durably. `blocks` yields each directory with its records, sorted by path.
pub(crate) fn write(
    dir: &Dir,
    name: &OsStr,
    of: &Head,
    blocks: impl Iterator<Item = io::Result<(Box<[u8]>, Vec<u8>)>>,
) -> io::Result<()> {
    write_then(dir, (name, of), blocks, || {})
}

/// As [`write()`]; for `close` see [`rename`].
pub(crate) fn write_then(
    dir: &Dir,
    (name, of): (&OsStr, &Head),
    blocks: impl Iterator<Item = io::Result<(Box<[u8]>, Vec<u8>)>>,
    close: impl FnOnce(),
) -> io::Result<()> {
    let mut temp = name.to_owned();
    temp.push(".new");
    dir.remove_all(&temp)?;
    let file = dir.create_new(&temp, 0o660)?;
    // Other users of the volume's group continue with it, whatever the umask.
    let _ = rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o660));
    let mut out = Output { file, buffer: Vec::new(), hasher: blake3::Hasher::new() };
    let mut head = HEADER.to_vec();
    of.write(&mut head);
    out.put(&head)?;
    let mut count = 0;
    for block in blocks {
        let (path, records) = block?;
        head.clear();
        head.push(b'/');
        escape(&path, &mut head);
        head.push(b'\n');
        out.put(&head)?;
        out.put(&records)?;
        count += 1;
    }
    out.flush()?;
    let end = format!("end {count} {}\n", out.hasher.finalize().to_hex());
    out.file.write_all(end.as_bytes())?;
    out.file.sync_all()?;
    // Some network volumes cannot rename an open file.
    drop(out);
    rename((dir, &temp), (dir, name), close)?;
    sync_directory(dir)
}

/// How long a busy file is retried: a file that was just closed is released within moments.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// Renames a file over an earlier one. `close` is called if the volume cannot replace a file that this process has
/// open.
pub(crate) fn rename(
    (from, old): (&Dir, &OsStr),
    (to, new): (&Dir, &OsStr),
    close: impl FnOnce(),
) -> io::Result<()> {
    let busy = |error: &io::Error| error.kind() == io::ErrorKind::ResourceBusy;
    let mut renamed = from.rename(old, to, new);
    if renamed.as_ref().is_err_and(busy) {
        close();
        let begun = Instant::now();
        while renamed.as_ref().is_err_and(busy) && begun.elapsed() < PATIENCE {
            std::thread::sleep(PAUSE);
            renamed = from.rename(old, to, new);
        }
    }
    renamed
}

struct Output {
    file: File,
    buffer: Vec<u8>,
    hasher: blake3::Hasher,
}

impl Output {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= HASHED { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// fsync(2) of a directory. Where the volume cannot do that, it counts as success.
pub(crate) fn sync_directory(dir: &Dir) -> io::Result<()> {
    dir.sync().map(drop)
}

/// Updates a manifest's ctime: files with an earlier ctime are known to be as the manifest says.
pub(crate) fn touch(dir: &Dir, name: &OsStr) {
    let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
    // If refused, the next copy only reads more files.
    let _ = rustix::fs::utimensat(dir, name, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
}
