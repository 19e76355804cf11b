//! An attempt as programs read it: one object, the same for `history --json` and `logs --json`. docs/formats.md has its
//! fields.

use std::borrow::Cow;

use serde::Serialize;

use super::select::Chosen;
use super::shard::shard;
use super::state::State;
use crate::support::os::OsStrExt;
use crate::support::raw_path::Written;
use crate::volume::record::StepEnd;

/// The version of all JSON output. Removing a field or changing its meaning needs a new version.
pub const SCHEMA: u32 = 2;

#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    schema: u32,
    log: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_base64: Option<String>,
    /// The name that the hook was given, without the number of a shard.
    #[serde(skip)]
    pub(super) given: Cow<'a, str>,
    pub(super) run: &'a str,
    pub(super) shard: Option<u32>,
    pub(super) attempt: u32,
    pub(super) started: &'a str,
    pub(super) ended: Option<&'a str>,
    pub(super) release: Option<&'a str>,
    pub(super) revision: Option<&'a str>,
    pub(super) event: Option<&'a str>,
    pub(super) job: Option<&'a str>,
    pub(super) pod: Option<&'a str>,
    pub(super) result: &'a str,
    pub(super) status: Option<u8>,
    pub(super) message: &'a str,
    pub(super) duration_ms: Option<u64>,
    pub(super) files_copied: Option<u64>,
    retries: Option<u32>,
    pub(super) steps: &'a [StepEnd],
    /// Its bytes are still on the volume.
    kept: bool,
}

impl<'a> Row<'a> {
    pub(super) fn of(chosen: &Chosen<'a>) -> Self {
        let (started, ended) = (&chosen.attempt.started, chosen.attempt.ended.as_ref());
        let log = Written::of(chosen.records.name.as_bytes());
        Self {
            schema: SCHEMA,
            log: log.text,
            log_base64: log.base64,
            given: chosen.records.given.to_string_lossy(),
            run: &started.run,
            shard: shard(&started.run).map(|(_, number)| number),
            attempt: started.attempt,
            started: &started.at,
            ended: ended.map(|ended| ended.at.as_str()),
            release: started.release.as_deref(),
            revision: started.revision.as_deref(),
            event: started.event_name.as_deref(),
            job: started.job.as_deref(),
            pod: started.pod.as_deref(),
            result: match State::of(chosen.records, chosen.attempt) {
                State::Ended => ended.map_or("", |ended| ended.result.as_str()),
                State::Running => "running",
                State::Interrupted => "interrupted",
                State::Unfinished => "unfinished",
            },
            status: ended.map(|ended| ended.status),
            message: ended.map_or("", |ended| &ended.message),
            duration_ms: ended.map(|ended| ended.duration_ms),
            files_copied: ended.map(|ended| ended.files_copied),
            retries: ended.map(|ended| ended.retries),
            steps: ended.map_or(&[], |ended| &ended.steps),
            kept: chosen.attempt.bytes.is_some(),
        }
    }
}
