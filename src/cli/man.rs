//! `hook-runner man`.

use std::path::PathBuf;

/// Print a manual page, or put all of them into a directory
#[derive(Debug, clap::Args)]
pub struct Man {
    /// A command, or a directory such as /usr/local/share/man/man1 [default: the program's own page]
    #[arg(value_name = "COMMAND|DIR", value_hint = clap::ValueHint::DirPath)]
    pub subject: Option<PathBuf>,
}
