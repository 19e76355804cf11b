//! The image's version of a file or link, where its bytes are, and the result of installing it.

use std::borrow::Cow;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::Stat;

use crate::copy::io::metadata::Meta;
use crate::copy::manifest::{Content, Flags, Kind, Left, Payload, Record};

#[derive(Debug, Clone)]
pub(crate) struct Version<'a> {
    pub(crate) kind: Kind,
    pub(crate) meta: Meta,
    pub(crate) size: u64,
    pub(crate) content: Content<'a>,
    pub(crate) xattrs: Option<u64>,
}

impl Version<'_> {
    pub(crate) fn payload(&self) -> Payload<'_> {
        Payload { kind: self.kind, size: self.size, content: &self.content }
    }

    pub(crate) fn record<'r>(&'r self, name: &'r CStr, flags: Flags, left: Left<'r>) -> Record<'r> {
        Record {
            kind: self.kind,
            flags: Flags { left_out: false, ..flags },
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

/// An open source file.
pub(crate) struct Opened {
    pub(crate) file: OwnedFd,
    pub(crate) stat: Stat,
}

/// Where the bytes are.
#[derive(Clone, Copy)]
pub(crate) enum Data<'a> {
    /// In the worker's buffer: the length.
    Buffered(usize),
    /// In the file, which is read again.
    File(&'a Opened),
    /// Not needed: link to another name of the same file.
    LinkTo { dir: &'a OwnedFd, name: &'a CStr, ino: Option<u64> },
    /// A symbolic link: the version holds its target.
    Link,
    /// Unread: size and mtime match the manifest. Opened if needed.
    Trusted,
}

/// The image's entry under a name.
#[derive(Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub(crate) version: &'a Version<'a>,
    pub(crate) data: Data<'a>,
}

/// The result for a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    /// It is staged under its name.
    Staged,
    /// It was on the volume already, with this inode.
    InPlace(Option<u64>),
    /// The volume keeps something else under the name.
    Other,
}
