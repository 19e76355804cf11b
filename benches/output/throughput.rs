//! Throughput: a burst of short lines through the runner and through tee(1), to a log and to a reader of stdout.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::measure::{Taken, finish, median, own_cpu};

/// Of one burst.
const BYTES: u64 = 1 << 30;

/// What stdio writes at once into a pipe.
const CHUNK: usize = 4096;

/// Writes `bytes` of short lines to stdout, and what that took into the file `report`. Each line is formatted and
/// goes through a buffer of `chunk`, as in a program that prints.
pub(crate) fn generate(bytes: u64, chunk: usize, report: &str) {
    let since = Instant::now();
    let mut stdout = BufWriter::with_capacity(
        chunk,
        File::from(std::io::stdout().as_fd().try_clone_to_owned().expect("a descriptor")),
    );
    let mut written = 0;
    let mut number = 0_u64;
    let mut line = Vec::new();
    while written < bytes {
        line.clear();
        writeln!(
            line,
            "2026-01-31 12:00:00 INFO  worker-{:02}: copied file {number} in {} ms",
            number % 16,
            number % 97
        )
        .expect("a vector takes everything");
        stdout.write_all(&line).expect("stdout is read");
        written += line.len() as u64;
        number += 1;
    }
    stdout.flush().expect("stdout is read");
    let text = format!("{} {}", own_cpu().as_nanos(), since.elapsed().as_nanos());
    std::fs::write(report, text).expect("the report can be written");
}

/// Reads stdin to its end at next to no cost (splice(2) to /dev/null): the reader of the container's stdout.
pub(crate) fn drain() {
    let null = File::options().write(true).open("/dev/null").expect("/dev/null");
    let flags = nix::fcntl::SpliceFFlags::empty();
    while nix::fcntl::splice(std::io::stdin(), None, &null, None, 1 << 20, flags).expect("splice") > 0 {}
}

/// CPU of the tee alone, wall of the whole.
struct Sample {
    cpu: f64,
    wall: f64,
}

pub(crate) fn run(runner: &Path, rounds: usize, dirs: &[std::path::PathBuf]) {
    for dir in dirs {
        let scratch = tempfile::tempdir_in(dir).expect("a scratch directory");
        run_in(runner, rounds, scratch.path());
    }
}

fn run_in(runner: &Path, rounds: usize, dir: &Path) {
    let secrets = dir.join("secrets");
    write_secrets(&secrets);
    let hook = dir.join("redact.yaml");
    let yaml = format!("redact:\n  files: [\"{}\"]\n", secrets.display());
    std::fs::write(&hook, yaml).expect("the hook file can be written");
    let log = dir.join("post-hook-output.txt");
    let names = ["no tee", "tee", "hook-runner", "hook-runner, 50 secrets"];
    let mut samples: Vec<Vec<Sample>> = names.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        samples[0].push(alone(dir));
        samples[1].push(through_tee(dir, &log));
        samples[2].push(through_runner(runner, dir, &log, None));
        samples[3].push(through_runner(runner, dir, &log, Some(&hook)));
    }
    let column = |index: usize, get: fn(&Sample) -> f64| {
        median(&mut samples[index].iter().map(get).collect::<Vec<f64>>())
    };
    let kind = Command::new("stat").args(["-f", "-c", "%T"]).arg(dir).output().expect("stat").stdout;
    println!(
        "\nthroughput: {BYTES} bytes of short lines in writes of {CHUNK}, log on {}, stdout read by another process, medians of {rounds} interleaved rounds\n",
        String::from_utf8_lossy(&kind).trim()
    );
    println!("| candidate | CPU of the tee | x tee | x plain | wall | x no tee |\n|---|---|---|---|---|---|");
    let (tee, plain, none) = (column(1, |s| s.cpu), column(2, |s| s.cpu), column(0, |s| s.wall));
    for (index, name) in names.iter().enumerate() {
        let (cpu, wall) = (column(index, |s| s.cpu), column(index, |s| s.wall));
        println!(
            "| {name} | {cpu:.3} s | {:.2} | {:.2} | {wall:.3} s | {:.2} |",
            cpu / tee,
            cpu / plain,
            wall / none
        );
    }
}

