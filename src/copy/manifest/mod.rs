//! The manifest of a destination: what the last copy installed, one block per directory, blocks sorted by path and
//! records sorted by name, so that the same tree always gives the same bytes.
//!
//! ```text
//! hook-runner manifest 2
//! owner /content          who installed what follows, escaped
//! since 1764300000000000000   nanoseconds: of two owners of a name, the later one has it
//! version sha256:0f…      what the source was called (`--source-version`), where it was
//! lacks modes,times=1000000000   what the volume cannot keep (times: to so many nanoseconds), where there is such
//! /                       a directory, escaped; the records below are its entries
//! d - 755 0 0 0 1690000000.000000000 - - = templates
//! /templates
//! f - 644 0 0 …
//! end 2 <blake3 of everything before this line>
//! ```
//!
//! Version 0.1 wrote the same under the header `hook-runner manifest 1`, without these lines.
//!
//! It is read block by block and written in one stream: what stays in memory is the path and place of each block.

pub(super) mod record;
pub(super) mod spill;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(super) use record::{Content, Flags, Hash, Hashing, Kind, Left, Record, Time};
pub(super) use spill::{Block, Spill, overflow, overflow_in_memory};

use rustix::io::Errno;

use crate::support::rooted_dir::Dir;

const HEADER: &[u8] = b"hook-runner manifest 2\n";
const HEADER_0_1: &[u8] = b"hook-runner manifest 1\n";

/// Whose manifest it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The name of the copy.
    pub(super) owner: Vec<u8>,
    /// When this owner first copied into this destination, in nanoseconds since the epoch; none in a manifest of 0.1.
    pub(super) since: Option<u64>,
    /// What the source was called.
    pub(super) source_version: Option<Vec<u8>>,
    /// What the volume cannot keep, in words: a difference in it is none.
    pub(super) lacks: Option<String>,
}

/// A manifest that was read.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    pub(super) head: Head,
    /// When it came into force, by the volume's clock (its ctime): what has a later ctime was touched since.
    pub(super) written: Time,
    file: Option<File>,
    /// Sorted by path. The path of the destination itself is empty.
    blocks: Vec<Placed>,
}

/// Where the records of a directory are.
#[derive(Debug)]
struct Placed {
    path: Box<[u8]>,
    offset: u64,
    len: u64,
}

/// What became of reading a manifest.
pub(super) enum Reading {
    Read(Manifest),
    Absent,
    /// It is there, but cannot be trusted: torn, altered, or of a newer version.
    Unusable,
}

impl Manifest {
    /// Reads the manifest called `name` and checks it as a whole.
    pub(super) fn read(dir: &Dir, name: &OsStr) -> io::Result<Reading> {
        let file = match dir.open_read(name) {
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOENT) => return Ok(Reading::Absent),
                // A symbolic link or a socket that somebody put there: replaced by the next manifest.
                Some(Errno::LOOP | Errno::NXIO) => return Ok(Reading::Unusable),
                _ => return Err(error),
            },
            Ok(file) => file,
        };
        if !file.metadata()?.is_file() {
            return Ok(Reading::Unusable);
        }
        let stat = rustix::fs::fstat(&file)?;
        let written = (stat.st_ctime, u32::try_from(stat.st_ctime_nsec).unwrap_or(0));
        Ok(match index(&file)? {
            Some((head, blocks)) => Reading::Read(Self { head, written, file: Some(file), blocks }),
            None => Reading::Unusable,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// The position of a directory's block.
    pub(super) fn find(&self, path: &[u8]) -> Option<usize> {
        self.blocks.binary_search_by(|block| (*block.path).cmp(path)).ok()
    }

    /// The blocks of the directory `path` and of everything below it, by position.
    pub(super) fn subtree(&self, path: &[u8]) -> impl Iterator<Item = usize> + '_ {
        let own = self.find(path);
        let mut prefix = path.to_vec();
        if !path.is_empty() {
            prefix.push(b'/');
        }
        let start = self.blocks.partition_point(|block| *block.path < *prefix);
        let below =
            self.blocks[start..].iter().take_while(move |block| block.path.starts_with(&prefix)).count();
        own.into_iter().chain((start..start + below).filter(move |at| Some(*at) != own))
    }

    pub(super) fn path(&self, at: usize) -> &[u8] {
        &self.blocks[at].path
    }

    /// Reads the records of a block into `into` (cleared first).
    pub(super) fn load(&self, at: usize, into: &mut Vec<u8>) -> io::Result<()> {
        let block = &self.blocks[at];
        into.clear();
        into.resize(usize::try_from(block.len).map_err(|_| io::ErrorKind::OutOfMemory)?, 0);
        match &self.file {
            Some(file) => file.read_exact_at(into, block.offset),
            None => Ok(()),
        }
    }
}

