//! `man`: the manual page, the program's and then each command's.

use clap::CommandFactory;

use super::say::{print, unprintable};
use crate::attempt::outcome::Failure;
use crate::cli::Cli;

pub(super) fn man() -> Result<(), Failure> {
    print(&manual().map_err(|error| unprintable(&error))?)
}

fn manual() -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut program = Cli::command();
    // Gives each command its full name, `hook-runner run`.
    program.build();
    clap_mangen::Man::new(program.clone()).render(&mut text)?;
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        clap_mangen::Man::new(command.clone()).render(&mut text)?;
    }
    Ok(text)
}