/// Fifty values like those in Secrets: 16 to 40 letters and digits.
fn write_secrets(dir: &Path) {
    std::fs::create_dir_all(dir).expect("the scratch directory can be written");
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    for number in 0..50_usize {
        let value: String = (0..16 + number % 25)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from_digit(u32::try_from((state >> 33) % 36).expect("below 36"), 36).expect("a digit")
            })
            .collect();
        std::fs::write(dir.join(format!("key{number:02}")), value).expect("a secret");
    }
}

fn generator(dir: &Path) -> (std::ffi::OsString, Vec<String>) {
    let program = std::env::current_exe().expect("this program").into_os_string();
    let report = dir.join("generator").to_str().expect("UTF-8").to_owned();
    (program, vec!["--generate".into(), BYTES.to_string(), CHUNK.to_string(), report])
}

fn generator_cpu(dir: &Path) -> Duration {
    let text = std::fs::read_to_string(dir.join("generator")).expect("the generator has reported");
    let nanos = text.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    Duration::from_nanos(nanos)
}

/// Something reads the container's stdout; here at next to no cost, because there are two processors only.
fn reader() -> (std::process::Child, Stdio) {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    let mut reader =
        command.arg("--drain").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("starts");
    let stdin = reader.stdin.take().expect("piped");
    (reader, Stdio::from(stdin))
}

fn alone(dir: &Path) -> Sample {
    let (program, args) = generator(dir);
    let (mut reader, stdout) = reader();
    let since = Instant::now();
    let mut command = Command::new(program);
    let child = command.args(args).stdout(stdout).spawn().expect("the generator starts");
    drop(command);
    let taken = finish(child, since);
    reader.wait().expect("the reader ends");
    Sample { cpu: 0.0, wall: taken.wall.as_secs_f64() }
}

fn through_tee(dir: &Path, log: &Path) -> Sample {
    let _ = std::fs::remove_file(log);
    let (program, args) = generator(dir);
    let (mut reader, stdout) = reader();
    let since = Instant::now();
    let mut command = Command::new("tee");
    let mut tee = command.arg(log).stdin(Stdio::piped()).stdout(stdout).spawn().expect("tee is there");
    drop(command);
    let mut command = Command::new(program);
    command.args(args).stdout(tee.stdin.take().expect("piped"));
    let mut child = command.spawn().expect("the generator starts");
    drop(command);
    let taken = finish(tee, since);
    child.wait().expect("the generator ends");
    reader.wait().expect("the reader ends");
    Sample { cpu: taken.cpu.as_secs_f64(), wall: taken.wall.as_secs_f64() }
}

fn through_runner(runner: &Path, dir: &Path, log: &Path, hook: Option<&Path>) -> Sample {
    let _ = std::fs::remove_file(log);
    let _ = std::fs::remove_dir_all(log.with_file_name(".hook-runner"));
    let (program, args) = generator(dir);
    let (mut reader, stdout) = reader();
    let since = Instant::now();
    let mut command = Command::new(runner);
    command.arg("run").arg("--log").arg(log);
    if let Some(hook) = hook {
        command.arg("--hook").arg(hook);
    }
    command.arg("--").arg(program).args(args).stdout(stdout).stderr(Stdio::null());
    let child = command.spawn().expect("the runner starts");
    drop(command);
    let Taken { wall, cpu } = finish(child, since);
    reader.wait().expect("the reader ends");
    let file = File::open(log).and_then(|file| file.metadata()).expect("the log is there");
    assert!(file.len() >= BYTES, "the log holds {} of {BYTES} bytes", file.len());
    Sample { cpu: cpu.saturating_sub(generator_cpu(dir)).as_secs_f64(), wall: wall.as_secs_f64() }
}
