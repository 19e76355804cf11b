//! `logs` and `history`: what was preserved, read back.

use crate::attempt::outcome::Failure;
use crate::cli;
use crate::exit::Kind;
use crate::history::{self, HistoryError, Records};

pub(super) fn print_logs(logs: &cli::Logs) -> Result<(), Failure> {
    let records = Records::open(&logs.place.log, logs.place.state.as_deref()).map_err(unreadable)?;
    let mut out = std::io::stdout().lock();
    let selection = history::logs::Selection {
        run: logs.run.clone(),
        attempt: logs.attempt,
        failed: logs.failed,
        all: logs.all,
    };
    let done = if logs.follow {
        history::logs::follow(&records, &mut out)
    } else {
        history::logs::print(&records, &selection, logs.json, &mut out)
    };
    forgive_closed_pipe(done)
}

pub(super) fn print_history(options: &cli::History) -> Result<(), Failure> {
    let records = Records::open(&options.place.log, options.place.state.as_deref()).map_err(unreadable)?;
    forgive_closed_pipe(history::table::print(&records, options.json, &mut std::io::stdout().lock()))
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
        HistoryError::Store(_) | HistoryError::Print(_) => Kind::Io,
        _ => Kind::Config,
    };
    Failure::new(kind, error.to_string())
}
