//! A value that begins with a dash (`--keep -1`): clap takes it for another option.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

/// `words` with the unknown option as the value of the option before it (`--keep=-1`), if that one takes a value.
pub fn joined(error: &clap::Error, definition: &Command, words: &[OsString]) -> Option<Vec<OsString>> {
    let (at, _) = option_before(error, definition, words)?;
    let mut joined = words[..at].to_vec();
    let mut value = words[at].clone();
    value.push("=");
    value.push(&words[at + 1]);
    joined.push(value);
    joined.extend_from_slice(&words[at + 2..]);
    Some(joined)
}

/// The index and the name of the option before the unknown one, if it takes a value.
pub fn option_before(
    error: &clap::Error,
    definition: &Command,
    words: &[OsString],
) -> Option<(usize, String)> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else { return None };
    let command = definition.find_subcommand(words.get(1)?)?;
    let takes_value = |name: &str| {
        let is_it = |argument: &&Arg| {
            name.strip_prefix("--").is_some_and(|long| argument.get_long() == Some(long))
                || argument.get_short().is_some_and(|short| name == format!("-{short}"))
        };
        let known = command.get_arguments().find(is_it);
        known.is_some_and(|known| known.get_action().takes_values() && !known.is_require_equals_set())
    };
    words.windows(2).enumerate().find_map(|(at, pair)| {
        let (name, value) = (pair[0].to_str()?, pair[1].to_string_lossy());
        (value.starts_with(unknown.as_str()) && takes_value(name)).then(|| (at, name.to_owned()))
    })
}
