//! `completions`: prints the script for a shell. The scripts call `hook-runner complete` for the candidates at the
//! cursor.

mod candidates;
mod words;

use super::say::print;
use crate::cli::{Complete, Completions};
use crate::exit::Failure;

/// Prints the script.
pub(super) fn completions(arguments: &Completions) -> Result<(), Failure> {
    let script = match arguments.shell.as_str() {
        "bash" => include_str!("hook-runner.bash"),
        "zsh" => include_str!("hook-runner.zsh"),
        _ => include_str!("hook-runner.fish"),
    };
    print(script.as_bytes())
}

/// Prints the kind of the candidates, then each candidate and its help, separated by a tab.
pub(super) fn complete(arguments: &Complete) -> Result<(), Failure> {
    let words: Vec<String> = arguments.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let line = words::Line::new(&words, arguments.cursor);
    print(candidates::at(&line).to_string().as_bytes())
}
