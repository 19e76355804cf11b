//! Parses the command line, dispatches to a command, turns its outcome into an exit status.
fn main() {}
