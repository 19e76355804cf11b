//! `verify`: a volume compared with what the last copy installed.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

use super::json::json;
use super::say::print;
use crate::attempt::messages;
use crate::attempt::outcome::Failure;
use crate::cli;
use crate::copy;
use crate::exit::Kind;
use crate::volume::{self, LOG_NAME, Volume};

const AS_WHO_MAY: &str = "verify as the user who copied, or another who may read all of it";

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
    report.added.items.retain(|path| !logs.iter().any(|log| path.as_path() == Path::new(log)));
    let mut out = String::new();
    if arguments.json {
        let _ = writeln!(out, "{}", json(&report)?);
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
            if list.more > 0 {
                let _ = writeln!(out, "{what:<9} {} more", list.more);
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
fn logs_in(destination: &Path) -> Vec<OsString> {
    let volume = Volume::open(&destination.join(LOG_NAME), None);
    volume.map(|volume| volume::histories(&volume)).unwrap_or_default()
}
