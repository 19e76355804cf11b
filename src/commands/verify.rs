//! `verify`: a volume compared with what the last copy installed.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::say::print;
use crate::attempt::messages;
use crate::attempt::outcome::Failure;
use crate::cli;
use crate::copy;
use crate::exit::Kind;
use crate::history::SCHEMA;
use crate::volume::{self, LOG_NAME, Volume};

const AS_WHO_MAY: &str = "verify as the user who copied, or another who may read all of it";

/// The object of `--json`; docs/formats.md has its fields.
#[derive(Serialize)]
struct Row<'a> {
    schema: u32,
    #[serde(flatten)]
    report: &'a copy::VerifyReport,
}

/// Compares a volume with its manifest; status 1 when it differs.
pub(super) fn verify(arguments: &cli::Verify) -> Result<(), Failure> {
    let mut report = copy::verify(&arguments.destination, arguments.state.as_deref()).map_err(|error| {
        let failure = messages::copy(&error);
        match (failure.kind, error.errno()) {
            (Kind::Config, _) => failure.advise("give the directory that a copy was made into"),
            (_, Some(nix::libc::EACCES)) => failure.advise(AS_WHO_MAY),
            _ => failure,
        }
    })?;
    let logs = logs_in(&arguments.destination);
    report.added.items.retain(|path| !logs.contains(path));
    let mut out = String::new();
    if arguments.json {
        let row = Row { schema: SCHEMA, report: &report };
        let text = serde_json::to_string(&row)
            .map_err(|_| Failure::new(Kind::Fault, "the report cannot be written as JSON"))?;
        let _ = writeln!(out, "{text}");
    } else {
        for (what, list) in [
            ("missing", &report.missing),
            ("modified", &report.modified),
            ("mode", &report.mode),
            ("denied", &report.denied),
            ("kept", &report.users),
            ("added", &report.added),
        ] {
            for path in &list.items {
                let _ = writeln!(out, "{what:<9} {path}");
            }
        }
        let _ = writeln!(out, "{}", report.summary());
    }
    print(out.as_bytes())?;
    if !report.denied.is_empty() {
        let (count, at) = (report.denied.len(), arguments.destination.display());
        let (what, them) = if count == 1 { ("entry", "it") } else { ("entries", "them") };
        let others = if report.is_clean() { "" } else { "; others are not as the last copy left them" };
        return Err(Failure::new(
            Kind::Io,
            format!("cannot compare {count} {what} of {at}, as this user may not read {them}{others}"),
        )
        .because("io")
        .advise(AS_WHO_MAY));
    }
    if report.is_clean() {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Command(1),
        format!("{} is not as the last copy left it", arguments.destination.display()),
    )
    .advise("the list says what differs; a new run brings back what is missing"))
}

/// The preserved logs in the destination: they are the runner's and were not added by a user.
fn logs_in(destination: &Path) -> Vec<String> {
    let volume = Volume::open(&destination.join(LOG_NAME), None);
    let names = volume.map(|volume| volume::histories(&volume)).unwrap_or_default();
    names.into_iter().map(|name| name.to_string_lossy().into_owned()).collect()
}
