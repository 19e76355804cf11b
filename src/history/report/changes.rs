//! What an attempt's copies changed on the volume: one row per entry, conflicts first.

use super::escape::escaped;
use crate::history::diff::itemized;
use crate::history::select::Chosen;

/// A first release installs thousands of files.
const MOST: usize = 200;

/// The table; empty if the attempt changed nothing or its changes are unknown.
pub(super) fn table(chosen: &Chosen<'_>) -> String {
    let Ok(Some(mut changes)) = chosen.records.changes_of(chosen.attempt) else { return String::new() };
    if changes.items.is_empty() {
        return String::new();
    }
    changes.items.sort_by_key(|change| change.action != "conflict");
    let all = changes.items.len() as u64 + changes.more;
    let mut html = format!("<h3>Changes on the volume ({all})</h3><table class=\"changes\">");
    for change in changes.items.iter().take(MOST) {
        let class = if change.action == "conflict" { " class=\"conflict\"" } else { "" };
        html.push_str(&format!(
            "<tr{class}><td>{}</td><td>{}<span class=\"how\">{}</span></td></tr>",
            escaped(&itemized(change)),
            escaped(&String::from_utf8_lossy(&change.path)),
            escaped(&change.reason)
        ));
    }
    html.push_str("</table>");
    let shown = changes.items.len().min(MOST) as u64;
    if shown < all {
        let run = escaped(&chosen.attempt.started.run);
        let left_out = all - shown;
        html.push_str(&format!("<p class=\"note\">{left_out} more; all of them: hook-runner diff {run}</p>"));
    }
    html
}
