//! Trees of files: what is in one, and whether two are the same, entry by entry; the releases that tests copy.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use hook_runner::internals::Dir;
use rustix::fs::{FileType, SeekFrom};

use crate::support::harness::PROGRAM;

/// What an entry is, as far as a copy has to keep it.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(crate) struct Entry {
    pub(crate) kind: FileType,
    pub(crate) mode: u32,
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) mtime: (i64, i64),
    pub(crate) content: Vec<u8>,
    pub(crate) sparse: bool,
    pub(crate) attributes: Vec<(String, Vec<u8>)>,
}

/// Groups of names of one file.
pub(crate) type Links = Vec<Vec<Vec<u8>>>;

/// Every entry below a directory by its path, and the groups of names that are one file. Reached name by name, as
/// the odd tree is deeper than a path can be long. FIFOs and sockets, and the runner's own state, are left out.
pub(crate) fn tree(root: &Path, owners: bool) -> (BTreeMap<Vec<u8>, Entry>, Links) {
    let mut entries = BTreeMap::new();
    let mut links: BTreeMap<(u64, u64), Vec<Vec<u8>>> = BTreeMap::new();
    let mut todo = vec![(Dir::open(root).unwrap(), Vec::new())];
    while let Some((dir, path)) = todo.pop() {
        for (name, kind) in dir.entries().unwrap() {
            if path.is_empty() && (name == ".hook-runner" || name == "lost+found") {
                continue;
            }
            let stat = dir.stat_at(&name).unwrap();
            let at = if path.is_empty() {
                name.as_bytes().to_vec()
            } else {
                [&path[..], name.as_bytes()].join(&b'/')
            };
            let mut entry = Entry {
                kind,
                mode: stat.st_mode & 0o7777,
                owner: owners.then_some((stat.st_uid, stat.st_gid)),
                mtime: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap()),
                content: Vec::new(),
                sparse: stat.st_size > 1 << 20 && stat.st_blocks * 512 < stat.st_size / 2,
                attributes: Vec::new(),
            };
            match kind {
                FileType::RegularFile => {
                    let file = dir.open_read(&name).unwrap();
                    entry.content = content(&file);
                    entry.attributes = attributes(&file);
                    if stat.st_nlink > 1 {
                        links.entry((stat.st_dev, stat.st_ino)).or_default().push(at.clone());
                    }
                }
                FileType::Directory => {
                    let child = dir.open_dir(&name).unwrap();
                    entry.attributes = attributes(&child);
                    todo.push((child, at.clone()));
                }
                FileType::Symlink => entry.content = dir.read_link(&name).unwrap().into_vec(),
                _ => continue,
            }
            entries.insert(at, entry);
        }
    }
    let mut links: Vec<_> = links.into_values().collect();
    for entry in entries.values_mut() {
        // How xfs keeps access control lists; they are under their other name, too.
        entry.attributes.retain(|(name, _)| !name.starts_with("trusted.SGI_ACL_"));
    }
    for names in &mut links {
        names.sort();
    }
    links.sort();
    (entries, links)
}

/// What a file holds, in short: the size, and a hash over what is not zero and where it is. Holes are not read.
fn content(file: &std::fs::File) -> Vec<u8> {
    const BLOCK: u64 = 64 << 10;
    let size = file.metadata().unwrap().len();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&size.to_le_bytes());
    let (mut at, mut buffer) = (0, vec![0; 64 << 10]);
    while let Ok(data) = rustix::fs::seek(file, SeekFrom::Data(at)) {
        let end = rustix::fs::seek(file, SeekFrom::Hole(data)).unwrap_or(size);
        at = data / BLOCK * BLOCK;
        while at < end {
            let len = usize::try_from(BLOCK.min(size - at)).unwrap();
            file.read_exact_at(&mut buffer[..len], at).unwrap();
            if buffer[..len].iter().any(|byte| *byte != 0) {
                hasher.update(&at.to_le_bytes());
                hasher.update(&buffer[..len]);
            }
            at += BLOCK;
        }
    }
    hasher.finalize().as_bytes().to_vec()
}

