//! After the copy: recording how the run left what was installed, and comparing a volume with its manifest.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Mutex;

use rustix::fs::{FileType, Stat};

use super::Request;
use super::compare::{compare_content, hash_of};
use super::error::Error;
use super::filter::Filter;
use super::manifest::{self, Block, Content, Kind, Left, Manifest, Record, Spill, records};
use super::metadata::time_of;
use super::path::{join, shown};
use super::pool::Pool;
use super::record::in_force;
use super::report::VerifyReport;
use super::transfer;
use crate::support::rooted_dir::Dir;

/// Directories are looked at side by side, as on a network volume each look takes its time.
const WORKERS: usize = 16;

/// As [`super::seal()`].
pub(super) fn seal(request: &Request) -> Result<(), Error> {
    if request.options.dry_run {
        return Ok(());
    }
    let Some((dir, name, old)) = in_force(&request.destination, &request.state)? else { return Ok(()) };
    let failed = |e| Error::system("seal", &request.destination, e);
    let root = Dir::open(&request.destination).map_err(failed)?;
    let spill = Spill::default();
    let filter = Filter::new(&request.options)?;
    let pool = Pool::new((0..old.len()).collect::<Vec<_>>());
    pool.run(vec![Buffers::default(); WORKERS], |buffers, at| {
        seal_block(&root, &old, at, &spill, buffers, (request, &filter))
            .map_err(|e| Error::system("seal", request.destination.join(OsStr::from_bytes(old.path(at))), e))
    })?;
    let sorted = spill.sort();
    if sorted.same_as(&old).map_err(failed)? {
        return Ok(());
    }
    let blocks = sorted.directories().map(|(path, _, range)| {
        let mut block = Vec::new();
        sorted.load(range, &old, &mut block)?;
        Ok((Box::from(path), block))
    });
    root.sync_filesystem().map_err(failed)?;
    manifest::write(&dir, &name, blocks)
        .map_err(|e| Error::system("write the manifest in", &request.state, e))
}

#[derive(Clone, Default)]
struct Buffers {
    old: Vec<u8>,
    new: Vec<u8>,
    data: Vec<u8>,
}

fn seal_block(
    root: &Dir,
    old: &Manifest,
    at: usize,
    spill: &Spill,
    buffers: &mut Buffers,
    (request, filter): (&Request, &Filter),
) -> io::Result<()> {
    old.load(at, &mut buffers.old)?;
    buffers.new.clear();
    let dir = open(root, old.path(at), request.options.follow_destination_links, &request.destination)?;
    let skips_all = filter.skips_below(old.path(at));
    for record in records(&buffers.old) {
        let left = match record.kind {
            // What is the user's, or no longer the image's, keeps the base that it is compared with.
            _ if record.flags.kept || record.flags.orphan => None,
            // And what took no part in the copy is none of this run's.
            _ if skips_all || filter.skips(old.path(at), &record.name, record.kind == Kind::Dir) => None,
            Kind::Dir => None,
            Kind::File | Kind::Link => Some(as_it_is(dir.as_ref(), &record, &mut buffers.data)?),
        };
        match left.filter(|left| *left != record.left) {
            Some(left) => Record { left, ..record }.write(&mut buffers.new),
            None => record.write(&mut buffers.new),
        }
    }
    let block = if buffers.new == buffers.old {
        Block::Old(at)
    } else {
        Block::New { records: &buffers.new, orphans: true }
    };
    spill.add(old.path(at), block, manifest::overflow)
}

fn open(root: &Dir, path: &[u8], follow: bool, destination: &Path) -> io::Result<Option<Dir>> {
    let rel = OsStr::from_bytes(path);
    let opened = if follow { Dir::open(destination.join(rel)) } else { root.open_dir(rel) };
    match opened {
        Ok(dir) => Ok(Some(dir)),
        Err(error) => {
            use rustix::io::Errno;
            match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
                _ => Err(error),
            }
        }
    }
}

