//! How following a container's log ends: with the container's own end, or without the log.

use std::io;

use super::api::ApiError;
use super::pod::Terminated;
use crate::support::cause::words;

/// The container has ended and its log is written.
#[derive(Debug)]
pub struct Ended {
    /// The container's end.
    pub how: Terminated,
    /// How often lines may be missing, because the log was rotated before the first connection or between two.
    pub gaps: u32,
    /// The log does not end in a line break.
    #[allow(dead_code, reason = "tests look at it")]
    pub mid_line: bool,
}

/// Why the log was not preserved.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The API server does not permit it.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// No such container.
    #[error("this pod has no container {name:?}; it has {}", there.join(", "))]
    UnknownContainer {
        /// What was asked for.
        name: String,
        /// What there is.
        there: Vec<String>,
    },
    /// The container ended, and the rest of its log cannot be read.
    #[error("the container ended with status {}, and the rest of its log cannot be read: {why}", how.exit_code)]
    LogLost {
        /// How it ended.
        how: Terminated,
        /// The reason.
        why: String,
    },
    /// The container was restarted more than once before its end was seen.
    #[error(
        "container {name:?} was started again and again while the API server was away; its end was not seen"
    )]
    Gone {
        /// The container.
        name: String,
    },
    /// The sink failed.
    #[error("the log cannot be written: {}", words(source))]
    Sink {
        /// The system's answer.
        source: io::Error,
    },
}
