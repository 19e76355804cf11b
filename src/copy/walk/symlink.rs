//! Handles a symbolic link of the image.

use rustix::fs::{AtFlags, Stat};
use rustix::io::Errno;

use crate::copy::error::Error;
use crate::copy::io::metadata::Meta;
use crate::copy::manifest::{Content, Kind};
use crate::copy::tree::entry::{DirContext, Entry};
use crate::copy::tree::version::{Data, Incoming, Outcome, Version};
use crate::copy::tree::worker::Worker;
use crate::copy::walk::context::Walk;
use crate::copy::walk::hard_links::{Claim, First};

impl Walk<'_> {
    /// Handles it, unless another name of it comes first.
    pub(crate) fn symlink(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
    ) -> Result<(), Error> {
        let stat = self.link_stat(here, entry)?;
        if stat.st_nlink == 1 || here.node.beside_users {
            return self.symlink_alone(worker, here, entry).map(drop);
        }
        here.node.hold();
        if let Claim::First = self.links.claim(&stat, here.node, entry) {
            let (outcome, version) = self.symlink_alone(worker, here, entry)?;
            let (node, name) = (here.node.clone(), entry.name.to_owned());
            self.links.settled(&stat, First { node, name, version, outcome });
        }
        Ok(())
    }

    /// Handles it without regard to its other names.
    pub(crate) fn symlink_alone(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
    ) -> Result<(Outcome, Version<'static>), Error> {
        let stat = self.link_stat(here, entry)?;
        let target = rustix::fs::readlinkat(here.source, entry.name, Vec::new())
            .map_err(|e| self.link_error(here, entry, e))?;
        let version = Version {
            kind: Kind::Link,
            meta: Meta { mode: 0o777, ..self.stager.permissions.wanted(&stat) },
            size: target.as_bytes().len() as u64,
            content: Content::Target(target.into_bytes().into()),
            xattrs: None,
        };
        worker.xattrs.clear();
        let outcome = self.settle(worker, here, entry, Incoming { version: &version, data: Data::Link })?;
        Ok((outcome, version))
    }

    fn link_stat(&self, here: &DirContext<'_>, entry: Entry<'_>) -> Result<Stat, Error> {
        rustix::fs::statat(here.source, entry.name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| self.link_error(here, entry, e))
    }

    fn link_error(&self, here: &DirContext<'_>, entry: Entry<'_>, errno: Errno) -> Error {
        self.roots.source_error("read the link", &here.child(entry.name), errno)
    }
}
