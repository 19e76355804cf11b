//! Options that most command lines do not name. To define an option takes memory and time of every start, so groups of
//! them are left out of the definition at first. A command line that names one cannot be read then, and is read anew
//! with everything defined; the environment variables are looked for before. Knows clap, and no option.

use std::cell::Cell;
use std::ops::Deref;

use clap::{ArgMatches, Args, Command, FromArgMatches};

thread_local! {
    /// clap takes the definition from functions without arguments.
    static LEFT_OUT: Cell<bool> = const { Cell::new(false) };
}

/// Options that go together.
pub trait Group: Args + Default {
    /// The environment variables that set them: all that the definition has.
    const VARIABLES: &'static [&'static str];
}

/// A group that may be left out; then none of its options is set.
#[derive(Debug, Clone, Default)]
pub struct Rare<T>(T);

/// Whether groups are left out of this thread's definitions from now on.
pub fn leave_out(yes: bool) {
    LEFT_OUT.set(yes);
}

fn is_left_out<T: Group>() -> bool {
    LEFT_OUT.get() && T::VARIABLES.iter().all(|name| std::env::var_os(name).is_none())
}

impl<T> Deref for Rare<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Group> Args for Rare<T> {
    fn augment_args(command: Command) -> Command {
        if is_left_out::<T>() { command } else { T::augment_args(command) }
    }

    fn augment_args_for_update(command: Command) -> Command {
        T::augment_args_for_update(command)
    }
}

impl<T: Group> FromArgMatches for Rare<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        if is_left_out::<T>() { Ok(Self::default()) } else { T::from_arg_matches(matches).map(Self) }
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        if is_left_out::<T>() { Ok(Self::default()) } else { T::from_arg_matches_mut(matches).map(Self) }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::layer::{CopyStep, WaitStep};

    fn has_all_variables<T: Group>() {
        let defined = T::augment_args(Command::new("group"));
        let defined: Vec<_> = defined.get_arguments().map(|arg| arg.get_env().unwrap_or_default()).collect();
        assert_eq!(defined, T::VARIABLES);
    }

    #[test]
    fn no_variable_of_a_group_goes_unseen() {
        has_all_variables::<CopyStep>();
        has_all_variables::<WaitStep>();
    }
}
