//! One attempt in the page: a line that is always visible and opens to facts, steps, changes and the end of the output.

use std::time::Duration;

use super::escape::escaped;
use super::steps;
use super::tails::Tail;
use crate::history::row::Row;
use crate::history::shard::group;
use crate::support::durations::shown;

/// How an attempt's result is shown: its class in the style sheet.
pub(super) fn class(row: &Row<'_>) -> &'static str {
    match row.result {
        "succeeded" | "adopted" => "ok",
        "running" => "running",
        "interrupted" | "unfinished" => "unknown",
        _ => "failed",
    }
}

/// The title of an attempt.
pub(super) fn title(row: &Row<'_>, id: usize) -> String {
    let release = match (row.release, row.revision) {
        (Some(release), Some(revision)) => format!("{release} {revision}, "),
        (Some(release), None) => format!("{release}, "),
        _ => String::new(),
    };
    let run: String = group(row.run).chars().take(id).collect();
    format!("{release}run {run}, attempt {}", row.attempt)
}

/// Everything but the output. `number` is the attempt's anchor in the page, `id` the length of shortened run ids.
pub(super) fn facts(row: &Row<'_>, number: usize, id: usize) -> String {
    let result = match row.status {
        Some(status) if status != 0 => format!("{} ({status})", row.result),
        _ => row.result.to_owned(),
    };
    let class = class(row);
    let open = if number == 0 { " open" } else { "" };
    let took = row.duration_ms.map(|ms| shown(Duration::from_millis(ms))).unwrap_or_default();
    let mut html = format!(
        "<details class=\"attempt {class}\" id=\"a{number}\"{open}><summary><span class=\"result\">{}</span> \
         <time>{}</time> <span class=\"title\">{}</span> <span class=\"took\">{took}</span>",
        escaped(&result),
        escaped(&moment(row.started)),
        escaped(&title(row, id)),
    );
    if !row.message.is_empty() {
        html.push_str(&format!("<span class=\"cause\">{}</span>", escaped(row.message)));
    }
    html.push_str("</summary><dl>");
    let shard = row.shard.map(|shard| shard.to_string());
    let copied = row.files_copied.filter(|files| *files > 0).map(|files| files.to_string());
    let known = [
        ("run", Some(group(row.run))),
        ("shard", shard.as_deref()),
        ("release", row.release),
        ("revision", row.revision),
        ("event", row.event),
        ("job", row.job),
        ("pod", row.pod),
        ("log", Some(&*row.given)),
        ("started", Some(row.started)),
        ("ended", row.ended),
        ("files copied", copied.as_deref()),
    ];
    for (name, value) in known {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            html.push_str(&format!("<div><dt>{name}</dt><dd>{}</dd></div>", escaped(value)));
        }
    }
    html.push_str("</dl>");
    html.push_str(&steps::table(row));
    html
}

/// The end of the output, and of the attempt.
pub(super) fn output(tail: &Tail) -> String {
    let mut html = String::from("<h3>Output</h3>");
    if !tail.note.is_empty() {
        html.push_str(&format!("<p class=\"note\">{}</p>", escaped(&tail.note)));
    }
    if !tail.html.is_empty() {
        // Browsers drop the first newline of a `pre`.
        html.push_str(&format!("<pre tabindex=\"0\">\n{}</pre>", tail.html));
    }
    html + "</details>\n"
}

/// `2026-01-31 23:59:59Z`.
fn moment(rfc3339: &str) -> String {
    let seconds = rfc3339.split('.').next().unwrap_or_default().trim_end_matches('Z');
    format!("{}Z", seconds.replace('T', " "))
}
