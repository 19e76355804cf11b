//! The `HOOK_RUNNER_…` variables: an empty one counts as unset, and an unknown one is named in a warning.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use super::examples::VARIABLES;
use crate::support::nearest::nearest;
use crate::support::os::{OsStrExt, OsStringExt};

const PREFIX: &str = "HOOK_RUNNER_";

/// Ignores an option's variable if it is empty, as `env: [{name: …, value: ""}]` makes it.
pub fn without_empty(command: Command) -> Command {
    let empty = |name: &std::ffi::OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|argument| match argument.get_env() {
        Some(name) if empty(name) => argument.env(None::<&str>),
        _ => argument,
    });
    command.mut_subcommands(without_empty)
}

/// Adds an option to `words` for each line in the variable of a repeatable option, unless the command line gives that
/// option. Empty lines are skipped: a YAML block (`value: |`) ends with one.
pub fn with_lists(program: &Command, words: &[OsString]) -> Vec<OsString> {
    let command = words.get(1).and_then(|name| program.find_subcommand(name));
    let repeatable = command
        .into_iter()
        .flat_map(Command::get_arguments)
        .filter(|argument| matches!(argument.get_action(), ArgAction::Append) && !is_given(argument, words));
    let options = repeatable.flat_map(|argument| {
        let name = argument.get_long().unwrap_or_default().as_bytes();
        let value = argument.get_env().and_then(std::env::var_os).unwrap_or_default();
        let lines = value.as_bytes().split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| OsString::from_vec([b"--", name, b"=", line].concat())).collect::<Vec<_>>()
    });
    // After the other options, so that --help and mistakes in them come first.
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    words[..end].iter().cloned().chain(options).chain(words[end..].iter().cloned()).collect()
}

/// Whether the words before `--` hold the option.
pub fn is_given(argument: &Arg, words: &[OsString]) -> bool {
    let mut words = words.iter().take_while(|word| *word != "--").map(|word| word.to_string_lossy());
    words.any(|word| {
        let name = word.split('=').next().and_then(|name| name.strip_prefix("--"));
        name.is_some() && name == argument.get_long()
    })
}

/// A sentence for each unknown variable, which is probably misspelt.
pub fn unknown(command: &Command) -> Vec<String> {
    // The pager's variable belongs to no option.
    let mut known: Vec<String> =
        VARIABLES.iter().map(|(name, _)| *name).chain(["PAGER"]).map(str::to_owned).collect();
    collect(command, &mut known);
    let set = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let mut unknown: Vec<String> = set
        .filter_map(|(name, _)| name.into_string().ok())
        .filter_map(|name| name.strip_prefix(PREFIX).map(str::to_owned))
        .filter(|name| !known.contains(name) && !is_service_link(name))
        .collect();
    unknown.sort();
    unknown.iter().map(|name| sentence(name, &known)).collect()
}

/// The variables of a command's options and of its subcommands', without the prefix.
fn collect(command: &Command, known: &mut Vec<String>) {
    let names = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
    known.extend(names.filter_map(|name| name.strip_prefix(PREFIX)).map(str::to_owned));
    command.get_subcommands().for_each(|command| collect(command, known));
}

/// Kubernetes sets `NAME_SERVICE_HOST`, `NAME_PORT` and similar for each Service: also for one named hook-runner.
fn is_service_link(name: &str) -> bool {
    ["SERVICE_HOST", "SERVICE_PORT", "PORT"]
        .iter()
        .any(|part| format!("_{name}_").contains(&format!("_{part}_")))
}

fn sentence(name: &str, known: &[String]) -> String {
    let advice = match nearest(name, known.iter().map(String::as_str)) {
        Some(meant) => format!("is {PREFIX}{meant} meant?"),
        None => "`hook-runner run --help` lists them".to_owned(),
    };
    format!("{PREFIX}{name} is no variable of hook-runner and has no effect; {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_variable_is_told_with_the_one_that_was_meant() {
        let known = ["TIMEOUT", "LOG"].map(str::to_owned);
        assert!(sentence("TIMOUT", &known).ends_with("is HOOK_RUNNER_TIMEOUT meant?"));
        assert!(sentence("COLOUR", &known).ends_with("lists them"));
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_is_no_mistake() {
        for name in
            ["SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP_ADDR", "X_SERVICE_HOST", "X_PORT"]
        {
            assert!(is_service_link(name), "{name}");
        }
        assert!(!is_service_link("REPORT") && !is_service_link("TIMEOUT"));
    }
}
