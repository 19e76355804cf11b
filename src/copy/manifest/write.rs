//! Writing a manifest, under another name first.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::copy::manifest::head::{HEADER, Head};
use crate::copy::manifest::text::escape;
use crate::support::rooted_dir::Dir;

/// So many bytes of a manifest are hashed, and written, at once.
pub(super) const HASHED: usize = 1 << 17;

/// Writes a manifest; durable on return. `blocks` gives each directory with its records, in the order of their paths.
pub(crate) fn write(
    dir: &Dir,
    name: &OsStr,
    of: &Head,
    blocks: impl Iterator<Item = io::Result<(Box<[u8]>, Vec<u8>)>>,
) -> io::Result<()> {
    write_then(dir, (name, of), blocks, || {})
}

/// As [`write()`]; `close` as in [`rename`].
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
    // Another user of the volume's group goes on with it, whatever the umask is.
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
    // Some network volumes rename no open file.
    drop(out);
    rename((dir, &temp), (dir, name), close)?;
    sync_directory(dir)
}

/// For so long a file that is busy is tried again: what was closed is let go of within moments.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// Gives a file the name of one before it; `close` is called where the volume replaces no open file, and this process has
/// that one open.
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

/// fsync(2) of a directory. Some volumes cannot: there, names are as durable as they get.
pub(crate) fn sync_directory(dir: &Dir) -> io::Result<()> {
    dir.sync().map(drop)
}

/// Moves a manifest's ctime forward: what has an earlier one is as the manifest says.
pub(crate) fn touch(dir: &Dir, name: &OsStr) {
    let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
    // Where it is not permitted, more is read the next time.
    let _ = rustix::fs::utimensat(dir, name, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
}
