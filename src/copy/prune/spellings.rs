//! Names on a case-insensitive volume: which the image has in any spelling, and which the source spells differently
//! from the volume.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::ffi::OsStringExt as _;

use crate::copy::error::Error;
use crate::copy::manifest::builder::Sorted;
use crate::copy::manifest::{Manifest, records};
use crate::copy::plan::spelling::{Listed, fold, pairs};
use crate::copy::state::is_caseless;
use crate::copy::tree::roots::Roots;
use crate::support::rooted_dir::Dir;

/// The image's names by directory, case-folded. Empty on a case-sensitive volume.
#[derive(Debug, Default)]
pub(crate) struct Spellings(HashMap<String, HashSet<String>>);

impl Spellings {
    /// Reads them from the new manifest.
    pub(crate) fn of(roots: &Roots, sorted: &Sorted, old: &Manifest) -> Result<Self, Error> {
        let mut all = Self::default();
        if !is_caseless(&roots.destination) {
            return Ok(all);
        }
        let mut block = Vec::new();
        for (path, _, range) in sorted.directories() {
            sorted.load(range, old, &mut block).map_err(|e| roots.manifest_error(e))?;
            let names = records(&block).filter(|record| !record.flags.orphan);
            all.0.entry(fold(path)).or_default().extend(names.map(|record| fold(&record.name)));
        }
        Ok(all)
    }

    /// Whether the image has a name in any spelling.
    pub(crate) fn has(&self, path: &[u8], name: &[u8]) -> bool {
        self.0.get(&fold(path)).is_some_and(|names| names.contains(&fold(name)))
    }
}

/// Names of a directory of the volume that the source spells differently, with the source's spelling.
pub(crate) fn respelled(source: &Dir, made: &Dir) -> io::Result<HashMap<Vec<u8>, Vec<u8>>> {
    let names = |dir: &Dir| -> io::Result<HashSet<Vec<u8>>> {
        Ok(dir.entries()?.into_iter().map(|(name, _)| name.into_vec()).collect())
    };
    let (source, volume) = (names(source)?, names(made)?);
    let ones: Vec<&[u8]> = source.difference(&volume).map(|name| &**name).collect();
    let others: Vec<&[u8]> = volume.difference(&source).map(|name| &**name).collect();
    let pairs = pairs(&ones, &others, &Listed::of(made)?)?;
    Ok(pairs.into_iter().map(|(source, volume)| (volume.to_vec(), source.to_vec())).collect())
}
