//! Turns a panic into a sentence on stderr and in the termination message, and status 70. By default the process would
//! abort, and a podFailurePolicy could not tell its SIGABRT from the command's.

use std::ffi::OsString;
use std::panic::{self, PanicHookInfo};

use crate::exit::{Failure, Kind};
use crate::output::{self, Level};
use crate::support::leave::leave;

/// Writes the termination message for a command line that failed before its command could, if the command is a pod's.
pub type LeaveMessage = fn(&Failure, &[OsString]);

/// From now on a panic in any thread ends the process with 70. `words` is the command line, which names the termination
/// message that `leave_message` writes.
pub(super) fn install(words: Vec<OsString>, leave_message: LeaveMessage) {
    panic::set_hook(Box::new(move |fault| {
        let failure = failure(fault);
        output::say(Level::Error, &failure.sentence());
        leave_message(&failure, &words);
        leave(failure.kind.status())
    }));
}

fn failure(fault: &PanicHookInfo<'_>) -> Failure {
    let place = fault.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let what = fault.payload_as_str().unwrap_or("no reason is given");
    Failure::new(Kind::Fault, format!("a fault of hook-runner itself at {place}: {what}"))
        .advise("report this line, with the command line that it happened with")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// The process that the test below starts; without the variable it is a test that holds.
    #[test]
    fn a_process_that_panics() {
        let Some(message) = std::env::var_os("HOOK_RUNNER_TEST_PANIC") else { return };
        let words = vec!["hook-runner".into(), "run".into(), "--termination-log".into(), message];
        super::install(words, crate::commands::termination::wrong_usage);
        let thread = std::thread::spawn(|| panic!("on purpose"));
        let _ = thread.join();
    }

    #[test]
    fn a_panic_of_any_thread_says_where_and_ends_with_70_and_a_termination_message() {
        let directory = tempfile::tempdir().unwrap();
        let message = directory.path().join("message");
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "commands::panic::tests::a_process_that_panics", "--nocapture"])
            .env("HOOK_RUNNER_TEST_PANIC", &message)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(70), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("panic.rs:") && said.contains("on purpose"), "{said}");
        let message = std::fs::read_to_string(message).unwrap();
        let message: serde_json::Value = serde_json::from_str(&message).unwrap();
        assert_eq!((&message["status"], &message["result"]), (&70.into(), &"fault".into()), "{message}");
    }
}
