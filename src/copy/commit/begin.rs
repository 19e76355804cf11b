//! Journals, before a run's first command, that the run may change installed files. A difference found later is then
//! the run's, unless it existed before.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;

use crate::copy::commit::kept::Kept;
use crate::copy::commit::rewrite::{Rewriting, Rule};
use crate::copy::error::Error;
use crate::copy::manifest::{Manifest, Reading};
use crate::copy::plan::emptied::is_emptied;
use crate::copy::plan::layers::Layers;
use crate::copy::request::Request;
use crate::copy::shard::lock;
use crate::copy::state::State;
use crate::support::rooted_dir::Dir;

/// What a run keeps open while its commands are at work.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    /// They hold a lock.
    pub(crate) marks: Vec<File>,
    pub(crate) kept: Kept,
}

/// Marks every owner's manifest in the destination, durably, after recording the changes that users have made so far.
/// The owners in `copied` have just copied and have recorded those already.
pub(crate) fn begin(destination: &Path, request: &Request, copied: &[OsString]) -> Result<Begun, Error> {
    let failed = |e| Error::system("write to the journal of", destination, e);
    let root = match Dir::open(destination) {
        // A later step will create the destination.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Begun::default()),
        root => root.map_err(failed)?,
    };
    let Some(state) = State::open_to_write(&root).map_err(failed)? else { return Ok(Begun::default()) };
    for owner in state.owners().map_err(failed)? {
        // After a run that did not end well, nobody can tell any more who changed what.
        let is_known = copied.contains(&owner) || state.unfinished_run(&owner).map_err(failed)?.is_some();
        // The shards of one copy begin at the same time.
        let is_share = request.options.shard.is_some();
        let _writing = is_share.then(|| lock::take(&state.journal, &owner)).transpose().map_err(failed)?;
        let Reading::Read(old) = Manifest::read(&state.manifests, &owner).map_err(failed)? else { continue };
        if is_known || is_emptied(&old, &root).map_err(failed)? {
            continue;
        }
        let layers = Layers::read(destination, &owner, old.head.since, None)
            .map_err(failed)?
            .following(old.head.follows);
        let rule = Rule::UsersDoing;
        let follow = old.head.follows.then_some(destination);
        let below = request.below.as_deref();
        let rewriting =
            Rewriting { rule, root: &root, old: &old, layers: &layers, filter: None, follow, below };
        rewriting.write(&state, &owner).map_err(failed)?;
    }
    if request.below.is_some() {
        // Marked in the run's own destination.
        return Ok(Begun::default());
    }
    let marks = state.begin_run(&request.run).map_err(failed)?;
    let kept = Kept::open(destination, &state, &request.run).map_err(failed)?;
    Ok(Begun { marks, kept })
}
