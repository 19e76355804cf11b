//! What a copy is asked for.

use std::path::PathBuf;

use crate::copy::options::Options;

/// One copy.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The directory whose content is copied.
    pub source: PathBuf,
    /// The directory that the content goes into; made when missing.
    pub destination: PathBuf,
    /// A state directory where version 0.1 may have left this destination's manifest, beside the destination's own.
    pub earlier_state: Option<PathBuf>,
    /// Names this attempt: what the journal says of a run is told apart by it.
    pub run: String,
    /// Names the run that several shards belong to: parts of one group make one manifest. Only for `shard`.
    pub group: String,
    /// Paths that are left alone, whatever the image has there: the preserved log, the state directory, other
    /// destinations inside this one.
    pub protect: Vec<PathBuf>,
    /// A run is at work on this volume: what differs from the manifest where the image does not is taken for its
    /// edit and left.
    pub beside_run: bool,
    /// The owners whose copies come after this one in its run: of two that have a name, the later one of a run has it. Without
    /// a run, the one that came to the volume later.
    pub later: Option<Vec<Vec<u8>>>,
    /// The copies before this one in its run, each by its destination and owner: they are layers below it.
    pub earlier: Vec<(PathBuf, Vec<u8>)>,
    /// Steps follow this copy that do their work on the image's version: what an earlier run's steps edited is
    /// installed afresh for them. Without such steps nobody would do that work again, so it stays.
    pub steps_follow: bool,
    /// How to decide and work.
    pub options: Options,
    /// So many steps may be taken.
    #[cfg(test)]
    pub(crate) steps: Option<std::sync::Arc<std::sync::atomic::AtomicUsize>>,
}

/// The name of the copy: given, or else its source, as seen from the root.
pub fn owner_of(request: &Request) -> Vec<u8> {
    if let Some(owner) = &request.options.owner {
        return owner.clone().into_bytes();
    }
    let path = std::path::absolute(&request.source).unwrap_or_else(|_| request.source.clone());
    // `absolute` keeps a `/` at the end.
    let path: PathBuf = path.components().collect();
    path.into_os_string().into_encoded_bytes()
}
