//! One copy's files in the state directory: the manifest in force, what is written before it takes its place, staging.

use std::ffi::OsString;
use std::io;

use crate::copy::error::Error;
use crate::copy::manifest::{Manifest, Reading};
use crate::copy::request::Request;
use crate::copy::shard::names;
use crate::copy::shard::partition::Shares;
use crate::copy::state::State;
use crate::support::rooted_dir::Dir;

/// Where a copy's files are, and what they are called.
#[derive(Debug)]
pub(crate) struct OwnFiles {
    /// `None` in a dry run that finds no state directory.
    pub(crate) state: Option<State>,
    /// The manifest in force.
    pub(crate) manifest: OsString,
    /// What this copy writes: the manifest, or a shard's part of it.
    pub(crate) part: OsString,
    /// The same before it is in force, in the journal.
    pub(crate) next: OsString,
    /// Generations of staging.
    pub(crate) staging: String,
    /// What this copier has renamed to make way, in the journal.
    pub(crate) moved: String,
    /// Several copiers make the manifest.
    is_shared: bool,
}

impl OwnFiles {
    /// Those of the copy that `request` asks for, under the name of its manifest.
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
        Self { state, manifest, part, next, staging, moved, is_shared: shares.is_some() }
    }

    /// The manifest to compare with: a shard that starts again compares with the part that it had written.
    pub(crate) fn base(&self, state: &State) -> io::Result<Reading> {
        if self.is_shared
            && let Reading::Read(part) = Manifest::read(&state.journal, &self.part)?
        {
            return Ok(Reading::Read(part));
        }
        Manifest::read(&state.manifests, &self.manifest)
    }

    /// The state directory; only a dry run may have none.
    pub(crate) fn state(&self) -> Result<&State, Error> {
        self.state.as_ref().ok_or_else(|| Error::request("there is no state directory"))
    }

    /// Where what is not in force is written: notes, and parts of a manifest that several copiers make.
    pub(crate) fn journal(&self) -> Result<&Dir, Error> {
        Ok(&self.state()?.journal)
    }

    /// Where the manifest that this copy writes goes.
    pub(crate) fn manifests(&self) -> Result<&Dir, Error> {
        let state = self.state()?;
        Ok(if self.is_shared { &state.journal } else { &state.manifests })
    }
}
