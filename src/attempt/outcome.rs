//! The outcome of an attempt, as people read it: one line, and the footer of the log. The sentence for the user is made
//! here and nowhere else.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

use crate::exit::Kind;
use crate::hook::identity::Identity;
use crate::support::durations::shown;

/// The word for an attempt without a failure.
pub const SUCCEEDED: &str = "succeeded";

/// Why an attempt failed.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// What kind of end it is, and with it the status.
    #[serde(skip)]
    pub kind: Kind,
    /// A finer word where there is one: no-space, read-only, stale, io.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    /// What failed, on what, and why.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advice: String,
}

impl Failure {
    /// A failure with its sentence.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, cause: None, message: message.into(), advice: String::new() }
    }

    /// Adds what to do.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    /// Adds the finer word.
    #[must_use]
    pub fn because(mut self, cause: &'static str) -> Self {
        self.cause = Some(cause);
        self
    }

    /// The one line: what, where, why, what to do.
    pub fn sentence(&self) -> String {
        if self.advice.is_empty() {
            self.message.clone()
        } else {
            format!("{}; {}", self.message, self.advice)
        }
    }
}

/// How one step went.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// The step in words.
    pub step: String,
    /// How it ended, in words.
    pub result: String,
    /// Milliseconds.
    pub duration_ms: u64,
}

/// How an attempt went.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Who ran.
    #[serde(flatten)]
    pub identity: Identity,
    /// The attempt's number.
    pub attempt: u32,
    /// The failure, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Each step that was begun.
    pub steps: Vec<StepReport>,
    /// Where each of them begins and ends in the attempt's output, in bytes.
    #[serde(skip)]
    pub borders: Vec<Range<u64>>,
    /// Where the runner's own lines stand in it.
    pub own: Vec<Range<u64>>,
    /// What is no failure and worth knowing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Milliseconds.
    pub duration_ms: u64,
    /// Files that the copies brought.
    pub files_copied: u64,
    /// Starts of commands after the first, all steps together.
    pub retries: u32,
    /// stdout and stderr are one, and the command did not end its last line there.
    #[serde(skip)]
    pub after_partial_line: bool,
    /// The preserved log, when it holds something of this attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

impl Outcome {
    /// An outcome with nothing done yet.
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

    /// The exit status.
    pub fn status(&self) -> u8 {
        self.failure.as_ref().map_or(0, |failure| failure.kind.status())
    }

    /// One word: succeeded, or the kind of failure.
    pub fn word(&self) -> &'static str {
        self.failure.as_ref().map_or(SUCCEEDED, |failure| failure.kind.word())
    }

    /// As [`Outcome::fail`], but what failed before was only the effect of `failure`.
    pub fn overrule(&mut self, failure: Failure) {
        if let Some(effect) = self.failure.replace(failure) {
            self.warnings.push(effect.sentence());
        }
    }

    /// Records a failure; the first one stands, later ones of another kind or cause become warnings.
    pub fn fail(&mut self, failure: Failure) {
        match &self.failure {
            None => self.failure = Some(failure),
            Some(first)
                if (first.kind, first.cause) == (failure.kind, failure.cause) && first.cause.is_some() => {}
            Some(_) => self.warnings.push(failure.sentence()),
        }
    }

    /// As [`Outcome::fail`], for an attempt that ends with it.
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

    /// The line on stderr.
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

    /// The rows of the log's footer.
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