/// The records of a loaded block.
pub(super) fn records(block: &[u8]) -> impl Iterator<Item = Record<'_>> {
    // What cannot be parsed was refused when the manifest was read: its digest would not have matched.
    block.split(|b| *b == b'\n').filter(|line| !line.is_empty()).filter_map(Record::parse)
}

/// The records of one directory from several pieces, sorted by name. Of two with one name the first counts, but that the
/// digest of a directory's attributes may come later, from where it was opened.
pub(super) fn join(pieces: &[u8], into: &mut Vec<u8>) {
    let mut sorted: Vec<Record<'_>> = records(pieces).collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    sorted.dedup_by(|later, first| {
        let same = later.name == first.name;
        if same && (first.kind, later.kind) == (Kind::Dir, Kind::Dir) {
            first.xattrs = first.xattrs.or(later.xattrs);
        }
        same
    });
    into.clear();
    for record in sorted {
        record.write(into);
    }
}

/// As [`join`], with all of one name that differ.
pub(super) fn gather(pieces: &[u8], into: &mut Vec<u8>) {
    let mut sorted: Vec<Record<'_>> = records(pieces).collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    sorted.dedup();
    into.clear();
    for record in sorted {
        record.write(into);
    }
}

/// So many bytes of a manifest are hashed, and written, at once.
const HASHED: usize = 1 << 17;

/// Reads through the whole file; `None` when it is not a manifest of this version, complete and unaltered.
fn index(file: &File) -> io::Result<Option<(Head, Vec<Placed>)>> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut hasher = blake3::Hasher::new();
    // Lines that are not hashed yet: many at once go through BLAKE3's wide steps.
    let mut lines = Vec::with_capacity(HASHED + 4096);
    let mut offset = 0;
    let mut blocks: Vec<Placed> = Vec::new();
    let mut head = Head::default();
    loop {
        if lines.len() >= HASHED {
            hasher.update(&lines);
            lines.clear();
        }
        let start = lines.len();
        let read = reader.read_until(b'\n', &mut lines)?;
        let line = &lines[start..];
        if line.last() != Some(&b'\n') {
            return Ok(None);
        }
        if offset == 0 {
            if line != HEADER && line != HEADER_0_1 {
                return Ok(None);
            }
        } else if blocks.is_empty() && head.read(&line[..line.len() - 1]) {
        } else if let Some(path) = line.strip_prefix(b"/") {
            let Some(path) = record::unescape(&path[..path.len() - 1]) else { return Ok(None) };
            if blocks.last().is_some_and(|last| *last.path >= *path) {
                return Ok(None);
            }
            let start = offset + read as u64;
            blocks.push(Placed { path: path.into(), offset: start, len: 0 });
        } else if let Some(end) = line.strip_prefix(b"end ") {
            hasher.update(&lines[..start]);
            let expected = format!("{} {}\n", blocks.len(), hasher.finalize().to_hex());
            let whole = end == expected.as_bytes() && reader.read(&mut [0])? == 0;
            return Ok(whole.then_some((head, blocks)));
        } else {
            let Some(block) = blocks.last_mut() else { return Ok(None) };
            block.len += read as u64;
        }
        offset += read as u64;
    }
}

/// Writes a manifest; durable on return. `blocks` gives each directory with its records, in the order of their paths.
pub(super) fn write(
    dir: &Dir,
    name: &OsStr,
    of: &Head,
    blocks: impl Iterator<Item = io::Result<(Box<[u8]>, Vec<u8>)>>,
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
        record::escape(&path, &mut head);
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
    dir.rename(&temp, dir, name)?;
    sync_directory(dir)
}

impl Head {
    fn write(&self, out: &mut Vec<u8>) {
        let line = |out: &mut Vec<u8>, word: &[u8], value: &[u8]| {
            out.extend_from_slice(word);
            record::escape(value, out);
            out.push(b'\n');
        };
        line(out, b"owner ", &self.owner);
        if let Some(since) = self.since {
            line(out, b"since ", since.to_string().as_bytes());
        }
        if let Some(version) = &self.source_version {
            line(out, b"version ", version);
        }
        if let Some(lacks) = &self.lacks {
            line(out, b"lacks ", lacks.as_bytes());
        }
    }

