//! Finds records that the image has under another spelling, which the volume takes for the same name.

use std::collections::HashMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;

use crate::copy::io::listing::Listing;
use crate::copy::manifest::{Record, records};
use crate::copy::plan::spelling::{Listed, pairs};

/// Computed when image and manifest first differ in a name.
pub(crate) struct Respelled<'a> {
    made: Option<&'a OwnedFd>,
    old: &'a [u8],
    /// By the image's spelling.
    found: Option<HashMap<Vec<u8>, Record<'a>>>,
}

impl<'a> Respelled<'a> {
    /// `made` is the directory on the volume, if it exists; `old` its block of the manifest.
    pub(crate) fn new(made: Option<&'a OwnedFd>, old: &'a [u8]) -> Self {
        Self { made, old, found: None }
    }

    /// The record for a name of the image that the manifest does not have.
    pub(crate) fn find(&mut self, listing: &Listing, name: &CStr) -> io::Result<Option<Record<'a>>> {
        Ok(self.pairs(listing)?.get(name.to_bytes()).cloned())
    }

    /// Whether a record whose name the image lacks belongs to a name in another spelling.
    pub(crate) fn has_taken(&mut self, listing: &Listing, name: &[u8]) -> io::Result<bool> {
        Ok(self.pairs(listing)?.values().any(|record| *record.name == *name))
    }

    fn pairs(&mut self, listing: &Listing) -> io::Result<&HashMap<Vec<u8>, Record<'a>>> {
        let found = match self.found.take() {
            Some(found) => found,
            None => self.look(listing)?,
        };
        Ok(self.found.insert(found))
    }

    fn look(&self, listing: &Listing) -> io::Result<HashMap<Vec<u8>, Record<'a>>> {
        let Some(made) = self.made.filter(|_| !self.old.is_empty()) else { return Ok(HashMap::new()) };
        let known: HashMap<Vec<u8>, Record<'a>> =
            records(self.old).map(|record| (record.name.to_vec(), record)).collect();
        let names = (0..listing.len()).map(|at| listing.get(at).0.to_bytes());
        let new: Vec<&[u8]> = names.filter(|name| !known.contains_key(*name)).collect();
        let dropped: Vec<&[u8]> =
            known.keys().map(|name| &**name).filter(|name| !listing.has(name)).collect();
        if new.is_empty() || dropped.is_empty() {
            return Ok(HashMap::new());
        }
        let pairs = pairs(&new, &dropped, &Listed::of(made)?)?;
        let named = |(new, old): (&[u8], &[u8])| Some((new.to_vec(), known.get(old)?.clone()));
        Ok(pairs.into_iter().filter_map(named).collect())
    }
}
