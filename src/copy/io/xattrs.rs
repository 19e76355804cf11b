//! Extended attributes.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;

/// Extended attributes of one entry, in a buffer that a worker reuses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Xattrs {
    pub(super) all: Vec<(CString, Vec<u8>)>,
}

impl Xattrs {
    /// Reads the attributes that are content of the tree.
    pub(crate) fn read(&mut self, file: impl AsFd) -> io::Result<()> {
        self.all.clear();
        let mut names = [0u8; 1024];
        let mut large = Vec::new();
        let names = match rustix::fs::flistxattr(&file, &mut names[..]) {
            Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(()),
            Ok(len) => &names[..len],
            Err(Errno::RANGE) => {
                large.resize(65536, 0); // XATTR_LIST_MAX
                let len = rustix::fs::flistxattr(&file, &mut large[..])?;
                &large[..len]
            }
            Err(errno) => return Err(errno.into()),
        };
        for name in names.split_inclusive(|b| *b == 0) {
            let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
            if !belongs_to_tree(name.to_bytes()) {
                continue;
            }
            let mut value = vec![0; 65536]; // XATTR_SIZE_MAX
            match rustix::fs::fgetxattr(&file, name, &mut value[..]) {
                Ok(len) => {
                    value.truncate(len);
                    self.all.push((name.to_owned(), value));
                }
                Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        self.all.sort_unstable();
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.all.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether another entry has all of these attributes.
    pub(crate) fn are_in(&self, other: &Self) -> bool {
        self.all.iter().all(|attribute| other.all.contains(attribute))
    }

    /// Removes those that another entry has, with whatever value.
    pub(crate) fn remove_names_of(&mut self, other: &Self) {
        self.all.retain(|(name, _)| other.all.iter().all(|(there, _)| there != name));
    }

    /// A short digest for the manifest.
    pub(crate) fn digest(&self) -> Option<u64> {
        if self.all.is_empty() {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        for (name, value) in &self.all {
            hasher.update(name.to_bytes_with_nul());
            hasher.update(&value.len().to_le_bytes());
            hasher.update(value);
        }
        let mut short = [0; 8];
        short.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Some(u64::from_le_bytes(short))
    }
}

/// False for the bookkeeping of overlayfs and xfs, and for security labels, which the volume's mount assigns.
fn belongs_to_tree(name: &[u8]) -> bool {
    !(name.starts_with(b"trusted.overlay.")
        || name.starts_with(b"user.overlay.")
        || name.starts_with(b"trusted.SGI_ACL_")
        || name == b"security.selinux"
        || name == b"security.evm"
        || name == b"security.ima"
        || name == b"system.nfs4_acl")
}
