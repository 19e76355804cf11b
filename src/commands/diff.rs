//! `diff`: what a run changed on the volume.

use super::logs::{closed_pipe_is_no_failure, last_problem_fails, open, say_problems, unreadable};
use crate::cli;
use crate::exit::Failure;
use crate::history::diff::{Range, diff, print};

pub(super) fn print_diff(arguments: &cli::Diff) -> Result<(), Failure> {
    let place = cli::Place { log: arguments.log.clone(), state: arguments.state.clone() };
    let all = open(&place)?;
    say_problems(&all);
    let range = match arguments.run.as_slice() {
        [after, up_to, ..] => Range { after: Some(after.clone()), up_to: Some(up_to.clone()) },
        [run] => Range { after: None, up_to: Some(run.clone()) },
        [] => Range::default(),
    };
    let diff = diff(&all, &range).map_err(unreadable)?;
    closed_pipe_is_no_failure(print(&diff, arguments.json, &mut std::io::stdout().lock()))?;
    last_problem_fails(diff.problems)
}
