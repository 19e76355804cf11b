//! Parses a command line with a cursor in it, for completions.

use clap::{Arg, Command};

/// The words before the cursor, as the shell has split them.
#[derive(Debug)]
pub struct Line<'a> {
    /// The words before the one at the cursor, without the program's name.
    pub before: Vec<&'a str>,
    /// The word at the cursor, as far as it is there.
    pub current: &'a str,
}

/// What stands at the cursor.
#[derive(Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// The command's name.
    Command,
    /// An option's name.
    Option,
    /// The value of this option; `prefix` is the part of the word before it.
    Value {
        /// Without dashes.
        option: &'a str,
        /// `--option=`, where the shell leaves both in one word.
        prefix: &'a str,
    },
    /// The argument with this index, counted without options.
    Word(usize),
    /// The command behind `--`.
    Behind,
}

impl<'a> Line<'a> {
    /// The line whose word number `cursor` is being typed. bash splits `--option=value` into three words.
    pub fn new(words: &'a [String], cursor: usize) -> Self {
        let end = cursor.min(words.len());
        let mut current = words.get(cursor).map_or("", String::as_str);
        let mut before: Vec<&str> = words.iter().take(end).skip(1).map(String::as_str).collect();
        if current == "=" {
            current = "";
        } else if before.last() == Some(&"=") {
            before.pop();
        }
        Self { before, current }
    }

    /// The command that is called.
    pub fn command<'c>(&self, program: &'c Command) -> &'c Command {
        self.before.first().and_then(|name| program.find_subcommand(name)).unwrap_or(program)
    }

    /// What stands at the cursor.
    pub fn place(&self, program: &Command) -> Place<'a> {
        let Some((_, words)) = self.before.split_first() else {
            return if self.current.starts_with('-') { Place::Option } else { Place::Command };
        };
        let command = self.command(program);
        if words.contains(&"--") {
            return Place::Behind;
        }
        if let Some((option, _)) = self.current.strip_prefix("--").and_then(|word| word.split_once('=')) {
            return Place::Value { option, prefix: &self.current[..option.len() + 3] };
        }
        let mut plain = 0;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                None if !word.starts_with('-') => plain += 1,
                Some(option) if takes_value(command, option) && words.next().is_none() => {
                    return Place::Value { option, prefix: "" };
                }
                _ => {}
            }
        }
        if self.current.starts_with('-') { Place::Option } else { Place::Word(plain) }
    }
}

/// Whether the next word is the option's value.
fn takes_value(command: &Command, option: &str) -> bool {
    option_of(command, option)
        .is_some_and(|known| known.get_action().takes_values() && !known.is_require_equals_set())
}

/// The option with this name.
pub fn option_of<'c>(command: &'c Command, option: &str) -> Option<&'c Arg> {
    command.get_arguments().find(|known| known.get_long() == Some(option))
}
