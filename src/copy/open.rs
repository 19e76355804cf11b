//! Opens what a copy works on: source, destination, the state directory, and the filters.

use tokio_util::sync::CancellationToken;

use crate::copy::error::Error;
use crate::copy::manifest;
use crate::copy::own_files::OwnFiles;
use crate::copy::plan::filter::Filter;
use crate::copy::plan::protected::Protected;
use crate::copy::plan::scope::Scope;
use crate::copy::preflight::Places;
use crate::copy::request::{Request, owner_of};
use crate::copy::shard::partition::Shares;
use crate::copy::state::State;
use crate::copy::tree::roots::{Roots, source_error};
use crate::support::rooted_dir::Dir;

pub(crate) struct Opened {
    pub(crate) roots: Roots,
    pub(crate) scope: Scope,
    pub(crate) files: OwnFiles,
}

/// Opens everything and creates a missing destination, but creates nothing in a dry run.
pub(crate) fn open(request: &Request, workers: usize, cancel: &CancellationToken) -> Result<Opened, Error> {
    let options = &request.options;
    let filter = Filter::new(options)?;
    let places = Places::find(request)?;
    let shares = options.shard.filter(|_| places.single.is_none()).map(|shard| {
        Shares::of(shard, &places.source, &filter, (workers, cancel), |path, errno| {
            source_error(&request.source, "list", path, errno)
        })
    });
    let shares = shares.transpose()?;
    let (destination, state) = if options.dry_run {
        open_as_it_is(&places)?
    } else {
        let (destination, state) = places.make(request)?;
        (Some(destination), Some(state))
    };
    let failed = |e| Error::system("read the state of", &places.destination, e);
    let created = match &state {
        Some(state) => state.is_new_root().map_err(failed)?,
        None => destination.is_none(),
    };
    let kept = destination.iter().chain(state.as_ref().map(|state| &state.root));
    let not_source = kept.filter_map(|dir| dir.stat().ok()).map(|stat| (stat.st_dev, stat.st_ino)).collect();
    // In a dry run without a destination, the source stands in for it and is not looked at as a destination.
    let destination = match destination {
        Some(destination) => destination,
        None => places.source.reopen().map_err(failed)?,
    };
    let protected = Protected::of(request, &places.destination, state.as_ref());
    let name = manifest::file_name(&owner_of(request));
    let files = OwnFiles::of(request, name, state, shares.as_ref());
    let only = places.single.as_ref().map(|single| single.to.clone());
    let roots = Roots {
        source: places.source,
        source_path: request.source.clone(),
        single: places.single,
        destination,
        path: places.destination,
        not_source,
        created,
        follow: options.follow_destination_links,
        dereference: options.dereference,
    };
    Ok(Opened { roots, scope: Scope { filter, only, protected, shares }, files })
}

/// For a dry run: the destination and its state, if they exist.
fn open_as_it_is(places: &Places) -> Result<(Option<Dir>, Option<State>), Error> {
    let failed = |e| Error::unusable("open the destination", &places.destination, e);
    match Dir::open(&places.destination) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok((None, None)),
        Err(error) => Err(failed(error)),
        Ok(destination) => {
            let state = State::open(&destination).map_err(failed)?;
            Ok((Some(destination), state))
        }
    }
}
