//! Finds mistakes in a copy's source and destination before anything is created or changed: a missing source, a
//! destination that is no directory or not writable, one inside the other. Looks at paths only; may block on a hung
//! volume.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::copy::{self, Options, Prune};
use crate::hook::made::Made;
use crate::hook::steps::Step;
use crate::support::os::user_who_may_not_write;
use crate::support::real_path::real;

/// Why a copy cannot work. Each message ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The source does not exist.
    #[error("the source {} does not exist; check the path, and that the image has it{}", .0.display(), hint(.0))]
    NoSource(PathBuf),
    /// The source is a device, socket or FIFO.
    #[error("the source {} is neither a directory nor a file; give one of them", .0.display())]
    SourceIsNoDirectory(PathBuf),
    /// Pruning would remove everything installed.
    #[error("the source {} is empty, and pruning would remove all that it once had; check the image, or give --allow-empty-source", .0.display())]
    EmptySource(PathBuf),
    /// Two sources with the same owner: each copy would prune what the other installed.
    #[error("{} and {} are both copied into {} under the owner {owner}, and each would prune what the other installed; give each an owner of its own, or none", one.display(), other.display(), destination.display())]
    OneOwner {
        /// The source of the first.
        one: PathBuf,
        /// The source of the second.
        other: PathBuf,
        destination: PathBuf,
        /// The owner of both.
        owner: String,
    },
    /// A name that no copy may install.
    #[error("{} is the filesystem's or hook-runner's own, and no copy replaces it; name the file otherwise", .0.display())]
    Reserved(PathBuf),
    /// The source is a file: its destination must be a file name.
    #[error("the source {} is a file and the destination {} a directory; name the file there", source_path.display(), destination.display())]
    DestinationIsDirectory {
        /// The source.
        source_path: PathBuf,
        /// The destination.
        destination: PathBuf,
    },
    /// The destination is a file, or below one.
    #[error("the destination {} is not a directory, as {} is a file; give a directory on the volume", destination.display(), file.display())]
    DestinationIsNoDirectory {
        destination: PathBuf,
        /// That file.
        file: PathBuf,
    },
    /// The destination is a link to nothing, or leads through one.
    #[error("the destination {} cannot be made: {} is a link that leads to nothing; make what it leads to, or remove it", destination.display(), link.display())]
    DestinationLeadsNowhere {
        destination: PathBuf,
        /// That link.
        link: PathBuf,
    },
    /// This user may not write to the destination.
    #[error("user {uid} may not write to {} (destination {}); let the pod's user write there (fsGroup, or the directory's mode)", directory.display(), destination.display())]
    NotWritable {
        /// The destination.
        destination: PathBuf,
        /// The destination, or its nearest existing parent.
        directory: PathBuf,
        /// The user id.
        uid: u32,
    },
    /// Source and destination are the same directory.
    #[error("source {} and destination {} are the same; copy into another directory", source_path.display(), destination.display())]
    Same {
        /// The source.
        source_path: PathBuf,
        /// The destination.
        destination: PathBuf,
    },
    /// The copy would copy its own output.
    #[error("{} is inside {}; a copy needs its source and destination apart from each other", inner.display(), outer.display())]
    Inside {
        /// The inner directory.
        inner: PathBuf,
        /// The outer directory.
        outer: PathBuf,
    },
}

/// A colon in the source suggests several pairs in one value.
fn hint(source: &Path) -> &'static str {
    let has_colon = source.as_os_str().as_encoded_bytes().contains(&b':');
    if has_colon { "; give each SRC:DST a --copy of its own, or a line of HOOK_RUNNER_COPY" } else { "" }
}

/// Checks the copies among `steps`. A missing source may still be created by an earlier step.
pub fn check(steps: &[Step]) -> Result<(), PreflightError> {
    let mut made = Made::default();
    for step in steps {
        if let Step::Copy { from, to, options, .. } = step {
            let may_be_made = made.may_hold(from);
            check_copy(from, to, may_be_made)?;
            if !may_be_made {
                empty(from, to, options)?;
            }
            let into = if from.is_file() { to.parent() } else { Some(&**to) };
            if let Some(link) = into.and_then(copy::leads_nowhere).filter(|_| !made.may_hold(to)) {
                return Err(PreflightError::DestinationLeadsNowhere { destination: to.clone(), link });
            }
        }
        made.add(step);
    }
    Ok(())
}

