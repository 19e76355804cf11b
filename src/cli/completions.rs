//! `hook-runner completions`.

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// bash, elvish, fish, powershell, zsh
    pub shell: clap_complete::Shell,
}
