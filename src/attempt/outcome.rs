//! The outcome of an attempt and its text: the line on stderr and the footer of the log.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

pub use crate::exit::Failure;
use crate::hook::identity::Identity;
use crate::support::durations::shown;

/// The word for an attempt without a failure.
pub const SUCCEEDED: &str = "succeeded";

/// The result of one step.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// The step in words.
    pub step: String,
    /// How it ended, in words.
    pub result: String,
    /// Duration in milliseconds.
    pub duration_ms: u64,
}

/// The result of an attempt.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    #[serde(flatten)]
    pub identity: Identity,
    pub attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The steps that were started.
    pub steps: Vec<StepReport>,
    /// The byte range of each step in the attempt's output.
    #[serde(skip)]
    pub borders: Vec<Range<u64>>,
    /// The byte ranges of the runner's own lines in the output.
    pub own: Vec<Range<u64>>,
    /// Remarks that are no failure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Number of files that copies installed.
    pub files_copied: u64,
    /// How often commands were started again, over all steps.
    pub retries: u32,
    /// stdout and stderr are the same, and the command's last line there has no newline.
    #[serde(skip)]
    pub after_partial_line: bool,
    /// The preserved log, if it holds anything of this attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

impl Outcome {
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            attempt: 1,
            failure: None,
            steps: Vec::new(),
            borders: Vec::new(),
            own: Vec::new(),
            warnings: Vec::new(),
            duration_ms: 0,
            files_copied: 0,
            retries: 0,
            after_partial_line: false,
            log: None,
        }
    }

    pub fn status(&self) -> u8 {
        self.failure.as_ref().map_or(0, |failure| failure.kind.status())
    }

    /// One word: succeeded, or the kind of failure.
    pub fn word(&self) -> &'static str {
        self.failure.as_ref().map_or(SUCCEEDED, |failure| failure.kind.word())
    }

    /// As [`Outcome::fail`], but `failure` replaces an earlier one, which was its effect.
    pub fn overrule(&mut self, failure: Failure) {
        if let Some(effect) = self.failure.replace(failure) {
            self.warnings.push(effect.sentence());
        }
    }

    /// Records a failure. The first one stands; later ones of another kind or cause become warnings.
    pub fn fail(&mut self, failure: Failure) {
        match &self.failure {
            None => self.failure = Some(failure),
            Some(first)
                if (first.kind, first.cause) == (failure.kind, failure.cause) && first.cause.is_some() => {}
            Some(_) => self.warnings.push(failure.sentence()),
        }
    }

    /// As [`Outcome::fail`], and returns the outcome.
    #[must_use]
    pub fn failed(mut self, failure: Failure) -> Self {
        self.fail(failure);
        self
    }

    /// "attempt 2 of run x failed with status 3 after 1.2s".
    pub fn title(&self) -> String {
        let verdict = match self.status() {
            0 => "succeeded".to_owned(),
            status => format!("failed with status {status}"),
        };
        format!(
            "attempt {} of run {} {verdict} after {}",
            self.attempt,
            self.identity.run,
            shown(Duration::from_millis(self.duration_ms))
        )
    }

    pub fn line(&self) -> String {
        let mut text = self.title();
        if let Some(failure) = &self.failure {
            let _ = write!(text, ": {}", failure.sentence());
        } else if !self.steps.is_empty() {
            let results: Vec<_> = self.steps.iter().map(|step| step.result.as_str()).collect();
            let _ = write!(text, ": {}", results.join("; "));
        }
        if let Some(log) = &self.log {
            let _ = write!(text, " (log: {log})");
        }
        text
    }

    pub fn rows(&self, ended: &str) -> Vec<(&'static str, String)> {
        let mut steps = String::new();
        for (number, step) in self.steps.iter().enumerate() {
            let _ = writeln!(
                steps,
                "{}. {}: {} ({})",
                number + 1,
                step.step,
                step.result,
                shown(Duration::from_millis(step.duration_ms))
            );
        }
        let failure = self.failure.as_ref();
        vec![
            ("ended", ended.to_owned()),
            ("steps", steps),
            ("failed", failure.map(|failure| failure.message.clone()).unwrap_or_default()),
            ("to do", failure.map(|failure| failure.advice.clone()).unwrap_or_default()),
            ("note", self.warnings.join("\n")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Kind;

    fn outcome(message: &str) -> Outcome {
        let identity = Identity { run: "r".into(), ..Identity::default() };
        Outcome::new(identity).failed(Failure::new(Kind::Command(3), message))
    }

    #[test]
    fn the_first_failure_stands_and_later_ones_are_told() {
        let mut outcome = outcome("first");
        outcome.fail(Failure::new(Kind::Io, "second"));
        assert_eq!(outcome.status(), 3);
        assert_eq!(outcome.warnings, ["second"]);
    }
}
