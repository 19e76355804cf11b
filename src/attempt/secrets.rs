//! What must not be seen, taken out of the runner's own words as it is out of the command's.

use std::ffi::OsString;

use super::outcome::{Failure, Outcome};
use crate::exit::Kind;
use crate::hook::redact::Redact;
use crate::output::{Redactor, Sources};

/// The secrets of a hook.
pub(super) struct Secrets {
    pub(super) redactor: Option<Redactor>,
    /// What is not redacted although it was asked for.
    pub(super) warnings: Vec<String>,
}

impl Secrets {
    /// Reads them. A secret that cannot be read is the hook's fault: going on would publish it.
    pub(super) fn load(redact: &Redact) -> Result<Self, Failure> {
        let sources = Sources {
            env: redact.env.iter().map(|name| OsString::from(&name.0)).collect(),
            files: redact.files.clone(),
            literals: redact.literals.iter().map(OsString::from).collect(),
        };
        let (secrets, warnings) = sources.read().map_err(|error| {
            Failure::new(Kind::Config, error.to_string()).advise("mount the Secret there, or correct redact")
        })?;
        Ok(Self { redactor: Redactor::new(&secrets), warnings })
    }

    /// `text` without the secrets: the runner's own words may hold some, a command's arguments above all.
    pub(super) fn clean(&self, text: &str) -> String {
        match &self.redactor {
            Some(redactor) => String::from_utf8_lossy(&redactor.redact(text.as_bytes())).into_owned(),
            None => text.to_owned(),
        }
    }

    /// Failures and warnings come from everywhere: names of files and what the system said about them.
    pub(super) fn clean_outcome(&self, mut outcome: Outcome) -> Outcome {
        let failure = outcome.failure.iter_mut();
        let failure = failure.flat_map(|failure| [&mut failure.message, &mut failure.advice]);
        for text in failure.chain(&mut outcome.warnings) {
            *text = self.clean(text);
        }
        outcome
    }
}
