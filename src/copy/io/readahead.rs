//! Files of a cold source are asked for before they are read. Each is a request of its own to the disk; a thread that is
//! put to sleep and woken for one after the other takes more processor time for that than for the copy of what it has
//! read. So where reads are seen to reach a disk, the next files of a directory are opened, and the kernel is told to
//! read them (`POSIX_FADV_WILLNEED`) while the first is copied. Of a warm source nothing is asked.

use std::collections::VecDeque;
use std::ffi::CStr;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::resource::{UsageWho, getrusage};
use rustix::fs::{Advice, Mode};

use crate::copy::io::handles;
use crate::copy::io::sight::Sight;
use crate::copy::io::transfer::READ;

/// So many names of a directory at once. A cold copy took 3 % longer with 8 than with 32, and 10 % less time with 128.
pub(crate) const WINDOW: usize = 128;

/// So many bytes of each at most: what all workers together ask for does not fill the memory of a small pod. The rest of a
/// larger file is read in as few requests anyway.
const ASKED: u64 = 32 << 10;

/// Handles that a worker has beside directories and what was asked for, and that the caller has.
const BUSY: usize = 8;
const CALLER: usize = 32;

/// What the workers of a copy share: handles to spare, and what the last of them has seen.
#[derive(Debug)]
pub(crate) struct Spare {
    /// How many more handles all of them together may have of files that they asked for.
    handles: AtomicUsize,
    /// What the worker that looked last has found.
    cold: AtomicBool,
}

impl Spare {
    /// Of what the process may have: directories get one half, `workers` at work take from the other.
    pub(crate) fn beside(workers: usize) -> Self {
        let handles = handles::half().saturating_sub(CALLER + workers * BUSY);
        Self { handles: AtomicUsize::new(handles), cold: AtomicBool::new(false) }
    }

    fn take(&self) -> bool {
        self.handles.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    fn give_back(&self, handles: usize) {
        self.handles.fetch_add(handles, Ordering::Relaxed);
    }
}

/// What is there of a file before its turn.
#[derive(Default)]
pub(crate) struct Foreseen {
    /// What the space estimate saw.
    pub(crate) seen: Option<Sight>,
    /// It was asked for.
    pub(crate) file: Option<OwnedFd>,
}

/// What one worker has asked for.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// Files of the directory that it is in, by their place in the listing.
    files: VecDeque<(usize, OwnedFd)>,
    /// Blocks that its thread had read from disks when it was looked last.
    read: i64,
}

impl Ahead {
    /// Whether this worker had a disk read from since it looked last, or the one before it had: one that begins learns
    /// it from the others. Told by getrusage(2), `ru_inblock` of the thread, which counts what was only asked for too.
    pub(crate) fn is_cold(&mut self, spare: &Spare) -> bool {
        let read = getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| usage.block_reads());
        let cold = std::mem::replace(&mut self.read, read) != read;
        spare.cold.swap(cold, Ordering::Relaxed) || cold
    }

    /// Asks for files of the directory, in the order in which they are read. One that cannot be opened says why when it is
    /// its turn.
    pub(crate) fn ask<'n>(
        &mut self,
        source: &OwnedFd,
        files: impl Iterator<Item = (usize, &'n CStr)>,
        spare: &Spare,
    ) {
        for (at, name) in files {
            if !spare.take() {
                return;
            }
            // A link that is followed is opened when it is its turn.
            if let Ok(file) = rustix::fs::openat(source, name, READ, Mode::empty()) {
                // Where the advice is not taken, it is read when it is its turn.
                let _ = rustix::fs::fadvise(&file, 0, NonZeroU64::new(ASKED), Advice::WillNeed);
                self.files.push_back((at, file));
            } else {
                spare.give_back(1);
            }
        }
    }

    /// The file at that place, if it was asked for.
    pub(crate) fn take(&mut self, at: usize, spare: &Spare) -> Option<OwnedFd> {
        while self.files.front().is_some_and(|(place, _)| *place <= at) {
            spare.give_back(1);
            let (place, file) = self.files.pop_front()?;
            if place == at {
                return Some(file);
            }
        }
        None
    }

    /// Leaves the directory.
    pub(crate) fn clear(&mut self, spare: &Spare) {
        spare.give_back(self.files.len());
        self.files.clear();
    }
}
