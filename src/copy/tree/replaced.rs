//! Remembers what the plan saw under names that will be replaced, to detect before the rename that a user has written
//! there.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::sync::Mutex;

use rustix::fs::Stat;

use crate::copy::io::sight::Sight;
use crate::copy::report::Report;
use crate::support::mutex;

/// By name. The plan saw nothing under a name that is not here.
#[derive(Debug, Default)]
pub(crate) struct Replaced {
    seen: Mutex<BTreeMap<CString, Sight>>,
    /// For a dry run: how what stands there makes way for a directory that may be needed.
    ways: Mutex<BTreeMap<CString, Way>>,
}

/// For a dry run: what becomes of an entry that makes way.
#[derive(Debug, Default, Clone)]
pub(crate) struct Way {
    pub(crate) lines: Vec<String>,
    /// The number of entries that pruning removes then.
    pub(crate) removed: u64,
}

impl Way {
    pub(crate) fn plan(self, report: &mut Report) {
        report.removed += self.removed;
        self.lines.into_iter().for_each(|line| report.plan.push(line));
    }
}

impl Replaced {
    pub(crate) fn add(&self, name: &CStr, stat: &Stat) {
        mutex::lock(&self.seen).insert(name.to_owned(), Sight::from(stat));
    }

    pub(crate) fn seen(&self, name: &CStr) -> Option<Sight> {
        mutex::lock(&self.seen).get(name).copied()
    }

    pub(crate) fn makes_way(&self, name: &CStr, way: Way) {
        mutex::lock(&self.ways).insert(name.to_owned(), way);
    }

    pub(crate) fn way(&self, name: &CStr) -> Way {
        mutex::lock(&self.ways).get(name).cloned().unwrap_or_default()
    }
}
