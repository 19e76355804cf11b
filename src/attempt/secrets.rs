//! Takes secrets out of the runner's own words, as the tee does for the command's.

use std::ffi::OsString;

use super::outcome::{Failure, Outcome};
use crate::exit::Kind;
use crate::hook::redact::Redact;
use crate::output::{Redactor, Sources};

pub(super) struct Secrets {
    pub(super) redactor: Option<Redactor>,
    /// Redactions that were asked for but cannot be done.
    pub(super) warnings: Vec<String>,
}

impl Secrets {
    /// Loads the secrets. Fails if one cannot be read, because going on would publish it.
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

    /// `text` without the secrets: the runner quotes commands, file names and system errors.
    pub(super) fn clean(&self, text: &str) -> String {
        match &self.redactor {
            Some(redactor) => String::from_utf8_lossy(&redactor.redact(text.as_bytes())).into_owned(),
            None => text.to_owned(),
        }
    }

    /// Cleans failures and warnings, which quote file names and system errors.
    pub(super) fn clean_outcome(&self, mut outcome: Outcome) -> Outcome {
        let failure = outcome.failure.iter_mut();
        let failure = failure.flat_map(|failure| [&mut failure.message, &mut failure.advice]);
        for text in failure.chain(&mut outcome.warnings) {
            *text = self.clean(text);
        }
        outcome
    }
}
