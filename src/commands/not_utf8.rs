//! Finds the word or variable that is not UTF-8 and must be: clap does not say which. Paths may hold any bytes.

use std::ffi::OsString;

use clap::Command;
use clap::error::ErrorKind;

/// The name of the option with the wrong value, of its variable, or the word itself.
pub fn culprit(definition: &Command, words: &[OsString]) -> Option<String> {
    let mut definition = definition.clone();
    let mut words = words.to_vec();
    // Replaces the words one by one; the last one before clap accepts them is the wrong one.
    for at in 1..words.len() {
        words[at] = words[at].to_string_lossy().into_owned().into();
        if !is_wrong(&definition, &words) {
            return Some(name(&words, at));
        }
    }
    let command = definition.find_subcommand(words.get(1)?)?;
    let with_variable =
        |argument: &clap::Arg| Some((argument.get_id().clone(), argument.get_env()?.to_owned()));
    let variables: Vec<_> = command.get_arguments().filter_map(with_variable).collect();
    let command = command.get_name().to_owned();
    variables.into_iter().find_map(|(id, variable)| {
        let unset = |argument: clap::Arg| argument.env(None::<&str>);
        definition = definition.clone().mut_subcommand(&command, |command| command.mut_arg(id, unset));
        (!is_wrong(&definition, &words)).then(|| variable.to_string_lossy().into_owned())
    })
}

fn is_wrong(definition: &Command, words: &[OsString]) -> bool {
    let read = definition.clone().try_get_matches_from(words);
    read.is_err_and(|error| error.kind() == ErrorKind::InvalidUtf8)
}

/// The option that the word at `at` is the value of, or the word itself.
fn name(words: &[OsString], at: usize) -> String {
    let (before, word) = (words[at - 1].to_string_lossy(), words[at].to_string_lossy());
    match word.split_once('=') {
        Some((option, _)) if option.starts_with("--") => option.to_owned(),
        _ if before.starts_with('-') => before.into_owned(),
        _ => format!("the word '{word}'"),
    }
}
