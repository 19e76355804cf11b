//! Whose bytes they are, and who is to read a line.

/// Which stream of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// Who is to read a line of the runner's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The preserved log only.
    Log,
    /// The preserved log and the runner's stderr.
    Everyone,
}
