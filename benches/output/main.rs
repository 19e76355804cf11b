//! What hook-runner costs, side by side with the tools people use now: start-up against tini, dumb-init and catatonit;
//! throughput against tee(1). Every round runs all candidates in turn, so that noise hits them alike; shown are
//! medians and ratios.
//!
//! Usage: `cargo bench --bench output -- [start] [throughput] [--rounds N] [--dir DIR]…`, with `HOOK_RUNNER` the
//! program to measure (default: the release binary for musl in `target/`, or in `CARGO_TARGET_DIR`), and
//! `HOOK_RUNNER_OLDER` another build of it, whose start-up is to be compared. Asked for with
//! `--generate BYTES CHUNK FILE` it is its own generator of output, with `--drain` its own reader.

mod measure;
mod start;
mod throughput;

use std::path::{Path, PathBuf};

/// What is to be measured, from the command line.
struct Plan {
    start: bool,
    throughput: bool,
    rounds: Option<usize>,
    dirs: Vec<PathBuf>,
    runner: PathBuf,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, bytes, chunk, report] = &args[..]
        && flag == "--generate"
    {
        throughput::generate(
            bytes.parse().expect("a number of bytes"),
            chunk.parse().expect("a number of bytes"),
            report,
        );
        return;
    }
    if args == ["--drain"] {
        throughput::drain();
        return;
    }
    let plan = plan(args.into_iter());
    measure::print_machine(&plan.runner);
    if plan.start {
        let older = std::env::var_os("HOOK_RUNNER_OLDER").map(PathBuf::from);
        start::run_start(&plan.runner, older.as_deref(), plan.rounds.unwrap_or(300));
    }
    if plan.throughput {
        throughput::run(&plan.runner, plan.rounds.unwrap_or(7), &plan.dirs);
    }
}

fn plan(mut args: impl Iterator<Item = String>) -> Plan {
    let default = || {
        let given = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        // As cargo takes a relative one: from the workspace, which is also where it runs this.
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(given)
            .join("x86_64-unknown-linux-musl/release/hook-runner")
    };
    let mut plan = Plan {
        start: false,
        throughput: false,
        rounds: None,
        dirs: Vec::new(),
        runner: std::env::var_os("HOOK_RUNNER").map_or_else(default, PathBuf::from),
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "start" => plan.start = true,
            "throughput" => plan.throughput = true,
            "--rounds" => plan.rounds = Some(args.next().and_then(|n| n.parse().ok()).expect("--rounds N")),
            "--dir" => plan.dirs.push(args.next().expect("--dir DIR").into()),
            // Given by `cargo bench`.
            "--bench" => {}
            other => panic!("unknown argument {other}: start, throughput, --rounds N, --dir DIR"),
        }
    }
    if !plan.start && !plan.throughput {
        (plan.start, plan.throughput) = (true, true);
    }
    if plan.dirs.is_empty() {
        plan.dirs.push("/dev/shm".into());
    }
    assert!(plan.runner.exists(), "{} is not there: build it first (make build)", plan.runner.display());
    plan
}
