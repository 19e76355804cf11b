//! The steps of an attempt: words, result, duration, and a bar that shows when each of them ran.

use std::time::Duration;

use super::escape::escaped;
use crate::history::row::Row;
use crate::support::durations::shown;

/// The most steps that are shown; a hook file may have thousands.
const MOST: usize = 100;
/// Parts of the bar's width.
const WIDTH: u64 = 1000;
/// The width of the narrowest bar that is visible.
const NARROWEST: u64 = 6;

/// The table; empty for an attempt without steps.
pub(super) fn table(row: &Row<'_>) -> String {
    if row.steps.is_empty() {
        return String::new();
    }
    let all = row.steps.iter().map(|step| step.duration_ms).sum::<u64>().max(1);
    // The failure's sentence begins with that of the step that failed.
    let has_failed = row.status.is_some_and(|status| status != 0);
    let is_cause = |result: &str| has_failed && !result.is_empty() && row.message.starts_with(result);
    let cause = row.steps.iter().position(|step| is_cause(&step.result));
    let mut html = String::from("<h3>Steps</h3><table class=\"steps\">");
    let mut before = 0;
    for (at, step) in row.steps.iter().enumerate().take(MOST) {
        let class = if cause == Some(at) { "failed" } else { "ok" };
        let width = (step.duration_ms * WIDTH / all).clamp(NARROWEST, WIDTH);
        let left = (before * WIDTH / all).min(WIDTH - width);
        before += step.duration_ms;
        html.push_str(&format!(
            "<tr class=\"{class}\"><td class=\"number\">{}.</td><td>{}<span class=\"how\">{}</span></td><td class=\"took\">{}</td>\
             <td class=\"bar\"><svg viewBox=\"0 0 {WIDTH} 10\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">\
             <rect x=\"{left}\" width=\"{width}\" height=\"10\"/></svg></td></tr>",
            at + 1,
            escaped(&step.step),
            escaped(&step.result),
            shown(Duration::from_millis(step.duration_ms)),
            shown(Duration::from_millis(step.duration_ms)),
        ));
    }
    html.push_str("</table>");
    if row.steps.len() > MOST {
        html.push_str(&format!("<p class=\"note\">{} more steps are left out.</p>", row.steps.len() - MOST));
    }
    html
}
