//! Prints results on stdout, failures and warnings on stderr.

use std::io::Write;

use crate::exit::{Failure, Kind};
use crate::output::{self, Level};
use crate::support::cause::words;

/// Prints a result. A closed pipe, as of `| head`, is no failure.
pub(super) fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(unprintable(&error)),
        _ => Ok(()),
    }
}

pub(super) fn unprintable(error: &std::io::Error) -> Failure {
    Failure::new(Kind::Io, format!("cannot print: {}", words(error)))
}

/// Prints a failure.
pub(super) fn complain(failure: &Failure) {
    output::say(Level::Error, &failure.sentence());
}

/// Prints a warning.
pub(super) fn warn(sentence: &str) {
    output::say(Level::Warning, sentence);
}
