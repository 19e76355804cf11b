//! What the plan saw under the names of a directory that are to be replaced, so that it can be told at the renaming whether a user
//! has written there meanwhile.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::sync::Mutex;

use rustix::fs::Stat;

use crate::copy::io::sight::Sight;
use crate::support::mutex;

/// By name. Under a name that is not here the plan saw nothing.
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
