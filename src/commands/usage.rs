//! Wrong usage: clap's findings in our words, with our status.

use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::say::complain;
use crate::attempt::outcome::Failure;
use crate::cli::Cli;
use crate::exit::Kind;

/// clap's own status for wrong usage is 2, which the contract gives to the command; ours is 78.
pub(super) fn wrong_usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(Kind::Config.status())
        }
        _ => {
            let text = error.render().to_string();
            let mut sentence =
                text.split("\n\n").next().unwrap_or(&text).replace("error: ", "").replace("\n ", "");
            let argument = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::String(argument)) => argument.as_str(),
                _ => "",
            };
            if let Some(variable) = variable_of(argument) {
                sentence = format!("{}, from {variable}", sentence.trim());
            }
            let advice = advice(error, argument);
            complain(&Failure::new(Kind::Config, sentence.trim()).advise(advice));
            ExitCode::from(Kind::Config.status())
        }
    }
}

/// What to do about wrong usage: the nearest name that there is, or where the names are listed.
fn advice(error: &clap::Error, argument: &str) -> String {
    let meant = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
        .into_iter()
        .find_map(|kind| match error.get(kind)? {
            ContextValue::String(name) => Some(name.clone()),
            // The nearest comes last.
            ContextValue::Strings(names) => names.last().cloned(),
            _ => None,
        });
    if let Some(name) = meant {
        return format!("is `{name}` meant?");
    }
    if error.kind() == ErrorKind::UnknownArgument && !argument.starts_with('-') {
        return "a command stands behind `--`, as in `hook-runner run -- COMMAND`".to_owned();
    }
    let command = std::env::args().nth(1).filter(|name| Cli::command().find_subcommand(name).is_some());
    let of = command.map(|name| format!("{name} ")).unwrap_or_default();
    format!("`hook-runner {of}--help` lists what there is")
}

/// The environment variable that an argument (`--keep <N>`) has its value from, when the command line does not give it.
fn variable_of(argument: &str) -> Option<String> {
    let flag = argument.split([' ', '=', '[']).next().filter(|flag| flag.starts_with("--"))?;
    let variable = format!("HOOK_RUNNER_{}", flag[2..].replace('-', "_").to_uppercase());
    let given = std::env::args_os().any(|given| given.to_string_lossy().split('=').next() == Some(flag));
    (!given && std::env::var_os(&variable).is_some()).then_some(variable)
}
