//! `logs` and `history`: what was preserved, read back.

use std::io::Write;

use super::say::complain;
use crate::attempt::outcome::Failure;
use crate::cli;
use crate::exit::Kind;
use crate::history::logs::Form;
use crate::history::{self, HistoryError, Records, Selection};

pub(super) fn print_logs(logs: &cli::Logs) -> Result<(), Failure> {
    let (path, state) = (&logs.place.log, logs.place.state.as_deref());
    let mut out = std::io::stdout().lock();
    let selection =
        Selection { run: logs.run.clone(), attempt: logs.attempt, failed: logs.failed, all: logs.all };
    if logs.follow {
        return forgive_closed_pipe(history::follow::follow(path, state, &selection, &mut out));
    }
    let form = match (logs.json, logs.raw) {
        (true, _) => Form::Json,
        (false, true) => Form::Raw,
        (false, false) => Form::Framed,
    };
    let records = Records::open(path, state).map_err(unreadable)?;
    let printed = history::logs::print(&records, &selection, form, &mut out);
    forgive_closed_pipe(printed.and_then(|missing| all_there(missing, &mut out)))
}

pub(super) fn print_history(options: &cli::History) -> Result<(), Failure> {
    let records = Records::open(&options.place.log, options.place.state.as_deref()).map_err(unreadable)?;
    records.problems.iter().for_each(|problem| complain(&Failure::new(Kind::Io, problem.clone())));
    forgive_closed_pipe(history::table::print(&records, options.json, &mut std::io::stdout().lock()))
}

/// What could not be printed is said behind what could.
fn all_there(missing: Vec<String>, out: &mut impl Write) -> Result<(), HistoryError> {
    out.flush()?;
    missing.into_iter().for_each(|sentence| complain(&Failure::new(Kind::Io, sentence)));
    Ok(())
}

/// `hook-runner logs | head` is no failure.
fn forgive_closed_pipe(done: Result<(), HistoryError>) -> Result<(), Failure> {
    match done {
        Err(HistoryError::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(unreadable),
    }
}

fn unreadable(error: HistoryError) -> Failure {
    let kind = match error {
        HistoryError::Volume(_) | HistoryError::Print(_) => Kind::Io,
        _ => Kind::Config,
    };
    Failure::new(kind, error.to_string())
}
