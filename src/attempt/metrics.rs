//! The result of an attempt for Prometheus, in the text format of its textfile collector
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, io};

use super::outcome::Outcome;

/// Replaces the metrics file by a rename, so that a collector never reads half of it.
pub fn write(outcome: &Outcome, path: &Path) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let written = fs::File::create(&new)
        .and_then(|mut file| file.write_all(text(outcome, SystemTime::now()).as_bytes()))
        .and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

fn text(outcome: &Outcome, now: SystemTime) -> String {
    let identity = &outcome.identity;
    let known = [
        ("namespace", &identity.namespace),
        ("release", &identity.release),
        ("revision", &identity.revision),
        ("event", &identity.event),
    ];
    let labels: Vec<String> = known
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}=\"{}\"", escaped(value.as_ref()?))))
        .collect();
    let labels = labels.join(",");
    let seconds = |milliseconds: u64| format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
    let end = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();

    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, value: String| {
        let name = format!("hook_runner_last_attempt_{name}");
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{{{labels}}} {value}");
    };
    gauge("success", "1 when the attempt succeeded, else 0.", u8::from(outcome.status() == 0).to_string());
    gauge("exit_status", "The exit status of the attempt.", outcome.status().to_string());
    gauge("end_timestamp_seconds", "When the attempt ended.", end.to_string());
    gauge("duration_seconds", "How long the attempt took.", seconds(outcome.duration_ms));
    gauge("number", "The number of the attempt within its run.", outcome.attempt.to_string());
    gauge("command_retries", "Tries of commands after the first.", outcome.retries.to_string());
    gauge("copied_files", "Files that the copies brought.", outcome.files_copied.to_string());
    gauge("warnings", "Remarks that are no failure.", outcome.warnings.len().to_string());
    if !outcome.steps.is_empty() {
        let name = "hook_runner_last_attempt_step_duration_seconds";
        let _ = writeln!(text, "# HELP {name} How long each step took.\n# TYPE {name} gauge");
        let comma = if labels.is_empty() { "" } else { "," };
        for (at, step) in outcome.steps.iter().enumerate() {
            let step_label = format!("step=\"{}\",name=\"{}\"", at + 1, escaped(&step.step));
            let _ = writeln!(text, "{name}{{{labels}{comma}{step_label}}} {}", seconds(step.duration_ms));
        }
    }
    text
}

/// Escapes a label's value as the format requires.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
