//! `check`: validates hook files together with the flags and the environment that they will be run with.

use std::io::Read;
use std::path::Path;

use super::say::{complain, print};
use crate::cli;
use crate::exit::{Failure, Kind};
use crate::hook::{file, layer::Layer, spec::Hook, steps::Step};
use crate::support::cause::words;
use crate::support::harmless::harmless;

/// Checks each file; status 78 when one is wrong.
pub(super) fn check(arguments: cli::Check) -> Result<(), Failure> {
    let cli::Check { files, mut run } = arguments;
    let files = if files.is_empty() { Vec::from_iter(run.hook.take()) } else { files };
    run.layer.assume_shard();
    if files.is_empty() {
        return print(report("the command line", &run.layer, Layer::default())?.as_bytes());
    }
    let mut failures = Vec::new();
    for path in &files {
        match one(path, &run.layer) {
            Ok(text) => print(text.as_bytes())?,
            Err(failure) => failures.push(failure),
        }
    }
    let last = failures.pop();
    failures.iter().for_each(complain);
    last.map_or(Ok(()), Err)
}

/// The steps of a file, or its mistake.
fn one(path: &Path, flags: &Layer) -> Result<String, Failure> {
    let (name, mut layer) = read(path)?;
    layer.assume_shard();
    report(&name, flags, layer)
}

fn read(path: &Path) -> Result<(String, Layer), Failure> {
    let wrong = |error: file::FileError| Failure::new(Kind::Config, error.to_string());
    if path != Path::new("-") {
        return Ok((path.display().to_string(), file::read(path).map_err(wrong)?));
    }
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).map_err(|error| {
        Failure::new(Kind::Io, format!("cannot read the hook from stdin: {}", words(&error)))
    })?;
    Ok(("stdin".into(), file::parse("stdin", &text).map_err(wrong)?))
}

fn report(name: &str, flags: &Layer, file: Layer) -> Result<String, Failure> {
    let hook = Hook::from_layers(flags.clone(), file)
        .map_err(|error| Failure::new(Kind::Config, format!("{name}: {error}")))?;
    let list = |title: &str, steps: &[Step]| -> String {
        let lines = steps.iter().enumerate().map(|(at, step)| {
            let when = step.when().map_or(String::new(), |when| format!(" ({when})"));
            format!("{}. {}\n", at + 1, harmless(&format!("{step}{when}")))
        });
        if steps.is_empty() { String::new() } else { format!("{title}\n{}", lines.collect::<String>()) }
    };
    let count =
        if hook.steps.len() == 1 { "1 step".to_owned() } else { format!("{} steps", hook.steps.len()) };
    Ok([
        list(&format!("{name}: a hook with {count}"), &hook.steps),
        list("on failure:", &hook.on_failure),
        list("finally:", &hook.finally),
    ]
    .concat())
}
