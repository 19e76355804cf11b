//! Remembers what the plan saw under names that will be replaced, to detect before the rename that a user has written
//! there.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::sync::Mutex;

use rustix::fs::Stat;

use crate::copy::io::sight::Sight;
use crate::support::mutex;

/// By name. The plan saw nothing under a name that is not here.
#[derive(Debug, Default)]
pub(crate) struct Replaced(Mutex<BTreeMap<CString, Sight>>);

impl Replaced {
    pub(crate) fn add(&self, name: &CStr, stat: &Stat) {
        mutex::lock(&self.0).insert(name.to_owned(), Sight::from(stat));
    }

    pub(crate) fn seen(&self, name: &CStr) -> Option<Sight> {
        mutex::lock(&self.0).get(name).copied()
    }
}
