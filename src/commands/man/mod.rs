//! `man`: a manual page for the program and for each command, from the definition of the command line.

mod roff;

use std::path::Path;

use clap::{Arg, ArgAction, Command};

use self::roff::Page;
use super::examples::{self, VARIABLES};
use super::parse;
use super::say::print;
use crate::cli::Man;
use crate::exit::{self, Failure, Kind};
use crate::support::cause::words;

/// The date in the pages.
const DATE: &str = "2026-11-28";

/// Prints one page, or writes all of them into a directory.
pub(super) fn man(arguments: &Man) -> Result<(), Failure> {
    let mut program = parse::definition();
    program.build();
    let Some(subject) = &arguments.subject else {
        return print(page(&program, &program).as_bytes());
    };
    if let Some(command) = subject.to_str().and_then(|name| program.find_subcommand(name)) {
        return print(page(command, &program).as_bytes());
    }
    if !subject.is_dir() {
        let message = format!("{} is neither a command nor a directory", subject.display());
        return Err(
            Failure::new(Kind::Config, message).advise("make the directory, or see `hook-runner --help`")
        );
    }
    for command in std::iter::once(&program).chain(commands(&program)) {
        write(subject, command, &program)?;
    }
    Ok(())
}

fn write(directory: &Path, command: &Command, program: &Command) -> Result<(), Failure> {
    let path = directory.join(format!("{}.1", name(command)));
    std::fs::write(&path, page(command, program)).map_err(|error| {
        Failure::new(Kind::Io, format!("cannot write {}: {}", path.display(), words(&error)))
            .advise("see that this user may write there")
    })
}

/// The commands with a page of their own.
fn commands(program: &Command) -> impl Iterator<Item = &Command> {
    program.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

/// `hook-runner-run`.
fn name(command: &Command) -> String {
    command.get_bin_name().unwrap_or(command.get_name()).replace(' ', "-")
}

fn page(command: &Command, program: &Command) -> String {
    let source = format!("hook-runner {}", env!("CARGO_PKG_VERSION"));
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut page = Page::new(&name(command), DATE, &source);
    page.section("NAME");
    page.text(&format!("{} - {}", name(command), about.trim_end_matches('.')));
    page.section("SYNOPSIS");
    let usage = command.clone().render_usage().to_string();
    page.text(usage.trim_start_matches("Usage: "));
    page.section("DESCRIPTION");
    page.text(&format!("{}.", about.trim_end_matches('.')));
    if command.has_subcommands() {
        page.section("COMMANDS");
        for command in commands(program) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            page.term(command.get_name(), "", &format!("{about}."));
        }
    }
    options(command, &mut page);
    environment(command, &mut page);
    files(command, &mut page);
    exit_status(command, &mut page);
    shown(command, &mut page);
    see_also(command, program, &mut page);
    page.into_text()
}

/// Under the headings of `--help`, in its order.
fn options(command: &Command, page: &mut Page) {
    page.section("OPTIONS");
    let arguments: Vec<&Arg> = command.get_arguments().filter(|argument| !argument.is_hide_set()).collect();
    let mut headings: Vec<Option<&str>> = Vec::new();
    for argument in &arguments {
        if !headings.contains(&argument.get_help_heading()) {
            headings.push(argument.get_help_heading());
        }
    }
    for heading in headings {
        if let Some(heading) = heading {
            page.part(heading);
        }
        for argument in arguments.iter().filter(|argument| argument.get_help_heading() == heading) {
            option(argument, page);
        }
    }
}

fn option(argument: &Arg, page: &mut Page) {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let names = argument.get_value_names().unwrap_or_default();
    let value = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let takes_value = argument.get_action().takes_values();
    match (argument.get_long(), argument.get_short()) {
        (Some(long), _) if argument.is_require_equals_set() => {
            page.term(&format!("--{long}"), &format!("[={value}]"), &help);
        }
        (Some(long), Some(short)) => page.term(&format!("-{short}, --{long}"), "", &help),
        (Some(long), None) => page.term(&format!("--{long}"), if takes_value { &value } else { "" }, &help),
        (None, _) => page.term(&value, "", &help),
    }
}

fn environment(command: &Command, page: &mut Page) {
    let arguments: Vec<&Arg> =
        command.get_arguments().filter(|argument| argument.get_env().is_some()).collect();
    let set_by_charts = matches!(command.get_name(), "run" | "copy" | "sidecar" | "install");
    if arguments.is_empty() && !set_by_charts {
        return;
    }
    page.section("ENVIRONMENT");
    for argument in arguments {
        let variable = argument.get_env().unwrap_or_default().to_string_lossy();
        let list = matches!(argument.get_action(), ArgAction::Append);
        let meaning = match argument.get_long() {
            Some(long) if list => format!("As --{long}, which overrides it; one value a line."),
            Some(long) => format!("As --{long}, which overrides it."),
            None => "As the argument, which overrides it.".to_owned(),
        };
        page.term(&variable, "", &meaning);
    }
    if set_by_charts {
        for (variable, meaning) in VARIABLES {
            let meaning = format!("Set by the charts: {meaning}.");
            page.term(&format!("HOOK_RUNNER_{variable}"), "", &meaning);
        }
    }
    page.term("NO_COLOR", "", "When it is set and not empty, nothing is coloured.");
}

fn files(command: &Command, page: &mut Page) {
    let files = examples::files(command.get_name());
    if !files.is_empty() {
        page.section("FILES");
        for (path, meaning) in files {
            page.term(path, "", meaning);
        }
    }
}

fn exit_status(command: &Command, page: &mut Page) {
    page.section("EXIT STATUS");
    match command.get_name() {
        "hook-runner" | "run" | "sidecar" | "copy" | "install" => {
            page.text("The last column is what a podFailurePolicy should do.");
            page.table(["status", "meaning", "policy"], exit::TABLE);
        }
        "verify" => page.text(
            "0 when the destination is as the last copy left it, 1 when it differs, 74 when it cannot be read, 78 for wrong usage.",
        ),
        _ => page.text("0, or 74 when something cannot be read or printed, or 78 for wrong usage."),
    }
}

fn shown(command: &Command, page: &mut Page) {
    let examples = examples::examples(command.get_name());
    if examples.is_empty() {
        return;
    }
    page.section("EXAMPLES");
    for (at, (what, line)) in examples.iter().enumerate() {
        if at > 0 {
            page.paragraph();
        }
        page.text(&format!("{what}:"));
        page.code(line);
    }
}

fn see_also(command: &Command, program: &Command, page: &mut Page) {
    page.section("SEE ALSO");
    let others = std::iter::once(program).chain(commands(program)).map(name);
    let others: Vec<String> =
        others.filter(|other| *other != name(command)).map(|other| format!("{other}(1)")).collect();
    page.text(&others.join(", "));
}
