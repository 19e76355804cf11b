//! What commands say: results on stdout, failures on stderr.

use std::io::{IsTerminal, Write};

use crate::attempt::outcome::Failure;
use crate::exit::Kind;

pub(super) fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(unprintable(&error)),
        _ => Ok(()),
    }
}

pub(super) fn unprintable(error: &std::io::Error) -> Failure {
    Failure::new(Kind::Io, format!("cannot print: {error}"))
}

pub(super) fn complain(failure: &Failure) {
    let terminal = std::io::stderr().is_terminal();
    let mark = if terminal { "\u{1b}[31mhook-runner:\u{1b}[0m" } else { "hook-runner:" };
    // Whoever reads it may have stopped: the status comes all the same.
    crate::output::say(&format!("{mark} {}\n", failure.sentence()));
}
