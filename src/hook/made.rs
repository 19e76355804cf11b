//! Which files the steps of a hook may make. A file that is missing at the start is a mistake only when no earlier step can
//! make it. Looks at paths only.

use std::path::{Path, PathBuf};

use crate::hook::steps::Step;
use crate::support::real_path::real;

/// What the steps added so far may have made.
#[derive(Debug, Default)]
pub struct Made {
    /// A command or a wait is among them: it may have made any file.
    anything: bool,
    /// The destinations of copies, with links resolved.
    copied: Vec<PathBuf>,
}

impl Made {
    /// Adds a step.
    pub fn add(&mut self, step: &Step) {
        match step {
            Step::Copy { to, .. } => self.copied.push(real(to)),
            _ => self.anything = true,
        }
    }

    /// Whether a step may have made `path`.
    pub fn may_hold(&self, path: &Path) -> bool {
        self.anything || self.copied.iter().any(|destination| real(path).starts_with(destination))
    }
}