pub(crate) fn attributes(file: impl AsFd) -> Vec<(String, Vec<u8>)> {
    let mut names = [0; 4096];
    let len = rustix::fs::flistxattr(&file, &mut names[..]).unwrap_or(0);
    let mut all = Vec::new();
    for name in names[..len].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8(name.to_vec()).unwrap();
        let mut value = [0; 4096];
        let len = rustix::fs::fgetxattr(&file, &*name, &mut value[..]).unwrap();
        all.push((name, value[..len].to_vec()));
    }
    all.sort();
    all
}

#[track_caller]
pub(crate) fn assert_same(source: &Path, volume: &Path, owners: bool) {
    assert_same_entries(source, volume, owners);
    assert_eq!(tree(volume, owners).1, tree(source, owners).1, "hard links");
}

/// As [`assert_same`], but which names are one file may differ.
#[track_caller]
pub(crate) fn assert_same_entries(source: &Path, volume: &Path, owners: bool) {
    let (wanted, found) = (tree(source, owners).0, tree(volume, owners).0);
    let shown = |path: &[u8]| {
        let shown = path.escape_ascii().to_string();
        shown[shown.len().saturating_sub(200)..].to_owned()
    };
    for (path, entry) in &wanted {
        assert_eq!(found.get(path), Some(entry), "{}", shown(path));
    }
    for path in found.keys() {
        let below = found.keys().filter(|other| other.starts_with(path)).count();
        assert!(wanted.contains_key(path), "{} is on the volume only, {below} entries", shown(path));
    }
}

/// Each file found is one of the one release or of the other; each name that both have is there, if it was `there`
/// before. Answers whether there is something of both.
#[track_caller]
pub(crate) fn old_or_new(
    found: &BTreeMap<Vec<u8>, Entry>,
    releases: &[BTreeMap<Vec<u8>, Entry>; 2],
    there: bool,
    when: &str,
) -> bool {
    let mut of = [0, 0];
    for (path, entry) in found {
        let same = |tree: &BTreeMap<Vec<u8>, Entry>| {
            tree.get(path).is_some_and(|e| e.kind == entry.kind && e.content == entry.content)
        };
        let whole = releases.each_ref().map(same);
        assert!(whole[0] || whole[1], "{when}: {} is neither old nor new", path.escape_ascii());
        if entry.kind == FileType::RegularFile && releases.iter().all(|tree| tree.contains_key(path)) {
            of[0] += u32::from(whole[0]);
            of[1] += u32::from(whole[1]);
        }
    }
    for path in releases[0].keys().filter(|path| there && releases[1].contains_key(*path)) {
        assert!(found.contains_key(path), "{when}: {} is gone", path.escape_ascii());
    }
    of[0] > 0 && of[1] > 0
}

pub(crate) fn copy_command(from: &Path, to: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    // Releases of one image, wherever they are: the manifest is called `root`.
    command.arg("copy").arg(from).arg(to).args(["--owner", "root"]).stdin(Stdio::null());
    command
}

#[track_caller]
pub(crate) fn copied(from: &Path, to: &Path) -> Output {
    let output = copy_command(from, to).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

pub(crate) fn file(path: PathBuf, content: &[u8], mode: u32) {
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

pub(crate) fn time(seconds: i64, nanoseconds: u32) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let start = if seconds < 0 { SystemTime::UNIX_EPOCH - whole } else { SystemTime::UNIX_EPOCH + whole };
    start + Duration::from_nanos(nanoseconds.into())
}
/// Two releases that differ in many files, in types, and in what there is.
pub(crate) fn releases(at: &Path) -> [PathBuf; 2] {
    releases_of(at, 20)
}

/// The same with so many directories.
pub(crate) fn releases_of(at: &Path, dirs: u32) -> [PathBuf; 2] {
    ["first", "second"].map(|release| {
        let root = at.join(release);
        for d in 0..dirs {
            std::fs::create_dir_all(root.join(format!("d{d}/sub"))).unwrap();
            for f in 0..6 {
                let content = format!("{release} {d} {f} ").repeat(200 * (f + 1));
                file(root.join(format!("d{d}/sub/f{f}")), content.as_bytes(), 0o644);
            }
        }
        file(root.join("large"), &release.as_bytes().repeat(600_000), 0o644);
        std::fs::create_dir_all(root.join(format!("only-{release}/deep/er"))).unwrap();
        file(root.join(format!("only-{release}/deep/er/file")), release.as_bytes(), 0o644);
        root
    })
}
