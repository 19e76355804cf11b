//! The system calls of a copy and nothing else, on one thread for each processor: `calls first|compare|look SRC DST`. No
//! copier that keeps and checks as much can be faster; hashes, records and decisions come on top.
//!
//! first: each directory listed and each file looked at, so that what does not fit is known before the first byte; then
//! open, pread, fstat (a source that changes shows itself by it), flistxattr; open, pwrite, futimens; two closes.
//! compare: for each file fstatat on the volume; open, fstat, pread, flistxattr and close in the source.
//! look: fstatat on both sides, and the listings.
//!
//! Trees of directories and regular files only.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat, Timespec, Timestamps};
use rustix::io::Result;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
const NEW: OFlags = OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::CLOEXEC);

struct Directory {
    parent: Option<Arc<Directory>>,
    name: CString,
    source: OwnedFd,
    stat: Stat,
    /// Its directory on the volume.
    volume: OnceLock<OwnedFd>,
    files: Vec<(CString, Stat)>,
}

/// What a thread keeps from file to file.
struct Room {
    names: Vec<MaybeUninit<u8>>,
    content: Vec<u8>,
    attributes: [u8; 1024],
}

impl Room {
    fn new() -> Self {
        Self {
            names: vec![MaybeUninit::uninit(); 32 << 10],
            content: vec![0; 4 << 20],
            attributes: [0; 1024],
        }
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [what, source, volume] = &arguments[..] else { panic!("usage: calls first|compare|look SRC DST") };
    // A handle for each directory.
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).expect("handles");
    let input = std::io::stdin();
    // Room for them at once: where threads share the table, each time that it grows stops them for milliseconds.
    let _ = rustix::io::fcntl_dupfd_cloexec(&input, 16_383);
    let source = rustix::fs::openat(CWD, source, DIRECTORY, Mode::empty()).expect("the source");
    let volume = rustix::fs::openat(CWD, volume, DIRECTORY, Mode::empty()).expect("the volume");
    let each: Each = match what.to_str() {
        Some("first") => |directory, name, _| Ok(Some(stat(&directory.source, name)?)),
        Some("compare") => compare,
        Some("look") => |directory, name, _| {
            stat(volume_of(directory), name)?;
            stat(&directory.source, name).map(|_| None)
        },
        _ => panic!("first, compare or look"),
    };
    let is_first = what == "first";
    let directories = walk(source, volume, is_first, each);
    if is_first {
        install(&directories);
    }
}

fn stat(directory: &OwnedFd, name: &CStr) -> Result<Stat> {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
}

fn volume_of(directory: &Directory) -> &OwnedFd {
    directory.volume.get().expect("opened with its directory")
}

fn compare(directory: &Directory, name: &CStr, room: &mut Room) -> Result<Option<Stat>> {
    stat(volume_of(directory), name)?;
    let file = rustix::fs::openat(&directory.source, name, FILE, Mode::empty())?;
    let before = rustix::fs::fstat(&file)?;
    read(&file, &before, room)?;
    rustix::fs::flistxattr(&file, &mut room.attributes)?;
    Ok(None)
}

/// All of it, with one call: a byte more than it should have is asked for.
fn read(file: &OwnedFd, stat: &Stat, room: &mut Room) -> Result<usize> {
    let size = usize::try_from(stat.st_size).expect("a size");
    rustix::io::pread(file, &mut room.content[..=size], 0)
}

/// On one thread for each processor.
fn threads(work: impl Fn(&mut Room) + Sync) {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..count).for_each(|_| drop(scope.spawn(|| work(&mut Room::new())))));
}

/// What is done for each file; `first` keeps what it has seen of it.
type Each = fn(&Directory, &CStr, &mut Room) -> Result<Option<Stat>>;

