//! `report`: a history as one HTML file.

use std::io::{self, IsTerminal};

use super::logs::{last_problem_fails, open, say_problems, selection, unreadable};
use super::say::print;
use crate::cli;
use crate::exit::{Failure, Kind};
use crate::history::{report, select};
use crate::support::cause::words;

pub(super) fn print_report(options: &cli::Report) -> Result<(), Failure> {
    // As elsewhere, `-` is the standard stream.
    let output = options.output.as_deref().filter(|path| path.as_os_str() != "-");
    if output.is_none() && io::stdout().is_terminal() {
        return Err(Failure::new(Kind::Config, "a report is a page for a browser, not for a terminal")
            .advise("give --output FILE, or redirect it into one"));
    }
    let all = open(&options.place)?;
    say_problems(&all);
    let place = options.place.log.canonicalize().unwrap_or_else(|_| options.place.log.clone());
    let mut page = Vec::new();
    let chosen = select(&all, &selection(&options.which)).map_err(unreadable)?;
    let problems = report::print(&chosen, &place.display().to_string(), &mut page).map_err(unreadable)?;
    match output {
        None => print(&page)?,
        Some(path) => std::fs::write(path, &page).map_err(|error| {
            Failure::new(Kind::Io, format!("cannot write {}: {}", path.display(), words(&error)))
                .advise("see that this user may write there, and that there is room")
        })?,
    }
    last_problem_fails(problems)
}
