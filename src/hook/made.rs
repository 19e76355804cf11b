//! Which files the steps of a hook may create. A file that is missing at the start is a mistake only if no earlier step
//! can create it. Looks at paths only.

use std::path::{Path, PathBuf};

use crate::hook::steps::Step;
use crate::support::real_path::real;

/// What the steps so far may have created.
#[derive(Debug, Default)]
pub struct Made {
    /// A command or a wait is among them, so any file may exist by then.
    anything: bool,
    /// The destinations of copies, with links resolved.
    copied: Vec<PathBuf>,
}

impl Made {
    pub fn add(&mut self, step: &Step) {
        match step {
            Step::Copy { to, .. } => self.copied.push(real(to)),
            _ => self.anything = true,
        }
    }

    /// Whether a step may have created `path`.
    pub fn may_hold(&self, path: &Path) -> bool {
        self.anything || self.copied.iter().any(|destination| real(path).starts_with(destination))
    }
}
