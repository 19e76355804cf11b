//! `history`: the table of attempts.

use std::io::IsTerminal;

use super::logs::{closed_pipe_is_no_failure, open, say_problems, selection};
use crate::cli::{self, Format, When};
use crate::exit::Failure;
use crate::history::table::{self, Style};
use crate::history::{self, Selection, select};
use crate::support::color;
use crate::support::os::columns;

/// Columns of a terminal that does not tell its width.
const WIDTH: usize = 80;

pub(super) fn print_history(options: &cli::History) -> Result<(), Failure> {
    let all = open(&options.place)?;
    say_problems(&all);
    let selection = Selection {
        run: options.run.clone(),
        failed: options.failed,
        revision: options.revision.clone(),
        ..selection(&options.which)
    };
    let stdout = std::io::stdout();
    let style = Style {
        number: options.number,
        json: options.json || options.output == Format::Json,
        color: match options.color {
            When::Always => true,
            When::Never => false,
            When::Auto => color::wanted(&stdout),
        },
        width: stdout.is_terminal().then(|| columns().unwrap_or(WIDTH)),
        several_logs: history::several_logs(&all),
    };
    let done = select(&all, &selection).and_then(|chosen| table::print(&chosen, style, &mut stdout.lock()));
    closed_pipe_is_no_failure(done)
}
