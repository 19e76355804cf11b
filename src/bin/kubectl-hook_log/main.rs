//! `kubectl hook-log RELEASE` and `helm hook-log RELEASE`: reads a hook's preserved log from outside the cluster.
//!
//! Finds the claim that holds the log (`find`), and has the runner read it there: in a container that has both the
//! volume and the runner, else in a pod made for it (`read`). Knows nothing of logs and histories: it passes words to
//! the runner, and returns the runner's output and status.

mod arguments;
mod cluster;
mod complete;
mod exec;
mod failure;
mod find;
mod helm_release;
mod hook;
mod interrupt;
mod label;
mod manifest;
mod mount;
mod mounted;
mod no_proxy;
mod read;
mod reader;
mod reading;
mod started;
mod usage;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

fn main() -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        complain("the system refuses a thread or a descriptor; raise the limits of processes and open files");
        return ExitCode::from(failure::FAULT);
    };
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if words.get(1).is_some_and(|word| word == "__complete") {
        println!("{}", runtime.block_on(complete::complete(&words[2..])));
        return ExitCode::SUCCESS;
    }
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            if !error.use_stderr() {
                let _ = error.print();
                return ExitCode::SUCCESS;
            }
            complain(&usage::sentence(&error));
            return ExitCode::from(failure::WRONG);
        }
    };
    let result = runtime.block_on(read::read(arguments));
    // Does not wait for a hanging name lookup.
    runtime.shutdown_background();
    match result {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            complain(&failure.sentence);
            ExitCode::from(failure.status)
        }
    }
}

fn complain(sentence: &str) {
    eprintln!("hook-log: {sentence}");
}
