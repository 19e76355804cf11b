//! Completion candidates at the cursor: commands, options, their values, run ids. For files and directories only the
//! kind is returned, and the shell lists them.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::{Arg, Command, ValueHint};

use super::words::{Line, Place, option_of};
use crate::commands::parse;
use crate::history;

/// The answer to the shell's script.
#[derive(Debug, PartialEq, Eq)]
pub enum Candidates {
    /// These words, with what they mean.
    Words(Vec<(String, String)>),
    /// Paths.
    Files,
    /// Paths of directories.
    Directories,
    /// A command of the system and its arguments.
    Command,
}

impl fmt::Display for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files => f.write_str("files\n"),
            Self::Directories => f.write_str("directories\n"),
            Self::Command => f.write_str("command\n"),
            Self::Words(words) => {
                f.write_str("words\n")?;
                words.iter().try_for_each(|(word, help)| writeln!(f, "{word}\t{help}"))
            }
        }
    }
}

/// The candidates at the cursor of `line`.
pub fn at(line: &Line<'_>) -> Candidates {
    let program = parse::definition();
    let command = line.command(&program);
    match line.place(&program) {
        Place::Command => Candidates::Words(commands(&program)),
        Place::Option => Candidates::Words(options(command)),
        Place::Behind => Candidates::Command,
        Place::Value { option, prefix } => match option_of(command, option) {
            Some(argument) => value(argument, prefix, line, command),
            None => Candidates::Words(Vec::new()),
        },
        Place::Word(at) => match positional(command, at) {
            Some(argument) => value(argument, "", line, command),
            None => Candidates::Words(options(command)),
        },
    }
}

fn commands(program: &Command) -> Vec<(String, String)> {
    let shown = program.get_subcommands().filter(|command| !command.is_hide_set());
    shown.map(|command| (command.get_name().to_owned(), text(command.get_about()))).collect()
}

fn options(command: &Command) -> Vec<(String, String)> {
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
    shown
        .filter_map(|argument| Some((format!("--{}", argument.get_long()?), text(argument.get_help()))))
        .chain([("--help".to_owned(), "Print help".to_owned())])
        .collect()
}

/// The positional argument that word number `at` belongs to; the last one takes all that follow it.
fn positional(command: &Command, at: usize) -> Option<&Arg> {
    let known: Vec<&Arg> = command.get_positionals().filter(|known| !known.is_last_set()).collect();
    let many = |known: &&&Arg| known.get_num_args().is_some_and(|count| count.max_values() > 1);
    known.get(at).or_else(|| known.last().filter(many)).copied()
}

fn value(argument: &Arg, prefix: &str, line: &Line<'_>, command: &Command) -> Candidates {
    let words = match argument.get_id().as_str() {
        "run" => run_ids(line, command),
        "subject" => commands(&parse::definition()),
        _ => {
            let possible = argument.get_possible_values();
            possible.iter().map(|value| (value.get_name().to_owned(), text(value.get_help()))).collect()
        }
    };
    if !words.is_empty() {
        return Candidates::Words(
            words.into_iter().map(|(word, help)| (format!("{prefix}{word}"), help)).collect(),
        );
    }
    match argument.get_value_hint() {
        ValueHint::DirPath => Candidates::Directories,
        ValueHint::AnyPath | ValueHint::FilePath => Candidates::Files,
        _ => Candidates::Words(Vec::new()),
    }
}

/// The runs of the log that the line names, the newest first.
fn run_ids(line: &Line<'_>, command: &Command) -> Vec<(String, String)> {
    let lenient = command.clone().ignore_errors(true).no_binary_name(true);
    let words = line.before.iter().skip(1);
    let Ok(matches) = lenient.try_get_matches_from(words) else { return Vec::new() };
    let path = |id: &str| matches.try_get_one::<PathBuf>(id).ok().flatten().cloned();
    let log = path("log").unwrap_or_else(|| Path::new(".").to_path_buf());
    history::run_ids(&log, path("state").as_deref())
}

/// The first line of a help text. Tabs and newlines separate candidates, so it may hold none.
fn text(help: Option<&clap::builder::StyledStr>) -> String {
    let help = help.map(ToString::to_string).unwrap_or_default();
    help.lines().next().unwrap_or_default().replace('\t', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Vec<String> {
        let all: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        match at(&Line::new(&all, all.len() - 1)) {
            Candidates::Words(words) => words.into_iter().map(|(word, _)| word).collect(),
            other => vec![format!("{other:?}")],
        }
    }

    #[test]
    fn commands_options_and_values_are_offered_where_they_may_stand() {
        for (line, offered) in [
            (&["hook-runner", ""][..], "run"),
            (&["hook-runner", "-"], "--help"),
            (&["hook-runner", "run", "--"], "--copy"),
            (&["hook-runner", "run", "--policy", ""], "keep-modified"),
            (&["hook-runner", "run", "--policy=k"], "--policy=keep-modified"),
            // bash splits `--policy=k` into three words.
            (&["hook-runner", "run", "--policy", "=", "k"], "keep-modified"),
            (&["hook-runner", "run", "--policy", "="], "keep-modified"),
            (&["hook-runner", "run", "--log-failure", "w"], "warn"),
            (&["hook-runner", "run", "--log", "x", "--"], "--timeout"),
            (&["hook-runner", "completions", ""], "fish"),
            (&["hook-runner", "man", ""], "sidecar"),
            (&["hook-runner", "run", "--hook", ""], "Files"),
            (&["hook-runner", "run", "--state", ""], "Directories"),
            (&["hook-runner", "run", "--", "ls", ""], "Command"),
            (&["hook-runner", "check", "a.yaml", ""], "Files"),
            (&["hook-runner", "copy", ""], "Files"),
        ] {
            let words = words(line);
            assert!(words.iter().any(|word| word == offered), "{line:?}: {words:?}");
        }
        assert!(!words(&["hook-runner", ""]).contains(&"complete".to_owned()), "for the scripts only");
        assert_eq!(words(&["hook-runner", "run", "--timeout", ""]), [""; 0]);
    }
}
