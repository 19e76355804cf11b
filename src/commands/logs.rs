//! `logs`: prints preserved logs.

use std::process::ExitCode;

use super::pager::Out;
use crate::cli;
use crate::exit::{Failure, Kind};
use crate::history::follow::{Follow, follow};
use crate::history::logs::{View, print};
use crate::history::{self, Filter, HistoryError, Records, Selection, select};
use crate::output::{Level, say};

pub(super) fn print_logs(logs: &cli::Logs) -> Result<ExitCode, Failure> {
    let selection = Selection {
        run: logs.run.clone(),
        attempt: logs.attempt,
        failed: logs.failed,
        all: logs.all,
        since: logs.since.map(|since| since.0),
        until: logs.until.map(|until| until.0),
        ..Selection::default()
    };
    if logs.follow {
        return follow_logs(logs, selection);
    }
    let all = open(&logs.place)?;
    say_problems(&all);
    let chosen = select(&all, &selection).map_err(unreadable)?;
    let view = View {
        filter: Filter { step: logs.step, grep: logs.grep.clone(), tail: logs.tail },
        raw: logs.raw || logs.step.is_some() || logs.grep.is_some(),
        verbatim: logs.raw && logs.grep.is_none() && !logs.timestamps,
        json: logs.json,
        timestamps: logs.timestamps,
        several_logs: all.len() > 1,
    };
    let mut out = Out::open(!logs.no_pager && !logs.json);
    let printed = print(&chosen, &view, &mut out);
    out.finish();
    let (mut problems, printed) = match printed {
        Ok(problems) => (problems, Ok(())),
        Err(error) => (Vec::new(), Err(error)),
    };
    closed_pipe_is_no_failure(printed)?;
    // With --all, a log that retention removed is no failure.
    if logs.all {
        problems.retain(|problem| {
            let is_gone = matches!(problem, HistoryError::NotKept { .. });
            if is_gone {
                say(Level::Warning, &problem.to_string());
            }
            !is_gone
        });
    }
    last_problem_fails(problems).map(|()| ExitCode::SUCCESS)
}

/// After the rest was printed: warns of each attempt that could not be read, and fails with the last one.
pub(super) fn last_problem_fails(mut problems: Vec<HistoryError>) -> Result<(), Failure> {
    let last = problems.pop();
    for problem in problems {
        say(Level::Warning, &problem.to_string());
    }
    last.map_or(Ok(()), |problem| Err(unreadable(problem)))
}

fn follow_logs(logs: &cli::Logs, selection: Selection) -> Result<ExitCode, Failure> {
    let what = Follow {
        place: logs.place.log.clone(),
        state: logs.place.state.clone(),
        selection,
        raw: logs.raw,
        tail: logs.tail,
        forever: logs.forever,
    };
    let told = |text: &str| say(Level::Info, text);
    match follow(&what, &mut std::io::stdout().lock(), &told) {
        Ok(status) if logs.exit_status => Ok(ExitCode::from(status)),
        done => closed_pipe_is_no_failure(done.map(drop)).map(|()| ExitCode::SUCCESS),
    }
}

pub(super) fn open(place: &cli::Place) -> Result<Vec<Records>, Failure> {
    history::open(&place.log, place.state.as_deref()).map_err(unreadable)
}

/// All attempts that a command is about.
pub(super) fn selection(which: &cli::Which) -> Selection {
    Selection {
        all: true,
        since: which.since.map(|since| since.0),
        until: which.until.map(|until| until.0),
        release: which.release.clone(),
        log: which.log_name.clone(),
        ..Selection::default()
    }
}

/// Warns of what cannot be read of a history. The rest is shown.
pub(super) fn say_problems(all: &[Records]) {
    for problem in all.iter().flat_map(|records| &records.problems) {
        say(Level::Warning, problem);
    }
}

/// `hook-runner logs | head` is no failure.
pub(super) fn closed_pipe_is_no_failure(done: Result<(), HistoryError>) -> Result<(), Failure> {
    match done {
        Err(HistoryError::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(unreadable),
    }
}

pub(super) fn unreadable(error: HistoryError) -> Failure {
    let kind = match error {
        HistoryError::Volume(_)
        | HistoryError::Print(_)
        | HistoryError::NotKept { .. }
        | HistoryError::Unread { .. }
        | HistoryError::NoChanges { .. } => Kind::Io,
        _ => Kind::Config,
    };
    let failure = Failure::new(kind, error.to_string());
    match &error {
        HistoryError::Volume(error) if error.source.kind() == std::io::ErrorKind::PermissionDenied => {
            failure.advise("read as the user or in the group that the hook ran with")
        }
        _ => failure,
    }
}
