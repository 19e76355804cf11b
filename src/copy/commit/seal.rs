//! Records, after the run, how it left what was installed, whether it ended well or not.

use std::ffi::OsStr;
use std::io;

use crate::copy::commit::rewrite::{Rewriting, Rule};
use crate::copy::error::Error;
use crate::copy::manifest::{self, Manifest, Reading};
use crate::copy::plan::emptied::is_emptied;
use crate::copy::plan::filter::Filter;
use crate::copy::plan::layers::Layers;
use crate::copy::preflight::Places;
use crate::copy::request::{Request, owner_of};
use crate::copy::shard::lock;
use crate::copy::state::State;
use crate::support::rooted_dir::Dir;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every step succeeded.
    Well,
    /// A step failed: the next attempt does the steps again.
    Failed,
}

/// As [`crate::copy::seal()`].
pub(crate) fn seal(request: &Request, ended: Ended) -> Result<(), Error> {
    if request.options.dry_run {
        return Ok(());
    }
    let places = Places::of_destination(request);
    let failed = |e| Error::system("record what the run left in", &places, e);
    let root = match Dir::open(&places) {
        // The run removed the destination, and with it all that was to be recorded.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        root => root.map_err(failed)?,
    };
    root.sync_filesystem().map_err(failed)?;
    let Some(state) = State::open_to_write(&root).map_err(failed)? else { return Ok(()) };
    let own = manifest::file_name(&owner_of(request));
    let filter = Filter::new(&request.options)?;
    for owner in state.owners().map_err(failed)? {
        let is_share = request.options.shard.is_some();
        // If no command of this run has begun, it changed nothing. The shards of one copy have one mark.
        let has_begun = request.below.is_some()
            || is_share && ended == Ended::Well
            || is_marked(&state, &owner, request).map_err(failed)?;
        if !has_begun {
            continue;
        }
        // The shards of one copy end at the same time, and one of them merges the manifest.
        let _writing = is_share.then(|| lock::take(&state.journal, &owner)).transpose().map_err(failed)?;
        let Reading::Read(old) = Manifest::read(&state.manifests, &owner).map_err(failed)? else { continue };
        if (owner != own || request.below.is_some()) && is_emptied(&old, &root).map_err(failed)? {
            // All files of another copy were gone already: that copy's next run brings them back.
            if request.below.is_none() {
                state.run_is_over(&owner).map_err(failed)?;
            }
            continue;
        }
        let layers =
            Layers::read(&places, &owner, old.head.since, None).map_err(failed)?.following(old.head.follows);
        let rewriting = Rewriting {
            rule: match ended {
                Ended::Well => Rule::AsTheRunLeft,
                Ended::Failed => Rule::AsTheFailedRunLeft,
            },
            root: &root,
            old: &old,
            layers: &layers,
            filter: (owner == own && request.below.is_none()).then_some(&filter),
            follow: old.head.follows.then_some(places.as_path()),
            below: request.below.as_deref(),
        };
        rewriting.write(&state, &owner).map_err(failed)?;
        if request.below.is_none() {
            state.run_is_over(&owner).map_err(failed)?;
        }
    }
    Ok(())
}

/// Whether a command of the run has begun that may change what is in its destination.
pub(crate) fn has_begun(request: &Request) -> bool {
    let state = Dir::open(Places::of_destination(request)).and_then(|root| State::open(&root)).ok().flatten();
    let owners = state.as_ref().and_then(|state| state.owners().ok()).unwrap_or_default();
    state.is_some_and(|state| owners.iter().any(|owner| is_marked(&state, owner, request).unwrap_or(false)))
}

fn is_marked(state: &State, owner: &OsStr, request: &Request) -> io::Result<bool> {
    Ok(state.unfinished_run(owner)?.is_some_and(|run| run.run == request.run))
}
