//! Copies the bytes of one file from the source to the volume and hashes them. A file that fits the buffer takes one
//! read and one write; the read asks for one byte more than the size, which shows growth and saves a second read at the
//! end. A larger file goes through the same buffer in pieces: each byte has to be hashed, and `copy_file_range(2)`
//! would need a second read of the source. On a shared filesystem with reflinks the blocks are shared and not written.
//! Holes stay holes.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use crate::copy::manifest::{Hash, Hashing};

/// Fits the second-level cache of most processors, so that the bytes are still cached when they are written after
/// hashing.
pub(crate) const BUFFER: usize = 256 << 10;

/// How to open a source file. NONBLOCK, because a file in the listing may be a FIFO by now.
pub(crate) const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// In smaller files, finding holes costs more than it saves.
const SPARSE_FROM: u64 = 64 << 10;

/// With at least this many bytes of holes, the hash leaves them out.
const HOLES_FROM: u64 = 64 << 20;

/// The unit of holes in such a hash.
const BLOCK: u64 = 64 << 10;

/// For smaller files, sharing blocks gains nothing over writing.
const CLONE_FROM: u64 = 64 << 10;

/// After this many bytes of a large file, writeback is started.
const FLUSH_EVERY: u64 = 8 << 20;

/// Reads a file of up to [`BUFFER`] bytes. The returned length differs from `size` if the file changed.
pub(crate) fn read_small(file: impl AsFd, size: usize, buffer: &mut Vec<u8>) -> io::Result<usize> {
    if buffer.len() <= BUFFER {
        *buffer = vec![0; BUFFER + 1];
    }
    let mut have = 0;
    // Files of procfs and sysfs report size 0 and give their content to one read only.
    let mut want = if size == 0 { BUFFER + 1 } else { size + 1 };
    loop {
        match rustix::io::pread(&file, &mut buffer[have..want.min(BUFFER + 1)], have as u64) {
            Ok(0) => return Ok(have),
            Ok(n) => {
                have += n;
                // Shorter or longer than the size: read on to the end of the file or the buffer.
                if have == size || have > BUFFER {
                    return Ok(have);
                }
                want = BUFFER + 1;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

pub(crate) fn is_sparse(stat: &Stat) -> bool {
    size(stat) >= SPARSE_FROM && u64::try_from(stat.st_blocks).unwrap_or(0) * 512 < size(stat)
}

/// Whether a file is too large or too sparse to be copied through the buffer at once.
pub(crate) fn is_large(stat: &Stat) -> bool {
    size(stat) > BUFFER as u64 || is_sparse(stat)
}

pub(crate) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// False once the kernel has answered that the two filesystems cannot share blocks.
#[derive(Debug)]
pub(crate) struct Reflink(AtomicBool);

impl Default for Reflink {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl Reflink {
    /// Shares the blocks of a whole file; false where that is impossible.
    fn share(&self, from: impl AsFd, to: impl AsFd, size: u64) -> bool {
        if size < CLONE_FROM || !self.0.load(Ordering::Relaxed) {
            return false;
        }
        match rustix::fs::ioctl_ficlone(to, from) {
            Ok(()) => true,
            Err(errno) => {
                // EXDEV, EOPNOTSUPP, EINVAL, ENOTTY and EPERM hold for every file. The errors listed here may concern
                // this file only.
                if !matches!(errno, Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::TXTBSY) {
                    self.0.store(false, Ordering::Relaxed);
                }
                false
            }
        }
    }
}

/// Writes all bytes at an offset.
pub(crate) fn write_all(file: impl AsFd, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(&file, bytes, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = &bytes[n..];
                at += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Starts writeback of a part of a file, so that the disk works during the copy and the final sync finds little left.
/// `POSIX_FADV_DONTNEED` does this first (mm/fadvise.c: "start async writeback") without waiting; dirty pages stay
/// cached. Only advice: errors do not matter.
fn start_writing(file: impl AsFd, at: u64, len: u64) {
    let _ = rustix::fs::fadvise(file, at, std::num::NonZeroU64::new(len), rustix::fs::Advice::DontNeed);
}

/// Which side of a transfer failed; the caller knows the path.
#[derive(Debug)]
pub(crate) enum Failed {
    Reading(io::Error),
    Writing(io::Error),
    Stopped,
}

/// Where to write the bytes of a stream, and how to hash them.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) file: Option<std::os::fd::BorrowedFd<'a>>,
    pub(crate) reflink: Option<&'a Reflink>,
    pub(crate) how: Hashing,
}

impl Target<'_> {
    /// Only hashes.
    pub(crate) fn none(how: Hashing) -> Self {
        Self { file: None, reflink: None, how }
    }
}

/// How to hash a source file: large holes are left out.
pub(crate) fn hashing(stat: &Stat) -> Hashing {
    let holes = size(stat).saturating_sub(u64::try_from(stat.st_blocks).unwrap_or(0) * 512);
    if holes >= HOLES_FROM { Hashing::Sparse } else { Hashing::Whole }
}

/// Reads a whole file of any size, hashes it, and writes it to the target if there is one. `step` gets the size of each
/// piece and returns whether to go on. Returns the hash and the number of bytes.
pub(crate) fn stream(
    from: impl AsFd,
    stat: &Stat,
    target: Target<'_>,
    buffer: &mut Vec<u8>,
    step: &mut dyn FnMut(u64) -> bool,
) -> Result<(Hash, u64), Failed> {
    if buffer.len() <= BUFFER {
        *buffer = vec![0; BUFFER + 1];
    }
    let size = size(stat);
    let shared = target.file.zip(target.reflink).is_some_and(|(to, reflink)| reflink.share(&from, to, size));
    let to = if shared { None } else { target.file };
    let mut hasher = Hasher { blake3: blake3::Hasher::new(), how: target.how };
    let mut extents = Extents { sparse: is_sparse(stat) || target.how == Hashing::Sparse, size, end: 0 };
    let (mut at, mut flushed) = (0, 0);
    loop {
        let next = extents.data_from(&from, at)?;
        hasher.hole(next - at, step)?;
        at = next;
        if extents.sparse && at >= size {
            break;
        }
        let want = usize::try_from((extents.end - at).min(BUFFER as u64)).unwrap_or(BUFFER);
        let n = match rustix::io::pread(&from, &mut buffer[..want], at) {
            Ok(0) => break,
            Ok(n) => n,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(Failed::Reading(errno.into())),
        };
        // Fill up the block: the hash takes whole blocks.
        let n = if target.how == Hashing::Sparse { fill(&from, &mut buffer[..want], n, at)? } else { n };
        hasher.data(&buffer[..n], at);
        if let Some(to) = to {
            write_all(to, &buffer[..n], at).map_err(Failed::Writing)?;
        }
        at += n as u64;
        if at - flushed >= FLUSH_EVERY {
            if let Some(to) = to {
                start_writing(to, flushed, at - flushed);
            }
            flushed = at;
        }
        if !step(n as u64) {
            return Err(Failed::Stopped);
        }
    }
    if let (Some(to), true) = (to, extents.sparse) {
        rustix::fs::ftruncate(to, at).map_err(|errno| Failed::Writing(errno.into()))?;
    }
    Ok((hasher.finish(at), at))
}

fn fill(from: impl AsFd, buffer: &mut [u8], mut have: usize, at: u64) -> Result<usize, Failed> {
    while have < buffer.len() {
        match rustix::io::pread(&from, &mut buffer[have..], at + have as u64) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Failed::Reading(errno.into())),
        }
    }
    Ok(have)
}

/// Locates the data of a file with holes.
struct Extents {
    sparse: bool,
    size: u64,
    /// The end of the current data; the end of the file if it has no holes.
    end: u64,
}

impl Extents {
    /// The next offset with data, rounded down to a whole block.
    fn data_from(&mut self, from: impl AsFd, at: u64) -> Result<u64, Failed> {
        if !self.sparse {
            self.end = u64::MAX;
        }
        if at < self.end {
            return Ok(at);
        }
        let seek = |position| match rustix::fs::seek(&from, position) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NXIO) => Ok(None),
            Err(errno) => Err(Failed::Reading(errno.into())),
        };
        let Some(data) = seek(SeekFrom::Data(at))? else {
            self.end = self.size.max(at);
            return Ok(self.end);
        };
        let hole = seek(SeekFrom::Hole(data))?.unwrap_or(self.size);
        self.end = hole.next_multiple_of(BLOCK).max(at + BLOCK);
        Ok((data - data % BLOCK).max(at))
    }
}

/// A hash that can leave holes out.
struct Hasher {
    blake3: blake3::Hasher,
    how: Hashing,
}

impl Hasher {
    fn data(&mut self, bytes: &[u8], at: u64) {
        if self.how == Hashing::Whole {
            self.blake3.update(bytes);
            return;
        }
        for (n, block) in bytes.chunks(usize::try_from(BLOCK).unwrap_or(1 << 16)).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                self.blake3.update(&(at + n as u64 * BLOCK).to_le_bytes()).update(block);
            }
        }
    }

    fn hole(&mut self, mut len: u64, step: &mut dyn FnMut(u64) -> bool) -> Result<(), Failed> {
        // Kept small, because it is part of the binary; BLAKE3's widest step takes 16 KiB.
        static ZEROS: [u8; 1 << 14] = [0; 1 << 14];
        while len > 0 && self.how == Hashing::Whole {
            let n = len.min(ZEROS.len() as u64);
            self.blake3.update(&ZEROS[..usize::try_from(n).unwrap_or(0)]);
            len -= n;
            if !step(n) {
                return Err(Failed::Stopped);
            }
        }
        Ok(())
    }

    fn finish(mut self, size: u64) -> Hash {
        if self.how == Hashing::Sparse {
            self.blake3.update(&size.to_le_bytes());
        }
        *self.blake3.finalize().as_bytes()
    }
}
