//! Parses the command line, dispatches to a command, turns its outcome into an exit status.

use std::convert::Infallible;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use hook_runner::cli::{self, Cli, Command};
use hook_runner::exit::Kind;
use hook_runner::history::{self, HistoryError, Records};
use hook_runner::hook::summary::{Failure, Outcome};
use hook_runner::hook::{self, file, layer::Layer, spec::Hook, values::LogTarget};
use hook_runner::install;
use hook_runner::sidecar::{Access, Follow, Pace};

/// musl's allocator asks the kernel for each few pages and gives them back at once, which is most of what a short run
/// takes.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    hook_runner::pages::take();
    dispatch()
}

/// Apart from `main`, so that its stack is taken before it is used.
#[inline(never)]
fn dispatch() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => return wrong_usage(&error),
    };
    let status = match cli.command {
        Command::Run(run) => return ExitCode::from(run_hook(*run)),
        Command::Copy(copy) => hook::copying::run(&copy),
        Command::Sidecar(sidecar) => return ExitCode::from(run_sidecar(sidecar)),
        Command::Logs(logs) => print_logs(&logs),
        Command::History(history) => print_history(&history),
        Command::Verify(verify) => hook::copying::verify(&verify),
        Command::Check { file } => check(&file),
        Command::Install { dir } => install::install(&dir).map(drop).map_err(|error| {
            let kind = match error {
                install::InstallError::NoDirectory(_) => Kind::Config,
                install::InstallError::Io { .. } => Kind::Io,
            };
            Failure::new(kind, error.to_string())
        }),
        Command::Schema => print(format!("{}\n", file::schema()).as_bytes()),
        Command::Completions { shell } => print(&cli::completions(shell)),
        Command::Man => cli::manual().map_err(|error| unprintable(&error)).and_then(|text| print(&text)),
    };
    match status {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            ExitCode::from(failure.kind.status())
        }
    }
}

fn parse() -> Result<Cli, clap::Error> {
    match cli::Run::plain(std::env::args_os()) {
        Some(run) => Ok(Cli { command: Command::Run(Box::new(run)) }),
        None => Cli::try_parse(),
    }
}

/// clap's own status for wrong usage is 2, which the contract gives to the command; ours is 78.
fn wrong_usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(Kind::Config.status())
        }
        _ => {
            let text = error.render().to_string();
            let mut sentence =
                text.split("\n\n").next().unwrap_or(&text).replace("error: ", "").replace("\n ", "");
            let argument = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::String(argument)) => argument.as_str(),
                _ => "",
            };
            if let Some(variable) = variable_of(argument) {
                sentence = format!("{}, from {variable}", sentence.trim());
            }
            let advice = advice(error, argument);
            complain(&Failure::new(Kind::Config, sentence.trim()).advise(advice));
            ExitCode::from(Kind::Config.status())
        }
    }
}

/// What to do about wrong usage: the nearest name that there is, or where the names are listed.
fn advice(error: &clap::Error, argument: &str) -> String {
    let meant = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
        .into_iter()
        .find_map(|kind| match error.get(kind)? {
            ContextValue::String(name) => Some(name.clone()),
            // The nearest comes last.
            ContextValue::Strings(names) => names.last().cloned(),
            _ => None,
        });
    if let Some(name) = meant {
        return format!("is `{name}` meant?");
    }
    if error.kind() == ErrorKind::UnknownArgument && !argument.starts_with('-') {
        return "a command stands behind `--`, as in `hook-runner run -- COMMAND`".to_owned();
    }
    let command = std::env::args().nth(1).filter(|name| cli::is_command(name));
    let of = command.map(|name| format!("{name} ")).unwrap_or_default();
    format!("`hook-runner {of}--help` lists what there is")
}

/// The environment variable that an argument (`--keep <N>`) has its value from, when the command line does not give it.
fn variable_of(argument: &str) -> Option<String> {
    let flag = argument.split([' ', '=', '[']).next().filter(|flag| flag.starts_with("--"))?;
    let variable = format!("HOOK_RUNNER_{}", flag[2..].replace('-', "_").to_uppercase());
    let given = std::env::args_os().any(|given| given.to_string_lossy().split('=').next() == Some(flag));
    (!given && std::env::var_os(&variable).is_some()).then_some(variable)
}

#[inline(never)]
fn run_hook(run: cli::Run) -> u8 {
    let termination_log = run.layer.termination_log.clone();
    attempt(termination_log.as_deref(), || {
        let file = match &run.hook {
            Some(path) => file::read(path).map_err(hook::invalid::SpecError::from),
            None => Ok(Layer::default()),
        };
        file.and_then(|file| Hook::from_layers(run.layer, file))
            .map_err(|error| Failure::new(Kind::Config, error.to_string()))
    })
}

