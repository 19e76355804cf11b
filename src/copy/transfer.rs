//! Bytes of one file from the source to the volume, hashed on the way. A file that fits the buffer takes one read
//! and one write; the read asks for one byte more than the size, so that a file that has grown shows itself and the
//! end needs no second read. Larger ones go through the same buffer piece by piece, as each byte has to pass the
//! hash anyway (`copy_file_range(2)` would leave a second read of the source for that); where source and volume
//! share a filesystem with reflinks, the blocks are shared instead of written. Holes stay holes.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{SeekFrom, Stat};
use rustix::io::Errno;

use super::manifest::Hash;

/// Fits the second-level cache of most processors, so that what was hashed is still there when it is written.
pub(super) const BUFFER: usize = 256 << 10;

/// Below this size a hole is not worth the calls that find it.
const SPARSE_FROM: u64 = 64 << 10;

/// Below this size sharing blocks gains nothing over writing them.
const CLONE_FROM: u64 = 64 << 10;

/// So much of a large file is written before the disk is set to work on it.
const FLUSH_EVERY: u64 = 8 << 20;

/// Reads a file of up to [`BUFFER`] bytes. The length may differ from `size` when the file changed.
pub(super) fn read_small(file: impl AsFd, size: usize, buffer: &mut Vec<u8>) -> io::Result<usize> {
    if buffer.len() <= BUFFER {
        *buffer = vec![0; BUFFER + 1];
    }
    let mut have = 0;
    let mut want = size + 1;
    loop {
        match rustix::io::pread(&file, &mut buffer[have..want.min(BUFFER + 1)], have as u64) {
            Ok(0) => return Ok(have),
            Ok(n) => {
                have += n;
                // Short of the size, or grown beyond it: go on until the end or the buffer's.
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

/// Whether the file has holes that are worth keeping.
pub(super) fn is_sparse(stat: &Stat) -> bool {
    size(stat) >= SPARSE_FROM && u64::try_from(stat.st_blocks).unwrap_or(0) * 512 < size(stat)
}

/// Larger, or more sparse, than what goes through a worker's buffer at once.
pub(super) fn is_large(stat: &Stat) -> bool {
    size(stat) > BUFFER as u64 || is_sparse(stat)
}

pub(super) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// False once the kernel has said that the two filesystems share no blocks.
#[derive(Debug)]
pub(super) struct Reflink(AtomicBool);

impl Default for Reflink {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl Reflink {
    /// Shares the blocks of a whole file; false where that cannot be.
    fn share(&self, from: impl AsFd, to: impl AsFd, size: u64) -> bool {
        if size < CLONE_FROM || !self.0.load(Ordering::Relaxed) {
            return false;
        }
        match rustix::fs::ioctl_ficlone(to, from) {
            Ok(()) => true,
            Err(errno) => {
                // EXDEV, EOPNOTSUPP, EINVAL, ENOTTY, EPERM: for good. Others may be this file's alone.
                if !matches!(errno, Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::TXTBSY) {
                    self.0.store(false, Ordering::Relaxed);
                }
                false
            }
        }
    }
}

/// Writes everything at an offset.
pub(super) fn write_all(file: impl AsFd, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
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

/// Has the kernel start writing a part of a file to the disk, so that the disk works while the copy goes on and the sync
/// at the end finds little left. `POSIX_FADV_DONTNEED` does that first (mm/fadvise.c: "start async writeback"), and
/// waits for nothing; the pages, dirty still, stay where they are. Advice: what comes of it does not matter.
fn start_writing(file: impl AsFd, at: u64, len: u64) {
    let _ = rustix::fs::fadvise(file, at, std::num::NonZeroU64::new(len), rustix::fs::Advice::DontNeed);
}

/// Which side of a transfer failed: the caller names the path.
#[derive(Debug)]
pub(super) enum Failed {
    Reading(io::Error),
    Writing(io::Error),
    Stopped,
}

/// Reads a whole file of any size, hashes it, and writes it to `to` where given. `step` is told of each piece and
/// says whether to go on. Answers the hash and how many bytes there were.
pub(super) fn stream(
    from: impl AsFd,
    stat: &Stat,
    to: Option<std::os::fd::BorrowedFd<'_>>,
    reflink: &Reflink,
    buffer: &mut Vec<u8>,
    step: &mut dyn FnMut(u64) -> bool,
) -> Result<(Hash, u64), Failed> {
    if buffer.len() <= BUFFER {
        *buffer = vec![0; BUFFER + 1];
    }
    let size = size(stat);
    let shared = to.is_some_and(|to| reflink.share(&from, to, size));
    let to = if shared { None } else { to };
    let sparse = is_sparse(stat);
    let mut hasher = blake3::Hasher::new();
    let mut at = 0;
    let mut flushed = 0;
    let mut data_end = if sparse { 0 } else { u64::MAX };
    loop {
        if at >= data_end {
            // In a hole: find the next data.
            let data = match rustix::fs::seek(&from, SeekFrom::Data(at)) {
                Ok(data) => data,
                Err(Errno::NXIO) => size.max(at),
                Err(errno) => return Err(Failed::Reading(errno.into())),
            };
            hash_zeros(&mut hasher, data - at, step)?;
            at = data;
            if at >= size {
                break;
            }
            data_end = match rustix::fs::seek(&from, SeekFrom::Hole(at)) {
                Ok(hole) => hole,
                Err(Errno::NXIO) => u64::MAX,
                Err(errno) => return Err(Failed::Reading(errno.into())),
            };
        }
        let want = usize::try_from((data_end - at).min(BUFFER as u64)).unwrap_or(BUFFER);
        let n = match rustix::io::pread(&from, &mut buffer[..want], at) {
            Ok(0) => break,
            Ok(n) => n,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(Failed::Reading(errno.into())),
        };
        hasher.update(&buffer[..n]);
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
    if let (Some(to), true) = (to, sparse) {
        rustix::fs::ftruncate(to, at).map_err(|errno| Failed::Writing(errno.into()))?;
    }
    Ok((*hasher.finalize().as_bytes(), at))
}

fn hash_zeros(
    hasher: &mut blake3::Hasher,
    mut len: u64,
    step: &mut dyn FnMut(u64) -> bool,
) -> Result<(), Failed> {
    // Small, as it is stored in the program; BLAKE3's widest step takes 16 KiB.
    static ZEROS: [u8; 1 << 14] = [0; 1 << 14];
    while len > 0 {
        let n = len.min(ZEROS.len() as u64);
        hasher.update(&ZEROS[..usize::try_from(n).unwrap_or(0)]);
        len -= n;
        if !step(n) {
            return Err(Failed::Stopped);
        }
    }
    Ok(())
}
