//! `completions`: a completion script for a shell.

use clap::CommandFactory;

use super::say::print;
use crate::attempt::outcome::Failure;
use crate::cli::{Cli, Completions};

pub(super) fn completions(arguments: &Completions) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "hook-runner", &mut text);
    print(&text)
}
