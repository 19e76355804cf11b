//! The files of one copy in the state directory: the manifest in force, its successor, staging.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::copy::error::Error;
use crate::copy::manifest::{Manifest, Reading};
use crate::copy::options::Shard;
use crate::copy::request::Request;
use crate::copy::shard::lock;
use crate::copy::shard::names;
use crate::copy::shard::partition::Shares;
use crate::copy::state::State;
use crate::support::rooted_dir::Dir;

/// Where a copy's files are, and their names.
#[derive(Debug)]
pub(crate) struct OwnFiles {
    /// `None` in a dry run without a state directory.
    pub(crate) state: Option<State>,
    /// The manifest in force.
    pub(crate) manifest: OsString,
    /// What this copy writes: the manifest, or a shard's part of it.
    pub(crate) part: OsString,
    /// The same in the journal, before it is in force.
    pub(crate) next: OsString,
    /// The base name of staging; each attempt has a generation of its own.
    pub(crate) staging: String,
    /// In the journal: what this copier has renamed to make way.
    pub(crate) moved: String,
    /// The shard that this copier is.
    shard: Option<Shard>,
    /// Several copiers write the manifest together.
    is_shared: bool,
}

impl OwnFiles {
    /// The files of the copy that `request` asks for; `manifest` is the name of its manifest.
    pub(crate) fn of(
        request: &Request,
        manifest: OsString,
        state: Option<State>,
        shares: Option<&Shares>,
    ) -> Self {
        let part = names::part_name(&manifest, request, shares);
        let mut next = part.clone();
        next.push(".next");
        let staging = names::stage_name(&manifest, request);
        let moved = format!("{staging}.moved");
        let shard = request.options.shard;
        Self { state, manifest, part, next, staging, moved, shard, is_shared: shares.is_some() }
    }

    /// The manifest to compare with. A restarted shard compares with the part that it wrote before.
    pub(crate) fn base(&self, state: &State) -> io::Result<Reading> {
        if self.is_shared
            && let Reading::Read(part) = Manifest::read(&state.journal, &self.part)?
        {
            return Ok(Reading::Read(part));
        }
        Manifest::read(&state.manifests, &self.manifest)
    }

    /// The notes of what was renamed to make way: this copier's, and those of copiers that cannot be at work beside it, as the
    /// tree was not shared then or by another number of shards.
    pub(crate) fn all_moved(&self, state: &State) -> io::Result<Vec<OsString>> {
        let prefix = [self.manifest.as_bytes(), b"."].concat();
        let is_beside = |name: &[u8]| {
            let end = self.shard.filter(|_| *name != *self.moved.as_bytes());
            end.is_some_and(|shard| name.ends_with(format!("-of-{}.moved", shard.count).as_bytes()))
        };
        let mut names: Vec<_> = state.journal.entries()?.into_iter().map(|(name, _)| name).collect();
        names.retain(|name| {
            let name = name.as_bytes();
            name.starts_with(&prefix) && name.ends_with(b".moved") && !is_beside(name)
        });
        Ok(names)
    }

    /// Whether a directory is staging of this owner's copiers that cannot be at work beside this one: the tree was not
    /// shared then, or by another number of shards. One shard removes it.
    pub(crate) fn is_stale(&self, staging: &str) -> bool {
        let owner = self.manifest.to_string_lossy();
        let Some(rest) = staging.strip_prefix(&*owner).and_then(|rest| rest.strip_prefix('.')) else {
            return false;
        };
        let is_shard = rest.starts_with("shard-");
        match self.shard {
            None => is_shard,
            Some(shard) => shard.index == 0 && !(is_shard && rest.contains(&format!("-of-{}.", shard.count))),
        }
    }

    /// The lock between the copiers that share the tree, where there are several.
    pub(crate) fn lock(&self) -> io::Result<Option<File>> {
        let state = self.state.as_ref().filter(|_| self.is_shared);
        state.map(|state| lock::take(&state.journal, &self.manifest)).transpose()
    }

    /// The state directory. Only a dry run may have none.
    pub(crate) fn state(&self) -> Result<&State, Error> {
        self.state.as_ref().ok_or_else(|| Error::request("there is no state directory"))
    }

    /// The directory for what is not in force: notes, and the parts of a shared manifest.
    pub(crate) fn journal(&self) -> Result<&Dir, Error> {
        Ok(&self.state()?.journal)
    }

    /// The directory that this copy's manifest is written to.
    pub(crate) fn manifests(&self) -> Result<&Dir, Error> {
        let state = self.state()?;
        Ok(if self.is_shared { &state.journal } else { &state.manifests })
    }
}
