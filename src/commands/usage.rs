//! Wrong usage: our own sentences for clap's errors.

use std::error::Error as _;
use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{dashed, environment, not_utf8};
use crate::exit::{Failure, Kind};

/// The failure for an error of clap; `None` for `--help` and `--version`.
pub fn failure(error: &clap::Error, definition: &Command, words: &[OsString]) -> Option<Failure> {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return None;
    }
    let command = called(definition, words);
    let finding = Finding { error, definition, command, words };
    Some(Failure::new(Kind::Config, finding.sentence()).advise(finding.advice()))
}

/// The subcommand that the words name, or the program itself.
fn called<'a>(definition: &'a Command, words: &[OsString]) -> &'a Command {
    let name = words.get(1).and_then(|word| word.to_str());
    name.and_then(|name| definition.find_subcommand(name)).unwrap_or(definition)
}

struct Finding<'a> {
    error: &'a clap::Error,
    definition: &'a Command,
    command: &'a Command,
    words: &'a [OsString],
}

impl Finding<'_> {
    /// What is wrong.
    fn sentence(&self) -> String {
        let subject = self.subject();
        let value = self.text(ContextKind::InvalidValue);
        match self.error.kind() {
            ErrorKind::InvalidSubcommand => {
                format!("there is no command '{}'", self.text(ContextKind::InvalidSubcommand))
            }
            ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                "a command is missing".into()
            }
            ErrorKind::UnknownArgument if subject.starts_with('-') => {
                format!("there is no option {}", without_value(&subject))
            }
            ErrorKind::UnknownArgument => format!("the word '{subject}' is one too many"),
            ErrorKind::InvalidValue if value.is_empty() => format!("{} needs a value", bare(&subject)),
            ErrorKind::InvalidValue => {
                let words = self.list(ContextKind::ValidValue).join(", ");
                format!("{}: '{value}' is none of {words}", bare(&subject))
            }
            ErrorKind::ValueValidation => match self.error.source() {
                Some(why) => format!("{subject}: {why}"),
                None => format!("{subject}: '{value}' is no value for it"),
            },
            ErrorKind::NoEquals => format!("{subject} takes its value behind `=`, as in {subject}=true"),
            ErrorKind::ArgumentConflict => {
                let other = self.list(ContextKind::PriorArg).join(" and ");
                format!("{subject} cannot stand beside {}", without_value(&other))
            }
            ErrorKind::MissingRequiredArgument => self.missing(),
            ErrorKind::InvalidUtf8 => match not_utf8::culprit(self.definition, self.words) {
                Some(which) => format!("{which} is not UTF-8 text"),
                None => "a word that must be UTF-8 is not".into(),
            },
            ErrorKind::TooManyValues | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
                format!("{} is given more often than the command takes it", bare(&subject))
            }
            _ => "the command line cannot be read".into(),
        }
    }

    /// What the command needs, or what another option needs beside itself.
    fn missing(&self) -> String {
        let missing = self.list(ContextKind::InvalidArg);
        let missing: Vec<_> = missing.iter().map(|name| bare(without_value(name))).collect();
        let optional = |name: &str| {
            let long = name.strip_prefix("--");
            let known = self.command.get_arguments().find(|known| long.is_some() && known.get_long() == long);
            known.is_some_and(|known| !known.is_required_set())
        };
        match missing.as_slice() {
            [one] if optional(one) => format!("an option that needs {one} is given without it"),
            [one] => format!("{one} is missing"),
            several => format!("{} are missing", several.join(" and ")),
        }
    }

    /// What to do: the most similar name, or where the names are listed.
    fn advice(&self) -> String {
        let suggestions =
            [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
        // The nearest comes last.
        let is_hidden =
            |name: &String| self.definition.find_subcommand(name).is_some_and(Command::is_hide_set);
        let mut names = suggestions.into_iter().flat_map(|kind| self.list(kind).into_iter().rev());
        if let Some(name) = names.find(|name| !is_hidden(name)) {
            return format!("is `{name}` meant?");
        }
        if self.error.kind() == ErrorKind::ValueValidation {
            return String::new(); // The value's own sentence says what was expected.
        }
        if let Some((_, option)) = dashed::option_before(self.error, self.definition, self.words) {
            return format!("a value that begins with a dash stands behind `=`, as in `{option}=-…`");
        }
        let argument = self.text(ContextKind::InvalidArg);
        let takes_command = self.command.get_arguments().any(clap::Arg::is_last_set);
        if self.error.kind() == ErrorKind::UnknownArgument && takes_command && !argument.starts_with('-') {
            return "a command stands behind `--`, as in `hook-runner run -- COMMAND`".to_owned();
        }
        match self.command.get_name() {
            "hook-runner" => "`hook-runner --help` lists what there is".to_owned(),
            command => format!("`hook-runner {command} --help` lists what there is"),
        }
    }

    /// The option with the mistake, or its variable if the value came from there.
    fn subject(&self) -> String {
        let argument = self.text(ContextKind::InvalidArg);
        let option = without_value(&argument);
        let from_environment = self.command.get_arguments().find(|known| {
            known.get_long().is_some_and(|long| format!("--{long}") == option)
                || known.get_long().is_none() && option.starts_with(['<', '['])
        });
        let variable = from_environment
            .filter(|known| !environment::is_given(known, self.words))
            .and_then(clap::Arg::get_env)
            .filter(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
        match variable {
            Some(variable) => variable.to_string_lossy().into_owned(),
            _ if self.error.kind() == ErrorKind::UnknownArgument => argument,
            _ => option.to_owned(),
        }
    }

    fn text(&self, kind: ContextKind) -> String {
        self.list(kind).into_iter().next().unwrap_or_default()
    }

    fn list(&self, kind: ContextKind) -> Vec<String> {
        match self.error.get(kind) {
            Some(ContextValue::String(text)) => vec![text.clone()],
            Some(ContextValue::Strings(texts)) => texts.clone(),
            _ => Vec::new(),
        }
    }
}

/// `SOURCE` of `<SOURCE>` and `RUN` of `[RUN]...`: a word that belongs to no option.
fn bare(argument: &str) -> &str {
    argument.trim_start_matches(['<', '[']).trim_end_matches("...").trim_end_matches(['>', ']'])
}

/// `--keep` of `--keep <N>` and of `--keep=3`: a value may be a secret.
fn without_value(argument: &str) -> &str {
    argument.split([' ', '=']).next().unwrap_or(argument).trim_end_matches('[').trim_end_matches("...")
}