#[inline(never)]
fn run_sidecar(sidecar: cli::Sidecar) -> u8 {
    attempt(None, || {
        let access = Access::from_environment(sidecar.service_account.as_deref(), sidecar.ca_file.as_deref())
            .map_err(|error| Failure::new(Kind::Config, error.to_string()))?;
        let follow = Follow { container: sidecar.container, access, pace: Pace::default() };
        let layer = Layer {
            log: Some(LogTarget::File(sidecar.log)),
            state: sidecar.state,
            run_id: sidecar.run_id,
            grace: sidecar.grace,
            ..Layer::default()
        };
        Hook::of_sidecar(layer, follow).map_err(|error| Failure::new(Kind::Config, error.to_string()))
    })
}

/// One attempt of the hook that `describe` gives.
fn attempt(termination_log: Option<&Path>, describe: impl FnOnce() -> Result<Hook, Failure>) -> u8 {
    // Before anything else: signals that come while the hook is read must not be lost, and no thread may
    // have been started with another mask.
    let supervisor = match hook_runner::process::Supervisor::new() {
        Ok(supervisor) => supervisor,
        Err(error) => {
            return refuse(
                &Failure::new(Kind::Fault, format!("cannot take over the signals: {error}")),
                None,
            );
        }
    };
    let hook = match describe() {
        Ok(hook) => hook,
        Err(failure) => return refuse(&failure, termination_log),
    };
    // For the thread that ends the program, which need not be this one.
    let hook: &'static Hook = Box::leak(Box::new(hook));
    hook::attempt::run(hook, supervisor, end)
}

/// Says what came of the attempt, and exits.
fn end(hook: &Hook, outcome: &Outcome) -> Infallible {
    hook::summary::termination_message(outcome, hook.termination_log.as_deref());
    hook_runner::output::say(&format!("hook-runner: {}\n", outcome.line()));
    let status = outcome.status();
    // SAFETY: a number. Runtime, memory, descriptors and threads that a hung volume holds are left to the kernel, which
    // is faster; nothing is buffered that would have to be written.
    unsafe { nix::libc::_exit(status.into()) }
}

/// A hook that is wrong, before there is an attempt: the sentence, and the same for `kubectl describe`.
fn refuse(failure: &Failure, termination_log: Option<&Path>) -> u8 {
    complain(failure);
    let identity = hook::identity::Identity::from_environment(None);
    let mut outcome = Outcome::new(identity, None);
    outcome.fail(failure.clone());
    hook::summary::termination_message(&outcome, termination_log);
    outcome.status()
}

fn check(path: &Path) -> Result<(), Failure> {
    let layer = file::read(path).map_err(|error| Failure::new(Kind::Config, error.to_string()))?;
    let hook = Hook::from_layers(Layer::default(), layer)
        .map_err(|error| Failure::new(Kind::Config, format!("{}: {error}", path.display())))?;
    let steps: Vec<String> =
        hook.steps.iter().enumerate().map(|(at, step)| format!("{}. {step}\n", at + 1)).collect();
    let count = if steps.len() == 1 { "1 step".to_owned() } else { format!("{} steps", steps.len()) };
    print(format!("{}: a hook with {count}\n{}", path.display(), steps.concat()).as_bytes())
}

fn print_logs(logs: &cli::Logs) -> Result<(), Failure> {
    let records = Records::open(&logs.place.log, logs.place.state.as_deref()).map_err(unreadable)?;
    let mut out = std::io::stdout().lock();
    let selection = history::logs::Selection {
        run: logs.run.clone(),
        attempt: logs.attempt,
        failed: logs.failed,
        all: logs.all,
    };
    let done = if logs.follow {
        history::logs::follow(&records, &mut out)
    } else {
        history::logs::print(&records, &selection, logs.json, &mut out)
    };
    forgive_closed_pipe(done)
}

fn print_history(options: &cli::History) -> Result<(), Failure> {
    let records = Records::open(&options.place.log, options.place.state.as_deref()).map_err(unreadable)?;
    forgive_closed_pipe(history::table::print(&records, options.json, &mut std::io::stdout().lock()))
}

/// `hook-runner logs | head` is no failure.
fn forgive_closed_pipe(done: Result<(), HistoryError>) -> Result<(), Failure> {
    match done {
        Err(HistoryError::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(unreadable),
    }
}

fn unreadable(error: HistoryError) -> Failure {
    let kind = match error {
        HistoryError::Store(_) | HistoryError::Print(_) => Kind::Io,
        _ => Kind::Config,
    };
    Failure::new(kind, error.to_string())
}

fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(unprintable(&error)),
        _ => Ok(()),
    }
}

fn unprintable(error: &std::io::Error) -> Failure {
    Failure::new(Kind::Io, format!("cannot print: {error}"))
}

fn complain(failure: &Failure) {
    let terminal = std::io::stderr().is_terminal();
    let mark = if terminal { "\u{1b}[31mhook-runner:\u{1b}[0m" } else { "hook-runner:" };
    // Whoever reads it may have stopped: the status comes all the same.
    hook_runner::output::say(&format!("{mark} {}\n", failure.sentence()));
}
