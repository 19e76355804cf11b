//! How content becomes durable: one syncfs(2) where that reaches the storage and reports errors, otherwise an fsync(2)
//! of each file by the worker that wrote it.

use std::io;

use crate::support::rooted_dir::Dir;

/// Values of `f_type` in statfs(2). FUSE servers (but virtiofs) are not told of a syncfs, and 9p and SMB clients do not
/// pass it on.
const WITHOUT_SYNCFS: [i64; 4] = [0x6573_5546, 0x0102_1997, 0xff53_4d42, 0xfe53_4d42];

/// Whether each file needs its own fsync.
pub(crate) fn needs_fsync(dir: &Dir) -> bool {
    let kind = rustix::fs::fstatfs(dir).map_or(0, |stat| stat.f_type);
    WITHOUT_SYNCFS.contains(&kind) || !syncfs_reports()
}

/// syncfs(2) reports write errors since Linux 5.8.
fn syncfs_reports() -> bool {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (5, 8)
}

/// fsync(2) of a file or directory. Where the filesystem cannot sync a directory, this counts as success.
pub(crate) fn sync_one(fd: impl std::os::fd::AsFd) -> io::Result<()> {
    use rustix::io::Errno;
    match rustix::fs::fsync(&fd) {
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
        done => Ok(done?),
    }
}

/// Makes all content and names below the directory durable.
pub(crate) fn sync(dir: &Dir) -> io::Result<()> {
    dir.sync_filesystem()
}
