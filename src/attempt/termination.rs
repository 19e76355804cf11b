//! The termination message: the outcome as JSON for the kubelet, which `kubectl describe` shows.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc;
use serde::Serialize;

use super::outcome::Outcome;
use crate::output::{self, Level};
use crate::support::cause::words;

/// Limit of a termination message in bytes (Kubernetes: "Determine the Reason for Pod Failure", 4096).
const LIMIT: usize = 4096;

/// The kubelet's default path.
const DEFAULT: &str = "/dev/termination-log";

/// Writes the message. A failure to write to a given path is reported, but the status stands.
pub fn write(outcome: &Outcome, path: Option<&Path>) {
    // The kubelet creates the default file; outside a pod nothing must appear in /dev.
    let (file, create) = path.map_or((Path::new(DEFAULT), false), |path| (path, true));
    // NONBLOCK: a FIFO without a reader must fail, not block.
    let mut options = File::options();
    options.write(true).create(create).truncate(true).custom_flags(libc::O_NONBLOCK);
    let written = options.open(file).and_then(|mut file| file.write_all(json(outcome, LIMIT).as_bytes()));
    if let (Err(error), Some(path)) = (written, path) {
        let (path, why) = (path.display(), words(&error));
        let what = "the termination message cannot be written to";
        output::say(Level::Warning, &format!("{what} {path}: {why}; the result stands"));
    }
}

/// The outcome as JSON of at most `limit` bytes. If it is longer, first the warnings, then the steps are left out, then
/// the failure's texts are cut on a character boundary, so that it stays valid JSON.
fn json(outcome: &Outcome, limit: usize) -> String {
    #[derive(Serialize)]
    struct Message<'a> {
        status: u8,
        result: &'a str,
        #[serde(flatten)]
        outcome: &'a Outcome,
    }
    let render = |outcome: &Outcome| {
        serde_json::to_string(&Message { status: outcome.status(), result: outcome.word(), outcome })
            .unwrap_or_default()
    };
    let mut short = outcome.clone();
    let mut room = limit;
    loop {
        let text = render(&short);
        if text.len() <= limit {
            return text;
        }
        if room == 0 {
            // Only an absurdly long identity gets here.
            return format!(r#"{{"status":{},"result":"{}"}}"#, outcome.status(), outcome.word());
        }
        room /= 2;
        short.warnings.iter_mut().for_each(|text| cut(text, room / 16));
        short.steps.iter_mut().for_each(|step| {
            cut(&mut step.step, room / 8);
            cut(&mut step.result, room / 8);
        });
        if room < limit / 2 {
            short.warnings.truncate(room / 256);
            let surplus = short.steps.len().saturating_sub(room / 128);
            short.steps.drain(..surplus);
        }
        if let Some(failure) = &mut short.failure {
            cut(&mut failure.message, room);
            cut(&mut failure.advice, room / 2);
        }
        if let Some(log) = &mut short.log {
            cut(log, room);
        }
    }
}

fn cut(text: &mut String, limit: usize) {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit.saturating_sub(3)));
        text.push_str("...");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::outcome::{Failure, StepReport};
    use crate::exit::Kind;
    use crate::hook::identity::Identity;

    #[test]
    fn an_identity_of_any_size_leaves_room_for_the_status() {
        let identity = Identity { run: "r".repeat(9000), ..Identity::default() };
        let outcome = Outcome::new(identity).failed(Failure::new(Kind::Io, "x"));
        assert_eq!(json(&outcome, LIMIT), r#"{"status":74,"result":"io"}"#);
    }

    fn outcome(message: &str, steps: usize) -> Outcome {
        let identity = Identity { run: "r".into(), ..Identity::default() };
        let mut outcome = Outcome::new(identity);
        outcome.log = Some("/data/log".into());
        outcome.fail(Failure::new(Kind::Command(3), message).advise("read the log"));
        let step = StepReport { step: "é".repeat(300), result: "ö".repeat(300), duration_ms: 1 };
        outcome.steps = vec![step; steps];
        outcome
    }

    #[test]
    fn the_termination_message_is_valid_json_within_the_limit_whatever_the_size() {
        for (message, steps) in
            [("short".into(), 0), ("é".repeat(5000), 0), ("\u{1}".repeat(9000), 3), ("x".into(), 500)]
        {
            let text = json(&outcome(&message, steps), LIMIT);
            assert!(text.len() <= LIMIT, "{} bytes", text.len());
            let value: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
            assert_eq!(value["status"], 3);
            assert_eq!(value["result"], "command");
        }
    }
}
