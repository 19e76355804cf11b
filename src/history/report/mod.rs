//! `report`: a history as one self-contained HTML file. Its content security policy allows only its own script and style sheets,
//! by their hashes, so that it sends no request; everything from a log is escaped.

mod ansi;
mod attempt;
mod changes;
mod escape;
mod page;
mod steps;
mod style;
mod tails;
mod timeline;

use std::io::Write;

use self::ansi::Painter;
use self::page::Page;
use super::error::HistoryError;
use super::row::Row;
use super::select::{Chosen, newest_first, short_length};
use super::table::totals;

/// The most bytes of HTML besides the outputs. Together with their limit the file stays below 10 MiB.
const FACTS: usize = 3 << 20;

/// Writes the report on `chosen`, which were read from `place`. What cannot be read is noted in the report and returned.
pub fn print(
    chosen: &[Chosen<'_>],
    place: &str,
    out: &mut impl Write,
) -> Result<Vec<HistoryError>, HistoryError> {
    let newest = newest_first(chosen, usize::MAX);
    let rows: Vec<Row<'_>> = newest.iter().map(Row::of).collect();
    let id = short_length(rows.iter().map(|row| row.run));
    let mut attempts: Vec<String> = Vec::new();
    let mut size = 0;
    for (number, row) in rows.iter().enumerate() {
        let facts = attempt::facts(row, number, id) + &changes::table(&newest[number]);
        size += facts.len();
        if size > FACTS && number > 0 {
            break;
        }
        attempts.push(facts);
    }
    let rows = &rows[..attempts.len()];
    let mut painter = Painter::default();
    let (tails, problems) = tails::tails(&newest[..rows.len()], &mut painter);
    for (html, tail) in attempts.iter_mut().zip(&tails) {
        html.push_str(&attempt::output(tail));
    }
    let page = Page {
        place,
        totals: &totals(rows),
        left_out: newest.len() - rows.len(),
        colors: &style::rules(&painter.colors),
        timeline: &timeline::drawing(rows, id),
        attempts: &attempts,
    };
    page.write(out)?;
    out.flush()?;
    Ok(problems)
}
