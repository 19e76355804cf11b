//! Output through a pager, as git does it: `$HOOK_RUNNER_PAGER`, else `$PAGER`, else `less`. No pager if that is empty or `cat`,
//! cannot be started, or stdout is no terminal or a dumb one.

use std::io::{self, IsTerminal, StdoutLock, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Where output goes.
pub(super) enum Out {
    Stdout(StdoutLock<'static>),
    Pager(Child, ChildStdin),
}

impl Out {
    pub(super) fn open(pager: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
        let started = if pager && !dumb && io::stdout().is_terminal() { start() } else { None };
        started.unwrap_or_else(|| Self::Stdout(io::stdout().lock()))
    }

    /// Waits until the user closes the pager.
    pub(super) fn finish(self) {
        if let Self::Pager(mut child, stdin) = self {
            drop(stdin);
            let _ = child.wait();
        }
    }
}

/// Without `$LESS`, `less` gets `FRX`: it shows colours, and prints output that fits on one screen without waiting for a key.
fn start() -> Option<Out> {
    let named = ["HOOK_RUNNER_PAGER", "PAGER"].iter().find_map(|name| std::env::var(name).ok());
    let command = named.unwrap_or_else(|| "less".into());
    if command.is_empty() || command == "cat" {
        return None;
    }
    let mut pager = if command.contains(char::is_whitespace) {
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]);
        shell
    } else {
        Command::new(command)
    };
    if std::env::var_os("LESS").is_none() {
        pager.env("LESS", "FRX");
    }
    let mut child = pager.stdin(Stdio::piped()).spawn().ok()?;
    let stdin = child.stdin.take()?;
    Some(Out::Pager(child, stdin))
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::Pager(_, stdin) => stdin.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::Pager(_, stdin) => stdin.flush(),
        }
    }
}