/// Refuses two source directories with the same owner and destination. Single files are not pruned, so they may share
/// an owner.
pub fn owners(steps: &[Step]) -> Result<(), PreflightError> {
    let mut claimed: Vec<(&str, PathBuf, &Path)> = Vec::new();
    for step in steps {
        let Step::Copy { from, to, options, .. } = step else { continue };
        let Some(owner) = options.owner.as_deref().filter(|_| !from.is_file()) else { continue };
        let destination = real(to);
        let same = |other: &&(&str, PathBuf, &Path)| other.0 == owner && other.1 == destination;
        if let Some((.., one)) = claimed.iter().find(same)
            && real(one) != real(from)
        {
            let (one, other, owner) = (one.into(), from.into(), owner.to_owned());
            return Err(PreflightError::OneOwner { one, other, destination: to.into(), owner });
        }
        claimed.push((owner, destination, from));
    }
    Ok(())
}

/// Refuses a copy that would prune everything.
pub fn empty(from: &Path, to: &Path, options: &Options) -> Result<(), PreflightError> {
    let allowed = options.prune == Prune::None || options.allow_empty_source;
    if allowed || !copy::empties(from, to) { Ok(()) } else { Err(PreflightError::EmptySource(from.into())) }
}

/// Checks one copy. `may_be_made`: an earlier step may create the source.
pub fn check_copy(from: &Path, to: &Path, may_be_made: bool) -> Result<(), PreflightError> {
    match fs::metadata(from) {
        Ok(metadata) if metadata.is_file() => return file(from, to),
        Ok(metadata) if !metadata.is_dir() => return Err(PreflightError::SourceIsNoDirectory(from.into())),
        Err(error) if is_absent(error.kind()) && !may_be_made => {
            return Err(PreflightError::NoSource(from.into()));
        }
        // Other errors are reported by the copy itself.
        _ => {}
    }
    let (real_from, real_to) = (real(from), real(to));
    if real_from == real_to {
        return Err(PreflightError::Same { source_path: from.into(), destination: to.into() });
    }
    for (inner, outer, paths) in [(&real_to, &real_from, (to, from)), (&real_from, &real_to, (from, to))] {
        if inner.starts_with(outer) {
            return Err(PreflightError::Inside { inner: paths.0.into(), outer: paths.1.into() });
        }
    }
    destination(to)
}

/// Checks the copy of a single file, whose destination is a file name.
fn file(from: &Path, to: &Path) -> Result<(), PreflightError> {
    if to.is_dir() || to.file_name().is_none() {
        let (source_path, destination) = (from.into(), to.into());
        return Err(PreflightError::DestinationIsDirectory { source_path, destination });
    }
    if real(from) == real(to) {
        return Err(PreflightError::Same { source_path: from.into(), destination: to.into() });
    }
    if copy::is_reserved(to) {
        return Err(PreflightError::Reserved(to.into()));
    }
    destination(to.parent().unwrap_or(Path::new("/")))
}

fn destination(to: &Path) -> Result<(), PreflightError> {
    let Some((nearest, metadata)) = nearest(to) else { return Ok(()) };
    if !metadata.is_dir() {
        return Err(PreflightError::DestinationIsNoDirectory { destination: to.into(), file: nearest });
    }
    match user_who_may_not_write(&nearest) {
        Some(uid) => Err(PreflightError::NotWritable { destination: to.into(), directory: nearest, uid }),
        None => Ok(()),
    }
}

/// The path itself, or its nearest existing parent.
fn nearest(path: &Path) -> Option<(PathBuf, fs::Metadata)> {
    path.ancestors().find_map(|at| {
        let at = if at.as_os_str().is_empty() { Path::new(".") } else { at };
        match fs::metadata(at) {
            Ok(metadata) => Some(Some((at.to_path_buf(), metadata))),
            Err(error) if is_absent(error.kind()) => None,
            Err(_) => Some(None),
        }
    })?
}

/// True also for a path below a file, which does not exist either.
fn is_absent(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(root: &Path, from: &str, to: &str) -> String {
        check_copy(&root.join(from), &root.join(to), false)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn what_a_copy_cannot_work_with_is_told_and_nothing_is_made() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        fs::create_dir_all(root.join("app/inner")).expect("a source");
        fs::write(root.join("file"), "x").expect("a file");
        std::os::unix::fs::symlink("app", root.join("link")).expect("a link");
        for (from, to, expected) in [
            ("app", "new/deep", ""),
            ("link", "new", ""),
            ("none", "new", "does not exist"),
            ("file/below", "new", "does not exist"),
            ("file", "new", ""),
            ("file", "app", "name the file there"),
            ("file", "file", "are the same"),
            ("app", "file", "is a file"),
            ("app", "file/below/it", "is a file"),
            ("app", "app", "are the same"),
            ("app", "link", "are the same"),
            ("app", "app/new", "is inside"),
            ("app", "link/new/../deep", "is inside"),
            ("app/inner", "app", "is inside"),
        ] {
            let found = finding(root, from, to);
            let right = if expected.is_empty() { found.is_empty() } else { found.contains(expected) };
            assert!(right, "{from} to {to}: {found}");
        }
        assert_eq!(fs::read_dir(root).expect("the directory").count(), 3, "nothing was made");
    }
}
