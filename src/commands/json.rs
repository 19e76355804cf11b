//! The object that `copy --json` and `verify --json` print.

use serde::Serialize;

use crate::exit::{Failure, Kind};
use crate::history::SCHEMA;

#[derive(Serialize)]
struct Row<'a, T> {
    schema: u32,
    #[serde(flatten)]
    report: &'a T,
}

/// The report with the number of its schema; docs/formats.md has the fields.
pub(super) fn json(report: &impl Serialize) -> Result<String, Failure> {
    let row = Row { schema: SCHEMA, report };
    serde_json::to_string(&row).map_err(|_| Failure::new(Kind::Fault, "the report cannot be written as JSON"))
}
