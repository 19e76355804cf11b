//! The termination message of the commands that run as a pod's container: the outcome as JSON, for `kubectl describe`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::attempt::outcome::{Failure, Outcome, StepReport};
use crate::attempt::{self, report_paths};
use crate::exit::Kind;
use crate::hook::identity::Identity;

const VARIABLE: &str = "HOOK_RUNNER_TERMINATION_LOG";
const OPTION: &str = "--termination-log";

/// Commands that people also call in a container of the application: its termination message must not be overwritten.
const READING: [&str; 9] =
    ["logs", "history", "verify", "check", "schema", "completions", "man", "diff", "report"];

/// Writes the failure of a command line that cannot be parsed, if its words or the environment name the file.
pub fn wrong_usage(failure: &Failure, words: &[OsString]) {
    let command = words.get(1).and_then(|word| word.to_str()).unwrap_or_default();
    if !READING.contains(&command) {
        write(&Err(failure.clone()), named(words).as_deref());
    }
}

/// Runs a command without attempts and writes its outcome to `path`, which is refused before anything if it is no file.
pub fn with_message(
    path: Option<&Path>,
    command: impl FnOnce() -> Result<StepReport, Failure>,
) -> Result<(), Failure> {
    let wrong = path.and_then(report_paths::no_message_file);
    let path = path.filter(|_| wrong.is_none());
    let result = match wrong {
        Some(wrong) => Err(Failure::new(Kind::Config, wrong).advise("give it a path of its own")),
        None => command(),
    };
    write(&result, path);
    result.map(drop)
}

fn write(result: &Result<StepReport, Failure>, path: Option<&Path>) {
    let mut outcome = Outcome::new(Identity::from_environment(None));
    match result {
        Ok(step) => outcome.steps.push(step.clone()),
        Err(failure) => outcome.fail(failure.clone()),
    }
    attempt::termination::write(&outcome, path);
}

/// The file that the words before `--` name, or else the environment.
fn named(words: &[OsString]) -> Option<PathBuf> {
    let words: Vec<_> = words.iter().take_while(|word| *word != "--").collect();
    let given = words.iter().enumerate().rev().find_map(|(at, word)| {
        let text = word.to_str()?;
        match text.strip_prefix(OPTION)? {
            "" => words.get(at + 1).map(PathBuf::from),
            value => value.strip_prefix('=').map(PathBuf::from),
        }
    });
    let from_environment = || std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    given.filter(|path| !path.as_os_str().is_empty()).or_else(from_environment)
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn the_file_is_found_among_words_that_cannot_be_read() {
        let find = |words: &[&str]| {
            named(&words.iter().map(Into::into).collect::<Vec<_>>()).map(|path| path.display().to_string())
        };
        let file = Some("t".to_owned());
        assert_eq!(find(&["hook-runner", "run", "--nope", "--termination-log", "t"]), file);
        assert_eq!(find(&["hook-runner", "run", "--termination-log=t", "--nope"]), file);
        assert_eq!(find(&["hook-runner", "run", "--termination-log=x", "--termination-log=t"]), file);
        assert_eq!(find(&["hook-runner", "run", "--", "x", "--termination-log=t"]), None);
    }
}
