//! Files on the volume: their paths, the histories of the preserved logs, the locks. docs/formats.md states each byte.

mod archive;
mod attempt;
mod bring_over;
mod changes;
mod create;
mod error;
pub mod followed;
pub mod frames;
mod history_dir;
mod index;
mod known;
pub mod lock;
mod log_place;
mod paths;
mod put_back;
pub mod record;
mod retention;
mod seal;

pub use crate::support::LOG_NAME;
pub use attempt::{Attempt, LogFile};
pub use bring_over::bring_over;
pub use changes::{Change, Changes};
pub use error::VolumeError;
pub use history_dir::History;
pub use known::{frame_of, histories, known, open_log};
pub use log_place::{LogProblem, Placed, check, place};
pub use paths::{STATE_DIRECTORY, Volume};
pub use retention::{Keep, prune};
pub use seal::{Footers, OpenLog, SealError};