/// What the volume has under the name of a record.
fn as_it_is(dir: Option<&Dir>, record: &Record<'_>, buffer: &mut Vec<u8>) -> io::Result<Left<'static>> {
    let name = OsStr::from_bytes(&record.name);
    let Some((dir, stat)) = dir.map(|dir| Ok::<_, io::Error>((dir, dir.find(name)?))).transpose()? else {
        return Ok(Left::Absent);
    };
    let Some(stat) = stat else { return Ok(Left::Absent) };
    let c_name = CString::new(record.name.to_vec())?;
    let mode = stat.st_mode & 0o7777;
    let same_as = |kind: Kind, size: u64, mtime, content: &Content<'_>| -> io::Result<bool> {
        Ok(match (kind, FileType::from_raw_mode(stat.st_mode)) {
            (Kind::File, FileType::RegularFile) => transfer::size(&stat) == size && time_of(&stat) == mtime,
            (Kind::Link, FileType::Symlink) => {
                *content == Content::Target(dir.read_link(name)?.as_bytes().into())
            }
            _ => false,
        })
    };
    if same_as(record.kind, record.size, record.mtime, &record.content)? {
        return Ok(Left::AsImage);
    }
    if let Left::Other { kind, size, mtime, content, .. } = &record.left
        && same_as(*kind, *size, *mtime, content)?
    {
        return Ok(record.clone().into_owned().left);
    }
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => match hash_of(dir, &c_name, buffer)? {
            Some((hash, seen)) => Left::Other {
                kind: Kind::File,
                size: transfer::size(&seen),
                mtime: time_of(&seen),
                mode,
                content: Content::Hash(hash),
            },
            None => Left::Absent,
        },
        FileType::Symlink => Left::Other {
            kind: Kind::Link,
            size: 0,
            mtime: time_of(&stat),
            mode: 0o777,
            content: Content::Target(dir.read_link(name)?.as_bytes().to_vec().into()),
        },
        FileType::Directory => {
            Left::Other { kind: Kind::Dir, size: 0, mtime: time_of(&stat), mode, content: Content::None }
        }
        _ => Left::Absent,
    })
}

/// As [`super::verify`].
pub(super) fn verify(destination: &Path, state: &Path) -> Result<VerifyReport, Error> {
    let failed = |e| Error::unusable("open", destination, e);
    let root = Dir::open(destination).map_err(failed)?;
    let Some((_, _, manifest)) = in_force(destination, state)? else {
        return Err(Error::request(format!(
            "there is no manifest for {} in {}: nothing was copied there yet",
            destination.display(),
            state.display()
        )));
    };
    let report = Mutex::new(VerifyReport::default());
    let pool = Pool::new((0..manifest.len()).collect::<Vec<_>>());
    pool.run(vec![Buffers::default(); WORKERS], |buffers, at| {
        let found = verify_block(&root, &manifest, at, buffers).map_err(|e| {
            Error::system("verify", destination.join(OsStr::from_bytes(manifest.path(at))), e)
        })?;
        crate::support::mutex::lock(&report).merge(found);
        Ok(())
    })?;
    let mut report = crate::support::mutex::into_inner(report);
    report.sort();
    Ok(report)
}

fn verify_block(
    root: &Dir,
    manifest: &Manifest,
    at: usize,
    buffers: &mut Buffers,
) -> io::Result<VerifyReport> {
    let mut report = VerifyReport::default();
    manifest.load(at, &mut buffers.old)?;
    let dir = open(root, manifest.path(at), false, Path::new(""))?;
    for record in records(&buffers.old) {
        if record.flags.kept || record.flags.orphan {
            report.kept += 1;
            continue;
        }
        let path = shown(&join(manifest.path(at), &record.name));
        let name = OsStr::from_bytes(&record.name);
        let stat = match &dir {
            Some(dir) => dir.find(name)?,
            None => None,
        };
        match (stat, record.as_left(), &dir) {
            (None, None, _) => report.matching += 1,
            (None, Some(_), _) => report.missing.push(path),
            (Some(_), None, _) => report.modified.push(path),
            (Some(stat), Some(left), Some(dir)) => {
                verify_entry(dir, &record, &stat, left, path, &mut report, &mut buffers.data)?;
            }
            (Some(_), Some(_), None) => {}
        }
    }
    Ok(report)
}

fn verify_entry(
    dir: &Dir,
    record: &Record<'_>,
    stat: &Stat,
    (kind, size, _, mode, content): (Kind, u64, manifest::Time, u32, &Content<'_>),
    path: String,
    report: &mut VerifyReport,
    buffer: &mut Vec<u8>,
) -> io::Result<()> {
    let name = CString::new(record.name.to_vec())?;
    let same = match kind {
        Kind::Dir => FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
        _ => compare_content(dir, &name, kind, size, content, stat, buffer)?,
    };
    // mkdir(2): a directory made in one with the set-group-ID bit has it too; a volume with an fsGroup has it.
    let inherited = if kind == Kind::Dir { 0o2000 & !mode } else { 0 };
    if !same {
        report.modified.push(path);
    } else if kind != Kind::Link && stat.st_mode & 0o7777 & !inherited != mode {
        report.mode.push(path);
    } else {
        report.matching += 1;
    }
    Ok(())
}