    /// Takes in a line of the head; false for any other.
    fn read(&mut self, line: &[u8]) -> bool {
        let value = |word: &[u8]| line.strip_prefix(word).and_then(record::unescape);
        if let Some(owner) = value(b"owner ") {
            self.owner = owner.into_owned();
        } else if let Some(since) = value(b"since ") {
            self.since = std::str::from_utf8(&since).ok().and_then(|text| text.parse().ok());
        } else if let Some(version) = value(b"version ") {
            self.source_version = Some(version.into_owned());
        } else if let Some(lacks) = value(b"lacks ") {
            self.lacks = Some(String::from_utf8_lossy(&lacks).into_owned());
        } else {
            return false;
        }
        true
    }
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
pub(super) fn sync_directory(dir: &Dir) -> io::Result<()> {
    dir.sync().map(drop)
}

/// Moves a manifest's ctime forward: what has an earlier one is as the manifest says.
pub(super) fn touch(dir: &Dir, name: &OsStr) {
    let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
    // Where it is not permitted, more is read the next time.
    let _ = rustix::fs::utimensat(dir, name, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
}

/// The file name of an owner's manifest. It has no dot, so that what is beside a manifest under a name with one is told
/// from another owner's.
pub(super) fn file_name(owner: &[u8]) -> std::ffi::OsString {
    let mut name = String::new();
    for byte in owner.strip_prefix(b"/").unwrap_or(owner) {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(*byte));
        } else {
            let _ = std::fmt::Write::write_fmt(&mut name, format_args!("%{byte:02x}"));
        }
    }
    // A file name holds 255 bytes, and `.part-…` and `.new` are added to this one.
    if name.len() > 160 || name.is_empty() || owner.is_empty() {
        name.truncate(100);
        name.push_str("%-");
        name.push_str(&blake3::hash(owner).to_hex()[..32]);
    }
    name.into()
}

/// The file name that version 0.1 gave to a destination's manifest: the destination as seen from the directory that holds the state
/// directory, so that it is found again wherever the volume is mounted; its absolute path where it is elsewhere.
pub(super) fn name_of(destination: &Path, state: &Path) -> std::ffi::OsString {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let destination = real(destination);
    let home = real(state.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")));
    let key = destination.strip_prefix(&home).unwrap_or(&destination).as_os_str().as_bytes();
    let mut name = String::from("root");
    if !key.is_empty() {
        name.clear();
        for byte in key {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
                name.push(char::from(*byte));
            } else {
                let _ = std::fmt::Write::write_fmt(&mut name, format_args!("%{byte:02x}"));
            }
        }
        // A file name holds 255 bytes, and `.part-…` and `.new` are added to this one.
        if name.len() > 160 || name == "root" {
            name.truncate(100);
            name.push_str("%-");
            name.push_str(&blake3::hash(key).to_hex()[..32]);
        }
    }
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<(Box<[u8]>, Vec<u8>)> {
        let mut block = Vec::new();
        Record::parse(b"d - 755 0 0 0 1.000000000 - - = sub").unwrap().write(&mut block);
        vec![
            (Box::from(&b""[..]), block.clone()),
            (Box::from(&b"sub"[..]), block.clone()),
            (Box::from(&b"sub-2"[..]), block),
        ]
    }

    #[test]
    fn a_manifest_reads_back_and_an_altered_or_torn_one_is_not_trusted() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let name = OsStr::new("root");
        assert!(matches!(Manifest::read(&dir, name).unwrap(), Reading::Absent));
        let head = Head {
            owner: b"a b".to_vec(),
            since: Some(7),
            source_version: Some(b"v\n1".to_vec()),
            lacks: Some("modes".into()),
        };
        write(&dir, name, &head, sample().into_iter().map(Ok)).unwrap();
        let Reading::Read(manifest) = Manifest::read(&dir, name).unwrap() else { panic!("must be read") };
        assert_eq!((manifest.len(), &manifest.head), (3, &head));
        assert_eq!(manifest.subtree(b"sub").map(|at| manifest.path(at)).collect::<Vec<_>>(), [b"sub"]);
        let mut block = Vec::new();
        manifest.load(1, &mut block).unwrap();
        assert_eq!(records(&block).next().unwrap().name.as_ref(), b"sub");

        let whole = std::fs::read(temp.path().join("root")).unwrap();
        for torn in [0, 10, whole.len() / 2, whole.len() - 1] {
            std::fs::write(temp.path().join("root"), &whole[..torn]).unwrap();
            assert!(matches!(Manifest::read(&dir, name).unwrap(), Reading::Unusable), "cut at {torn}");
        }
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            std::fs::write(temp.path().join("root"), &altered).unwrap();
            assert!(matches!(Manifest::read(&dir, name).unwrap(), Reading::Unusable), "altered at {at}");
        }
    }

    #[test]
    fn a_manifest_is_found_wherever_the_volume_is_mounted() {
        let temp = tempfile::tempdir().unwrap();
        for mount in ["a", "b"] {
            std::fs::create_dir_all(temp.path().join(mount).join("app/static")).unwrap();
        }
        let name = |mount: &str, sub: &str| {
            let mount = temp.path().join(mount);
            name_of(&mount.join(sub), &mount.join(".hook-runner"))
        };
        assert_eq!(name("a", ""), "root");
        assert_eq!(name("a", "app/static"), name("b", "app/static"));
        assert_ne!(name("a", "app"), name("a", "app/static"));
    }
}
