//! Detects what a user wrote under a name after the plan saw it. It is not replaced if the policy keeps users' changes.

use std::ffi::CStr;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use crate::copy::error::Error;
use crate::copy::io::path::names_beside;
use crate::copy::io::sight::Sight;
use crate::copy::options::Policy;
use crate::copy::publish::moving::{Moving, rename_new};
use crate::copy::publish::publisher::Publisher;
use crate::copy::stage::install::beside_of;
use crate::copy::tree::worker::Worker;

/// The state of a name just before the rename.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// It is free, and the staged entry takes it only if it still is.
    Free,
    /// As the plan saw it, or changed by a user under a policy that does not keep that.
    Planned,
    /// A user has written something there.
    Users,
}

impl Publisher<'_> {
    /// Looks again, because staging may have taken long.
    pub(crate) fn name_now(&self, at: &Moving<'_>, name: &CStr) -> Result<Name, Error> {
        if self.known.policy() == Policy::Replace {
            return Ok(Name::Planned);
        }
        match (rustix::fs::statat(at.made, name, AtFlags::SYMLINK_NOFOLLOW), at.replaced.seen(name)) {
            (Err(Errno::NOENT), _) => Ok(Name::Free),
            (Err(errno), _) => Err(self.roots.volume_error("look at", &at.child(name), errno)),
            (Ok(stat), Some(seen)) if Sight::from(&stat).is_unwritten_since(&seen) => Ok(Name::Planned),
            // Another's directory makes the rename fail, which is reported there.
            (Ok(stat), None) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                Ok(Name::Planned)
            }
            (Ok(_), _) => Ok(Name::Users),
        }
    }

    /// Leaves the name to the user. The record of the image's version stays, as if the user had written just after the
    /// copy.
    pub(crate) fn leave_to_user(
        &self,
        worker: &mut Worker,
        at: &Moving<'_>,
        name: &CStr,
    ) -> Result<(), Error> {
        let path = at.child(name);
        worker.report.kept += 1;
        if self.known.policy() == Policy::Missing {
            worker.report.changes.push(&path, "kept", "written by a user during the copy");
            return Ok(());
        }
        for beside in names_beside(name, ".from-image") {
            match rename_new((at.staged, name), (at.made, &beside)) {
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.roots.volume_error("rename", &path, errno)),
                Ok(()) => {
                    worker.report.beside.push(beside_of(&path, &at.child(&beside)));
                    worker.report.changes.push(&path, "conflict", "written by a user during the copy");
                    worker.report.conflicts.push(path);
                    return Ok(());
                }
            }
        }
        Err(self.roots.volume_error("name the image's version of", &path, Errno::EXIST))
    }
}
