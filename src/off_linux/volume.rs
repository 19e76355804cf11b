//! Files on the volume, for readers. The lock is never asked for.

#[path = "../volume/attempt.rs"]
mod attempt;
#[path = "../volume/bring_over.rs"]
mod bring_over;
#[path = "../volume/changes.rs"]
mod changes;
#[path = "../volume/error.rs"]
mod error;
#[path = "../volume/frames/mod.rs"]
pub mod frames;
#[path = "../volume/history_dir.rs"]
mod history_dir;
#[path = "../volume/index.rs"]
mod index;
#[path = "../volume/known.rs"]
mod known;
#[path = "../volume/paths.rs"]
mod paths;
#[path = "../volume/record.rs"]
pub mod record;

pub use crate::support::LOG_NAME;
pub use attempt::{Attempt, LogFile};
pub use changes::{Change, Changes};
pub use error::VolumeError;
pub use history_dir::History;
pub use known::{frame_of, histories, known, open_log};
pub use paths::Volume;

/// The volume's lock, which only Linux can see.
pub mod lock {
    use crate::support::rooted_dir::Dir;

    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Holder {
        /// The run's id.
        pub run: String,
    }

    #[derive(Debug, Clone, PartialEq, Eq)]
    #[allow(missing_docs)]
    pub enum AtWork {
        Yes(Holder),
        No,
        Unknown,
    }

    /// Always unknown.
    pub fn at_work(_state: &Dir) -> AtWork {
        AtWork::Unknown
    }
}
