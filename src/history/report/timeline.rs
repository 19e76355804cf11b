//! The timeline: one bar per attempt, its height from the duration; the attempts of one run stand side by side.

use std::time::Duration;

use super::attempt::{class, title};
use super::escape::escaped;
use crate::history::row::Row;
use crate::history::shard::group;
use crate::support::durations::shown;

/// Height of the highest bar.
const HEIGHT: u64 = 56;
/// Height of the mark below a failed attempt's bar: its colour alone would not be enough.
const MARK: u64 = 5;
const LOWEST: u64 = 4;
/// About the width of all bars together. Many bars make it wider, so that each stays visible.
const WIDTH: usize = 880;

/// The drawing of `newest`; `id` is the length of shortened run ids.
pub(super) fn drawing(newest: &[Row<'_>], id: usize) -> String {
    let longest = newest.iter().filter_map(|row| row.duration_ms).max().unwrap_or(0).max(1);
    let bar = (WIDTH / newest.len().max(1)).clamp(4, 24);
    let (mut x, mut bars) = (0, String::new());
    let mut last: Option<&str> = None;
    for (number, row) in newest.iter().enumerate().rev() {
        if last.is_some_and(|last| last != group(row.run)) {
            x += bar / 2;
        }
        last = Some(group(row.run));
        let took = row.duration_ms.unwrap_or(0);
        // On a square-root scale, so that both an hour and a second are visible.
        let height = LOWEST + (HEIGHT - LOWEST) * (took * 10_000 / longest).isqrt() / 100;
        let (y, class, width) = (HEIGHT - height, class(row), bar - 1);
        let told = format!("{}: {} after {}", title(row, id), row.result, shown(Duration::from_millis(took)));
        bars.push_str(&format!(
            "<a href=\"#a{number}\" class=\"{class}\"><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>",
            escaped(&told)
        ));
        if class == "failed" {
            bars.push_str(&format!(
                "<rect x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{MARK}\"/>",
                HEIGHT + 2
            ));
        }
        bars.push_str("</a>");
        x += bar;
    }
    let day =
        |row: Option<&Row<'_>>| row.map(|row| escaped(row.started.split('T').next().unwrap_or_default()));
    format!(
        "<figure id=\"timeline\"><svg width=\"{x}\" height=\"{}\" viewBox=\"0 0 {x} {0}\" role=\"group\" aria-label=\"attempts in the order of time\">{bars}</svg>\
         <figcaption><span>{}</span><span>{}</span></figcaption></figure>",
        HEIGHT + 2 + MARK,
        day(newest.last()).unwrap_or_default(),
        day(newest.first()).unwrap_or_default(),
    )
}
