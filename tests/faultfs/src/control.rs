//! The daemon's control socket: one command a line, one answer a line (`ok …` or `error …`).
//!
//! Commands: `set OPS RULE`, `clear [OPS]`, `stats`. The words of OPS and RULE are [`crate::fault`]'s.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use crate::fault::{Op, Rule};
use crate::gate::Gate;

/// Binds the socket and serves it from a thread of its own for as long as the process lives.
pub fn serve(socket: &Path, gate: Arc<Gate>) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    thread::Builder::new().name("control".into()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let gate = Arc::clone(&gate);
            // A client that goes away in the middle is its own business.
            thread::spawn(move || converse(&stream, &gate).ok());
        }
    })?;
    Ok(())
}

fn converse(stream: &UnixStream, gate: &Gate) -> io::Result<()> {
    for line in BufReader::new(stream).lines() {
        let answer = match obey(&line?, gate) {
            Ok(answer) => format!("ok {answer}\n"),
            Err(reason) => format!("error {reason}\n"),
        };
        (&mut &*stream).write_all(answer.as_bytes())?;
    }
    Ok(())
}

fn obey(line: &str, gate: &Gate) -> Result<String, String> {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    match command {
        "set" => {
            let (ops, rule) = rest.split_once(' ').ok_or("set needs operations and a fault")?;
            gate.set(&Op::parse_list(ops)?, &Rule::parse(rule)?);
        }
        "clear" if rest.is_empty() => gate.clear(&Op::ALL),
        "clear" => gate.clear(&Op::parse_list(rest)?),
        "stats" => {
            let mut text = String::new();
            for (name, count) in gate.statistics() {
                let _ = write!(text, "{name}={count} ");
            }
            return Ok(text);
        }
        other => return Err(format!("no command is called {other:?}; there are set, clear, stats")),
    }
    Ok(String::new())
}

/// Sends one command to the daemon at `socket` and returns the words after `ok`.
pub fn command(socket: &Path, command: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(format!("{command}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    match answer.trim_end().split_once(' ').unwrap_or((answer.trim_end(), "")) {
        ("ok", words) => Ok(words.to_owned()),
        (_, reason) => Err(io::Error::other(format!("{command:?}: {reason}"))),
    }
}
