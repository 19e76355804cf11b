//! What a wait is for: a condition that the runner probes itself, or a command that must succeed.

use std::ffi::OsString;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::hook::condition::{self, Condition, ConditionError};
use crate::hook::exec_step::Command;
use crate::hook::file_value::{FileValue, scalar, text};
use crate::hook::pattern::whole;
use crate::hook::yaml::{Content, Mistake, Node};

const EXPECTED: &str = "file:PATH, tcp:HOST:PORT, http://…, https://…, exec:COMMAND, or a command as a list";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// A file, a port, an answer.
    Condition(Condition),
    /// A command (program and arguments) that must exit with 0.
    Command(Vec<OsString>),
}

/// Text that is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AwaitedError {
    /// `exec:` without a command.
    #[error("exec: needs a command, as in exec:pg_isready -h db")]
    NoCommand,
    /// A command with quotes.
    #[error(
        "the command behind exec: is split at spaces, and quotes do not keep words together; name a script, or write the command in a hook file as a list: for: [sh, -c, …]"
    )]
    Quote,
    /// A command with a NUL character.
    #[error("the command behind exec: holds a NUL character, which no argument can")]
    Nul,
    /// Anything else.
    #[error(transparent)]
    Condition(#[from] ConditionError),
}

impl FromStr for Awaited {
    type Err = AwaitedError;

    fn from_str(text: &str) -> Result<Self, AwaitedError> {
        let Some(words) = text.strip_prefix("exec:") else { return Ok(Self::Condition(text.parse()?)) };
        if words.contains('\0') {
            return Err(AwaitedError::Nul);
        }
        if words.contains(['\'', '"']) {
            return Err(AwaitedError::Quote);
        }
        let words: Vec<OsString> = words.split_ascii_whitespace().map(OsString::from).collect();
        if words.is_empty() { Err(AwaitedError::NoCommand) } else { Ok(Self::Command(words)) }
    }
}

impl FileValue for Awaited {
    fn read(node: &Node) -> Result<Self, Mistake> {
        if let Content::List(_) = node.content {
            return Command::read(node).map(|command| Self::Command(command.0));
        }
        let awaited = scalar(node, EXPECTED)?.text.parse();
        let awaited = awaited.map_err(|error: AwaitedError| node.mistake(error.to_string()))?;
        text(node, EXPECTED)?;
        Ok(awaited)
    }

    fn schema() -> Value {
        let exec = "exec:[^\\u0000'\"]*[^\\u0000'\" \\t\\n\\r\\f][^\\u0000'\"]*";
        let pattern = whole(&format!("{exec}|{}", condition::pattern()));
        json!({"anyOf": [{"type": "string", "pattern": pattern}, Command::schema()]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_from_a_condition() {
        let words = ["pg_isready", "-h", "db"].map(OsString::from).to_vec();
        assert_eq!("exec:pg_isready  -h db".parse(), Ok(Awaited::Command(words)));
        assert_eq!("exec: ".parse::<Awaited>(), Err(AwaitedError::NoCommand));
        assert_eq!("exec:sh -c 'echo x'".parse::<Awaited>(), Err(AwaitedError::Quote));
        assert!(matches!("file:/x".parse(), Ok(Awaited::Condition(Condition::File(_)))));
        assert!(matches!("pg_isready".parse::<Awaited>(), Err(AwaitedError::Condition(_))));
    }
}