/// Goes through every directory, and answers them, parents first.
fn walk(source: OwnedFd, volume: OwnedFd, is_first: bool, each: Each) -> Vec<Arc<Directory>> {
    let stat = rustix::fs::fstat(&source).expect("the source");
    let root =
        Directory { parent: None, name: c".".into(), source, stat, volume: volume.into(), files: Vec::new() };
    // Directories to come, and how many are at work: those may find more.
    let tasks = Mutex::new((vec![root], 0));
    let done = Mutex::new(Vec::new());
    let take = || {
        let mut tasks = tasks.lock().expect("tasks");
        let task = tasks.0.pop();
        tasks.1 += usize::from(task.is_some());
        (task, tasks.1 == 0)
    };
    threads(|room| {
        loop {
            match take() {
                (Some(mut directory), _) => {
                    let below = list(&mut directory, each, room).expect("a directory");
                    let directory = Arc::new(directory);
                    let open = |name| open(&directory, name, is_first).expect("a directory");
                    let below: Vec<_> = below.into_iter().map(open).collect();
                    done.lock().expect("directories").push(directory);
                    let mut tasks = tasks.lock().expect("tasks");
                    tasks.0.extend(below);
                    tasks.1 -= 1;
                }
                (None, true) => return,
                (None, false) => std::thread::yield_now(),
            }
        }
    });
    done.into_inner().expect("directories")
}

/// Does what is to be done for each file of a directory, and answers the names of those below it.
fn list(directory: &mut Directory, each: Each, room: &mut Room) -> Result<Vec<CString>> {
    let mut names = std::mem::take(&mut room.names);
    let (mut files, mut below) = (Vec::new(), Vec::new());
    let mut entries = RawDir::new(&directory.source, &mut names);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        match entry.file_type() {
            FileType::Directory if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
            FileType::Directory => below.push(entry.file_name().to_owned()),
            _ => {
                let seen = each(directory, entry.file_name(), room)?;
                files.extend(seen.map(|stat| (entry.file_name().to_owned(), stat)));
            }
        }
    }
    room.names = names;
    directory.files = files;
    Ok(below)
}

fn open(parent: &Arc<Directory>, name: CString, is_first: bool) -> Result<Directory> {
    let source = rustix::fs::openat(&parent.source, &name, DIRECTORY, Mode::empty())?;
    let stat = rustix::fs::fstat(&source)?;
    let volume = OnceLock::new();
    if !is_first {
        let there = rustix::fs::openat(volume_of(parent), &name, DIRECTORY, Mode::empty())?;
        volume.get_or_init(|| there);
    }
    Ok(Directory { parent: Some(parent.clone()), name, source, stat, volume, files: Vec::new() })
}

fn install(directories: &[Arc<Directory>]) {
    let next = AtomicUsize::new(0);
    threads(|room| {
        while let Some(directory) = directories.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(parent) = &directory.parent {
                // Another thread is just making it.
                let at = loop {
                    match parent.volume.get() {
                        Some(at) => break at,
                        None => std::thread::yield_now(),
                    }
                };
                rustix::fs::mkdirat(at, &directory.name, Mode::from_raw_mode(directory.stat.st_mode))
                    .expect("a new directory");
                let made = rustix::fs::openat(at, &directory.name, DIRECTORY, Mode::empty());
                directory.volume.set(made.expect("a new directory")).expect("made once");
            }
            for (name, stat) in &directory.files {
                install_file(directory, name, stat, room).expect("a file");
            }
        }
    });
    let next = AtomicUsize::new(0);
    threads(|room| {
        while let Some(directory) = directories.get(next.fetch_add(1, Ordering::Relaxed)) {
            rustix::fs::flistxattr(&directory.source, &mut room.attributes).expect("attributes");
            rustix::fs::futimens(volume_of(directory), &times(&directory.stat)).expect("times");
        }
    });
}

fn install_file(directory: &Directory, name: &CStr, seen: &Stat, room: &mut Room) -> Result<()> {
    let from = rustix::fs::openat(&directory.source, name, FILE, Mode::empty())?;
    let len = read(&from, seen, room)?;
    let stat = rustix::fs::fstat(&from)?;
    rustix::fs::flistxattr(&from, &mut room.attributes)?;
    let to = rustix::fs::openat(volume_of(directory), name, NEW, Mode::from_raw_mode(stat.st_mode))?;
    if len > 0 {
        rustix::io::pwrite(&to, &room.content[..len], 0)?;
    }
    rustix::fs::futimens(&to, &times(&stat))
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() };
    Timestamps { last_access: time, last_modification: time }
}
