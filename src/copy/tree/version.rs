//! The image's version of a file or link, where its bytes are, and what became of it.

use std::borrow::Cow;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::Stat;

use crate::copy::io::metadata::Meta;
use crate::copy::manifest::{Content, Flags, Kind, Left, Payload, Record};

/// The image's version of a file or link.
#[derive(Debug, Clone)]
pub(crate) struct Version<'a> {
    pub(crate) kind: Kind,
    pub(crate) meta: Meta,
    pub(crate) size: u64,
    pub(crate) content: Content<'a>,
    pub(crate) xattrs: Option<u64>,
}

impl Version<'_> {
    /// What it holds.
    pub(crate) fn payload(&self) -> Payload<'_> {
        Payload { kind: self.kind, size: self.size, content: &self.content }
    }

    /// Its record.
    pub(crate) fn record<'r>(&'r self, name: &'r CStr, flags: Flags, left: Left<'r>) -> Record<'r> {
        Record {
            kind: self.kind,
            flags,
            mode: self.meta.mode,
            uid: self.meta.uid,
            gid: self.meta.gid,
            size: self.size,
            mtime: self.meta.mtime,
            content: self.content.clone(),
            xattrs: self.xattrs,
            left,
            name: Cow::Borrowed(name.to_bytes()),
        }
    }
}

/// A file of the source, opened.
pub(crate) struct Opened {
    pub(crate) file: OwnedFd,
    pub(crate) stat: Stat,
}

/// Where its bytes come from.
#[derive(Clone, Copy)]
pub(crate) enum Data<'a> {
    /// They are in the worker's buffer.
    Buffered(usize),
    /// They are read again.
    File(&'a Opened),
    /// They need not be copied: another name of the same file was.
    LinkTo { dir: &'a OwnedFd, name: &'a CStr, ino: Option<u64> },
    /// A symbolic link's target is in the version itself.
    Link,
    /// The image has what the manifest says, by its times; opened when needed.
    Trusted,
}

/// What the image has under a name.
#[derive(Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub(crate) version: &'a Version<'a>,
    pub(crate) data: Data<'a>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    /// It is in staging, under its name.
    Staged,
    /// It was on the volume, with this inode.
    InPlace(Option<u64>),
    /// The volume has something else under its name.
    Other,
}
