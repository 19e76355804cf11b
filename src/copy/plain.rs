//! A plain, sequential copy, file by file with a temporary name and a rename.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, Stat, Timespec, Timestamps};
use tokio_util::sync::CancellationToken;

use super::progress::Counters;
use super::{Error, Progress, Report, Request};
use crate::beneath::Dir;

struct Plain<'a> {
    report: Report,
    counters: Counters,
    progress: &'a dyn Progress,
    cancel: &'a CancellationToken,
    protect: Vec<(u64, u64)>,
    linked: std::collections::HashMap<(u64, u64), PathBuf>,
    root: Dir,
}

pub(super) fn copy(
    request: &Request,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Report, Error> {
    let source = Dir::open(&request.source).map_err(|e| Error::unusable("open", &request.source, e))?;
    std::fs::create_dir_all(&request.destination)
        .map_err(|e| Error::unusable("create", &request.destination, e))?;
    let root =
        Dir::open(&request.destination).map_err(|e| Error::unusable("open", &request.destination, e))?;
    let protect = request
        .protect
        .iter()
        .chain([&request.state])
        .filter_map(|path| rustix::fs::lstat(path).ok())
        .map(|stat| (stat.st_dev, stat.st_ino))
        .collect();
    let top = root.reopen().map_err(|e| Error::system("open", &request.destination, e))?;
    let mut plain = Plain {
        report: Report::default(),
        counters: Counters::default(),
        progress,
        cancel,
        protect,
        linked: std::collections::HashMap::new(),
        root,
    };
    plain.dir(&source, &top, Path::new(""))?;
    top.sync_filesystem().map_err(|e| Error::system("sync", &request.destination, e))?;
    Ok(plain.report)
}

impl Plain<'_> {
    fn dir(&mut self, source: &Dir, target: &Dir, path: &Path) -> Result<(), Error> {
        let mut entries = source.entries().map_err(|e| Error::system("read", path, e))?;
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (name, kind) in entries {
            if self.cancel.is_cancelled() {
                return Err(Error::cancelled());
            }
            let path = path.join(&name);
            if path.as_os_str() == ".hook-runner" || path.as_os_str() == "lost+found" {
                continue;
            }
            let there = target.find(&name).map_err(|e| Error::system("stat", &path, e))?;
            if there.is_some_and(|stat| self.protect.contains(&(stat.st_dev, stat.st_ino))) {
                continue;
            }
            let stat = source.stat_at(&name).map_err(|e| Error::system("stat", &path, e))?;
            let done = match kind {
                FileType::Directory => self.subdir(source, target, &name, &path, &stat, there.as_ref())?,
                FileType::RegularFile => self.file(source, target, &name, &path, &stat, there.as_ref()),
                FileType::Symlink => self.link(source, target, &name, there.as_ref()),
                _ => {
                    self.report.skipped.push(path.display().to_string());
                    Ok(())
                }
            };
            done.map_err(|e| Error::system("copy", &path, e))?;
            self.progress.update(&self.counters.snapshot());
        }
        Ok(())
    }

    fn subdir(
        &mut self,
        source: &Dir,
        target: &Dir,
        name: &OsStr,
        path: &Path,
        stat: &Stat,
        there: Option<&Stat>,
    ) -> Result<io::Result<()>, Error> {
        let failed = |e| Error::system("open", path, e);
        if there.is_none() {
            target.create_dir(name, 0o700).map_err(|e| Error::system("create", path, e))?;
            self.report.dirs += 1;
        }
        let child = target.open_dir(name).map_err(failed)?;
        self.dir(&source.open_dir(name).map_err(failed)?, &child, path)?;
        Ok(finish(child.as_fd(), stat))
    }

    fn file(
        &mut self,
        source: &Dir,
        target: &Dir,
        name: &OsStr,
        path: &Path,
        stat: &Stat,
        there: Option<&Stat>,
    ) -> io::Result<()> {
        let key = |s: &Stat| (s.st_size, s.st_mtime, s.st_mtime_nsec, s.st_mode);
        if there.is_some_and(|there| key(there) == key(stat)) {
            self.report.unchanged += 1;
            return Ok(());
        }
        let temp = OsString::from(format!(".hook-runner-{}", stat.st_ino));
        target.remove_all(&temp)?;
        let inode = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.linked.get(&inode) {
            let parent = self.root.open_dir(first.parent().unwrap_or(Path::new("")))?;
            rustix::fs::linkat(
                &parent,
                first.file_name().unwrap_or_default(),
                target,
                &temp,
                AtFlags::empty(),
            )?;
        } else {
            let mut from = source.open_read(name)?;
            let mut to = target.create_new(&temp, 0o600)?;
            let mut buffer = vec![0; 1 << 18];
            let mut at = 0;
            loop {
                let n = from.read(&mut buffer)?;
                if n == 0 {
                    break;
                }
                if buffer[..n].iter().all(|b| *b == 0) {
                    at += n as u64;
                    io::Seek::seek(&mut to, io::SeekFrom::Start(at))?;
                } else {
                    to.write_all(&buffer[..n])?;
                    at += n as u64;
                }
                self.counters.add(0, n as u64);
                self.report.bytes += n as u64;
            }
            to.set_len(at)?;
            finish(to.as_fd(), stat)?;
            if stat.st_nlink > 1 {
                self.linked.insert(inode, path.to_owned());
            }
        }
        target.rename(&temp, target, name)?;
        self.counters.add(1, 0);
        self.report.files += 1;
        Ok(())
    }

    fn link(&mut self, source: &Dir, target: &Dir, name: &OsStr, there: Option<&Stat>) -> io::Result<()> {
        let to = source.read_link(name)?;
        if there.is_some_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Symlink)
            && target.read_link(name)? == to
        {
            self.report.unchanged += 1;
            return Ok(());
        }
        let temp = OsString::from(".hook-runner-link");
        target.remove_all(&temp)?;
        rustix::fs::symlinkat(to.as_bytes(), target, &temp)?;
        target.rename(&temp, target, name)?;
        self.report.links += 1;
        Ok(())
    }
}

fn finish(fd: std::os::fd::BorrowedFd<'_>, stat: &Stat) -> io::Result<()> {
    use rustix::fs::{Gid, Uid};
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    let _ = rustix::fs::fchown(fd, Some(uid), Some(gid));
    rustix::fs::fchmod(fd, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.try_into().unwrap_or(0) };
    Ok(rustix::fs::futimens(fd, &Timestamps { last_access: time, last_modification: time })?)
}
