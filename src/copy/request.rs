//! The request for a copy.

use std::path::PathBuf;

use crate::copy::options::Options;

#[derive(Debug, Clone, Default)]
pub struct Request {
    /// A directory, whose content is copied, or a file.
    pub source: PathBuf,
    /// Where the content goes; created if missing.
    pub destination: PathBuf,
    /// Another state directory in which version 0.1 may have left this destination's manifest.
    pub earlier_state: Option<PathBuf>,
    /// Identifies this attempt in the journal: `RUN.ATTEMPT.PROCESS`.
    pub run: String,
    /// Identifies the run of several shards: the parts of one group make one manifest. Only for `shard`.
    pub group: String,
    /// Paths that are left alone, whatever the image has there: the preserved log, state directories, other
    /// destinations inside this one.
    pub protect: Vec<PathBuf>,
    /// A run is at work on this volume: where the volume differs from the manifest and the image does not, the
    /// difference counts as the run's edit and is left.
    pub beside_run: bool,
    /// The owners that copy after this one in its run, and so have a name that both have. Without a run, the owner that
    /// came to the volume later has it.
    pub later: Option<Vec<Vec<u8>>>,
    /// The earlier copies of the run, each with destination and owner: layers below this one.
    pub earlier: Vec<(PathBuf, Vec<u8>)>,
    /// Steps follow that work on the image's version: what an earlier run's steps edited is installed again for them.
    /// Without such steps nobody would redo the work, so it stays.
    pub steps_follow: bool,
    /// For what a run did in a destination around its own: the path of its own there. Only what is below it counts.
    pub below: Option<PathBuf>,
    /// How to decide and work.
    pub options: Options,
    /// For tests: the number of steps until the copy is cut short.
    #[cfg(test)]
    pub(crate) steps: Option<std::sync::Arc<std::sync::atomic::AtomicUsize>>,
}

/// The name of the copy: as given, or the absolute path of its source.
pub fn owner_of(request: &Request) -> Vec<u8> {
    if let Some(owner) = &request.options.owner {
        return owner.clone().into_bytes();
    }
    let path = std::path::absolute(&request.source).unwrap_or_else(|_| request.source.clone());
    // `absolute` keeps a trailing `/`.
    let path: PathBuf = path.components().collect();
    path.into_os_string().into_encoded_bytes()
}
