//! Which functions a start runs through: a linker script that puts them side by side, so that a start touches a few
//! stretches of the program and not all of it. A run of a command that prints a line, with a log and without one, is
//! followed instruction by instruction (ptrace(2)).
//!
//! Names are given without what differs from compiler to compiler and from build to build, the hash at their end. A
//! name that no longer exists costs nothing, a new one is found at its usual place. The C library is small, gives one
//! function several names and its assembler none, and is taken as a whole, with what calls it first.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

const HEAD: &str = "\
/* The functions that a start runs through, side by side: see benches/output/order.rs. Made anew, after larger changes, by
 *     CARGO_PROFILE_RELEASE_STRIP=none image/binary && cargo bench --bench output -- order >image/start.ld
 */
SECTIONS
{
  .text.start :
  {
    *libc.a:(.text .text.*)
    *crt1.o(.text .text.*)
";
const FOOT: &str = "  }\n}\nINSERT BEFORE .text;\n";

/// Prints the script for `runner`, which must have its symbols.
pub(crate) fn print(runner: &Path) {
    let functions = functions(runner);
    assert!(functions.len() > 1000, "{} has no symbols: CARGO_PROFILE_RELEASE_STRIP=none", runner.display());
    let scratch = tempfile::tempdir().expect("a directory");
    let log = scratch.path().join("log");
    let log = log.to_str().expect("a path in UTF-8");
    let mut patterns = BTreeSet::new();
    let args = |log| ["run", "--log", log, "--", "/bin/echo", "a line"];
    // The run that is followed finds a log to put away, and then has one too many.
    for _ in 0..22 {
        let earlier =
            Command::new(runner).args(args(log)).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(earlier.expect("the runner can be started").success(), "the runner failed");
    }
    for log in ["none", log] {
        for address in steps(runner, &args(log)) {
            let at = functions.partition_point(|function| function.start <= address);
            if let Some(function) = at.checked_sub(1).map(|at| &functions[at])
                && address < function.end
            {
                patterns.insert(pattern(&function.name));
            }
        }
    }
    print!("{HEAD}");
    for pattern in patterns {
        println!("    *(.text.{pattern} .text.unlikely.{pattern})");
    }
    print!("{FOOT}");
}

struct Function {
    start: u64,
    end: u64,
    name: String,
}

fn functions(runner: &Path) -> Vec<Function> {
    let listed = Command::new("nm").args(["-n", "-S"]).arg(runner).output().expect("nm, of binutils");
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let parse = |line: &str| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let &[start, size, "t" | "T" | "w" | "W", name] = &fields[..] else { return None };
        let start = u64::from_str_radix(start, 16).ok()?;
        Some(Function { start, end: start + u64::from_str_radix(size, 16).ok()?, name: name.to_owned() })
    };
    text.lines().filter_map(parse).collect()
}

/// The addresses of all instructions that the program's own threads execute; the command's are not followed.
fn steps(runner: &Path, args: &[&str]) -> BTreeSet<u64> {
    let mut command = Command::new(runner);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: one system call.
    unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
    follow(command.spawn().expect("the runner can be started"))
}

/// Steps through a child that is traced, to its end.
fn follow(child: Child) -> BTreeSet<u64> {
    let main = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    waitpid(main, None).expect("it stops at its start");
    let options = ptrace::Options::PTRACE_O_TRACECLONE | ptrace::Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(main, options).expect("it is traced");
    ptrace::step(main, None).expect("it goes on");
    let mut seen = BTreeSet::new();
    loop {
        let (thread, signal) = match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == main => {
                assert_eq!(status, 0, "the runner failed");
                return seen;
            }
            Ok(
                WaitStatus::Stopped(pid, Signal::SIGTRAP | Signal::SIGSTOP)
                | WaitStatus::PtraceEvent(pid, ..),
            ) => (pid, None),
            Ok(WaitStatus::Stopped(pid, signal)) => (pid, Some(signal)),
            Ok(_) => continue,
            Err(error) => panic!("waitpid: {error}"),
        };
        // A thread may be gone at any moment, with the program.
        if let Ok(registers) = ptrace::getregs(thread) {
            seen.insert(registers.rip);
        }
        let _ = ptrace::step(thread, signal);
    }
}

/// The name without the hash at its end (legacy mangling) or those of its crates (v0), and without the number that a name
/// has for being local to a part that was linked into the whole.
fn pattern(name: &str) -> String {
    let (name, more) = match name.rsplit_once('.') {
        Some((stem, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => (stem, "*"),
        _ => (name, ""),
    };
    if let Some(at) = name.rfind("17h")
        && name.len() == at + 20
        && name.ends_with('E')
    {
        return format!("{}17h*", &name[..at]);
    }
    let mut pattern = String::new();
    let mut rest = name;
    while name.starts_with("_R")
        && let Some(at) = rest.find("Cs")
    {
        let (before, after) = rest.split_at(at + 2);
        pattern.push_str(before);
        rest = after.find('_').map_or(after, |end| {
            pattern.push('*');
            &after[end..]
        });
    }
    pattern + rest + more
}
