//! Removes everything that the source does not have, except other owners' entries and the runner's own files: logs,
//! state directories, destinations inside this one.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, Stat};

use crate::copy::error::Error;
use crate::copy::io::path::{join, shown};
use crate::copy::prune::pruner::{Going, Pruner, Victim};
use crate::copy::prune::spellings::respelled;
use crate::copy::state::STATE;
use crate::support::own::{is_own, is_state};
use crate::support::rooted_dir::Dir;

/// A directory in the source and on the volume.
struct Mirrored<'a> {
    source: Option<Dir>,
    made: &'a Dir,
    /// In the source's spelling.
    path: &'a [u8],
}

/// A subdirectory on the volume.
struct Subdirectory<'a> {
    name: &'a OsStr,
    /// In the source's spelling.
    spelling: &'a OsStr,
    path: &'a [u8],
    image: Option<Stat>,
    stays: bool,
}

enum Step {
    Into { source: Option<Dir>, made: Dir, path: Vec<u8> },
    Remove { parent: Dir, name: OsString, path: Vec<u8> },
}

impl Pruner<'_> {
    /// Removes every entry of the destination that the source does not have; a dry run lists them.
    pub(crate) fn mirror(&self, going: &mut Going<'_>) -> Result<(), Error> {
        let failed = |e: io::Error| self.roots.volume_error("remove", b"", e);
        let source = self.roots.source.reopen().map_err(failed)?;
        let made = self.roots.destination.reopen().map_err(failed)?;
        // An explicit stack, because the tree may be deeper than the thread's stack.
        let mut todo = vec![Step::Into { source: Some(source), made, path: Vec::new() }];
        while let Some(step) = todo.pop() {
            self.control.go_on()?;
            match step {
                Step::Into { source, made, path } => {
                    let below = self.mirror_one(&Mirrored { source, made: &made, path: &path }, going)?;
                    todo.extend(below);
                }
                Step::Remove { parent, name, path } => {
                    let stays = |e| self.roots.volume_error("remove", &path, e);
                    if self.control.dry_run {
                        let below = parent.open_dir(&name).and_then(|dir| dir.entries()).map_err(stays)?;
                        if below.iter().any(|(name, _)| !going.plans(&join(&path, name.as_bytes()))) {
                            continue;
                        }
                    }
                    self.remove(&Victim { dir: &parent, name: &name, path: &path, is_dir: true }, going)?;
                }
            }
        }
        Ok(())
    }

    /// Removes files of one directory, and returns the steps for its subdirectories, the last first.
    fn mirror_one(&self, here: &Mirrored<'_>, going: &mut Going<'_>) -> Result<Vec<Step>, Error> {
        let failed = |e: io::Error| self.roots.volume_error("remove", here.path, e);
        let entries = match here.made.entries() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                going.report.remarks.push(format!("{} cannot be listed, and stays", shown(here.path)));
                return Ok(Vec::new());
            }
            entries => entries.map_err(failed)?,
        };
        let claims = self.known.layers.directory(here.path).map_err(|e| self.roots.manifest_error(e))?;
        let spelled = match &here.source {
            Some(source) => respelled(source, here.made).map_err(failed)?,
            None => HashMap::new(),
        };
        let before = going.report.removed;
        let mut steps = Vec::new();
        for (name, kind) in entries {
            let spelling = spelled.get(name.as_bytes()).map_or(&*name, |name| OsStr::from_bytes(name));
            let path = join(here.path, spelling.as_bytes());
            let is_dir = kind == FileType::Directory;
            let Some(stat) = here.made.find(&name).map_err(failed)? else { continue };
            if self.is_spared(here, spelling, &stat, &path) {
                continue;
            }
            let image = here.source.as_ref().map_or(Ok(None), |source| source.find(spelling));
            let image = image.map_err(|e| self.roots.source_error("stat", &path, e))?;
            // It stays with everything in it.
            let in_source = |what: &str| {
                here.source.as_ref().is_some_and(|source| matches!(source.find(what), Ok(Some(_))))
            };
            if beside_what(spelling.as_bytes())
                .is_some_and(|what| in_source(&what) || claims.has(what.as_bytes()))
            {
                continue;
            }
            let stays = image.is_some() || claims.is_unknown || claims.has(spelling.as_bytes());
            if is_dir {
                let below = Subdirectory { name: &name, spelling, path: &path, image, stays };
                steps.extend(self.mirror_below(here, &below, going)?);
            } else if !stays && !is_own(here.made, &name, kind).map_err(failed)? {
                self.remove(&Victim { dir: here.made, name: &name, path: &path, is_dir }, going)?;
            }
        }
        if going.report.removed > before && !self.control.dry_run && !here.path.is_empty() {
            self.mend_times(here.made, here.source.as_ref(), here.path)?;
        }
        Ok(steps)
    }

    /// Whether an entry stays because it is the runner's own, the filesystem's, or left out by the options.
    fn is_spared(&self, here: &Mirrored<'_>, name: &OsStr, stat: &Stat, path: &[u8]) -> bool {
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        name == STATE
            || here.path.is_empty() && name == "lost+found"
            || self.scope.protected.is_inode(stat)
            || self.scope.protected.is_path(path)
            || self.scope.filter.skips(here.path, name.as_bytes(), is_dir)
    }

    /// The steps for a subdirectory: walk into it, then remove it unless it stays.
    fn mirror_below(
        &self,
        here: &Mirrored<'_>,
        sub: &Subdirectory<'_>,
        going: &mut Going<'_>,
    ) -> Result<Vec<Step>, Error> {
        let failed = |e: io::Error| self.roots.volume_error("remove", sub.path, e);
        let in_image = sub.image.is_some_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
        // A link on the volume to a directory is not the image's directory.
        if sub.image.is_some() && !in_image {
            return Ok(Vec::new());
        }
        let below = match here.made.open_dir(sub.name) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                going.report.remarks.push(format!("{} cannot be opened, and stays", shown(sub.path)));
                return Ok(Vec::new());
            }
            below => below.map_err(failed)?,
        };
        if !below.is_on_mount_of(here.made).map_err(failed)? {
            going.report.remarks.push(format!("{} is a mount, or holds one: not pruned", shown(sub.path)));
            return Ok(Vec::new());
        }
        // A destination of its own, which its own copies prune, or a state directory.
        if below.find(STATE).map_err(failed)?.is_some() || is_state(&below).map_err(failed)? {
            return Ok(Vec::new());
        }
        let source = here.source.as_ref().filter(|_| in_image).map(|source| source.open_dir(sub.spelling));
        let source = source.transpose().map_err(failed)?;
        let mut steps = Vec::new();
        if !sub.stays {
            let parent = here.made.reopen().map_err(failed)?;
            steps.push(Step::Remove { parent, name: sub.name.to_owned(), path: sub.path.to_vec() });
        }
        steps.push(Step::Into { source, made: below, path: sub.path.to_vec() });
        Ok(steps)
    }
}

/// The file of the user's that the image's version of it is beside, by their names.
fn beside_what(name: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(name);
    let at = text.rfind(".from-image")?;
    let rest = &text[at + ".from-image".len()..];
    let is_suffix = rest.is_empty() || rest.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok());
    is_suffix.then(|| text[..at].to_owned())
}
