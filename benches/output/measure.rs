//! Running a child and reading what it took; medians.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::libc;

/// What one child, with the children it waited for, has taken.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// Runs `command` to its end, which must be status 0.
pub(crate) fn run(command: &mut Command) -> Taken {
    let since = Instant::now();
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    finish(child, since)
}

/// Waits for `child`.
pub(crate) fn finish(child: Child, since: Instant) -> Taken {
    let pid = libc::pid_t::try_from(child.id()).expect("a process id");
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are valid for the call; the child is ours and not waited for by anyone else.
    let got = unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) };
    let wall = since.elapsed();
    assert_eq!((got, status), (pid, 0), "a measured command failed");
    // SAFETY: plain data, zeroed and filled by the call.
    let usage = unsafe { usage.assume_init() };
    Taken { wall, cpu: time(usage.ru_utime) + time(usage.ru_stime) }
}

fn time(time: libc::timeval) -> Duration {
    Duration::from_micros(u64::try_from(time.tv_sec * 1_000_000 + time.tv_usec).unwrap_or(0))
}

/// CPU time of this process.
pub(crate) fn own_cpu() -> Duration {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).expect("getrusage");
    let time = |t: nix::sys::time::TimeVal| {
        Duration::from_micros(u64::try_from(t.tv_sec() * 1_000_000 + t.tv_usec()).unwrap_or(0))
    };
    time(usage.user_time()) + time(usage.system_time())
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Where the numbers come from.
pub(crate) fn print_machine(runner: &Path) {
    let output = |program: &str, args: &[&str]| {
        Command::new(program)
            .args(args)
            .output()
            .map(|output| {
                let text = [output.stdout, output.stderr].concat();
                String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
            })
            .unwrap_or_else(|error| format!("not there ({error})"))
    };
    println!("date      {}", output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]));
    println!("kernel    {}", output("uname", &["-srm"]));
    println!("processor {}", processor());
    println!("load      {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
    println!("runner    {} ({} bytes)", output(&runner.to_string_lossy(), &["--version"]), size(runner));
    for (program, flag) in
        [("tini", "--version"), ("dumb-init", "--version"), ("catatonit", "--version"), ("tee", "--version")]
    {
        println!("{program:<9} {}", output(program, &[flag]));
    }
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let count = info.lines().filter(|line| line.starts_with("processor")).count();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    format!("{count} x{}", model.trim_start_matches(['\t', ' ', ':']).trim_end())
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}
