//! Removes a tree below a directory handle while others may change it: follows no link, enters no other filesystem.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{Dir, chmod_handle};

impl Dir {
    /// Removes an entry with everything below it. A missing entry counts as removed. A directory that denies its owner
    /// access is given permission first. Depth is bounded by memory, not by descriptors or the stack.
    ///
    /// # Errors
    /// `EBUSY` where another filesystem is mounted, whose content is not touched, or what the calls answer.
    pub fn remove_all(&self, rel: impl AsRef<Path>) -> io::Result<()> {
        let rel = rel.as_ref();
        match self.unlink(rel) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if is_directory_error(&error) => {}
            // Some filesystems answer EPERM to unlink(2) of a directory.
            Err(error) => match self.stat_at(rel) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
                _ => return Err(error),
            },
        }
        let mut trail = vec![self.open_to_empty(rel)?];
        let mut names: Vec<OsString> = Vec::new();
        while let Some(dir) = trail.last() {
            let mut deeper = None;
            for (name, kind) in dir.entries()? {
                if kind != FileType::Directory {
                    match dir.unlink(&name) {
                        Err(error) if is_directory_error(&error) => {}
                        Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                        done => {
                            done?;
                            continue;
                        }
                    }
                }
                match dir.remove_dir(&name) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(_) => {
                        deeper = Some(name);
                        break;
                    }
                }
            }
            if let Some(name) = deeper {
                let child = dir.open_to_empty(Path::new(&name))?;
                // Bounds the open handles: a directory this deep is moved up to the top before it is emptied.
                if trail.len() > 64 {
                    let aside = OsString::from(format!(".flat-{}", child.stat()?.st_ino));
                    let top = &trail[0];
                    if dir.rename(&name, top, &aside).is_ok() {
                        trail.truncate(1);
                        names.clear();
                        continue;
                    }
                }
                trail.push(child);
                names.push(name);
            } else {
                trail.pop();
                if let (Some(parent), Some(name)) = (trail.last(), names.pop()) {
                    parent.remove_dir(&name)?;
                }
            }
        }
        self.remove_dir(rel)
    }

    /// Opens a directory that is to be emptied, giving its owner permission where that is missing.
    fn open_to_empty(&self, rel: &Path) -> io::Result<Self> {
        let dir = match self.open_dir(rel) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let handle = self.resolve(rel, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
                chmod_handle(&handle, 0o700)?;
                self.open_dir(rel)?
            }
            opened => opened?,
        };
        if !dir.is_on_mount_of(self)? {
            return Err(Errno::BUSY.into());
        }
        let mode = dir.stat()?.st_mode;
        if mode & 0o700 != 0o700 {
            // If this is not permitted, the removal that follows says so.
            let _ = rustix::fs::fchmod(&dir.fd, Mode::from_raw_mode(mode & 0o7777 | 0o700));
        }
        Ok(dir)
    }
}

fn is_directory_error(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::ISDIR))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::tests::volume;

    #[test]
    fn removing_a_tree_reaches_deep_and_denied_directories_and_follows_no_link() {
        let (temp, dir) = volume();
        std::fs::write(temp.path().join("outside"), "x").unwrap();
        dir.create_dir("tree", 0o755).unwrap();
        let mut at = dir.open_dir("tree").unwrap();
        for _ in 0..300 {
            at.create_dir("d-with-a-long-name", 0o755).unwrap();
            at = at.open_dir("d-with-a-long-name").unwrap();
        }
        drop(at.create_new("leaf", 0o644).unwrap());
        dir.create_dir_all("tree/denied/inner", 0o755).unwrap();
        std::fs::set_permissions(
            temp.path().join("tree/denied"),
            std::os::unix::fs::PermissionsExt::from_mode(0o0),
        )
        .unwrap();
        symlink(temp.path().join("outside"), temp.path().join("tree/link")).unwrap();
        dir.remove_all("tree").unwrap();
        assert!(dir.find("tree").unwrap().is_none());
        assert!(dir.find("outside").unwrap().is_some());
        dir.remove_all("tree").unwrap();
    }
}
