//! What the steps of a hook may make, so that a file that is not there yet is told from one that nothing makes. Looks at
//! paths only.

use std::path::{Component, Path, PathBuf};

use crate::hook::steps::Step;

/// What the steps so far may have made.
#[derive(Debug, Default)]
pub struct Made {
    /// A command was run, or something else was waited for.
    anything: bool,
    /// The destinations of copies, without links.
    copied: Vec<PathBuf>,
}

impl Made {
    /// Counts `step` among the steps so far.
    pub fn add(&mut self, step: &Step) {
        match step {
            Step::Copy { to, .. } => self.copied.push(real(to)),
            _ => self.anything = true,
        }
    }

    /// Whether a step so far may have made `path`.
    pub fn may_hold(&self, path: &Path) -> bool {
        self.anything || self.copied.iter().any(|destination| real(path).starts_with(destination))
    }
}

/// The path without links, with what of it does not exist yet as it is written.
pub(super) fn real(path: &Path) -> PathBuf {
    let Ok(absolute) = std::path::absolute(path) else { return path.to_path_buf() };
    for above in absolute.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), absolute.strip_prefix(above)) {
            return rest.components().fold(real, |path, part| match part {
                Component::ParentDir => path.parent().map(Path::to_path_buf).unwrap_or(path),
                part => path.join(part),
            });
        }
    }
    absolute
}
