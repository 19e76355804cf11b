//! Start-up: from exec of the init to its exit, around /bin/true.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::measure::{median, run};

pub(crate) fn run_all(candidates: &mut [(String, Command)], rounds: usize) -> Vec<Vec<f64>> {
    let mut walls = vec![Vec::with_capacity(rounds); candidates.len()];
    for _ in 0..rounds {
        for (index, (_, command)) in candidates.iter_mut().enumerate() {
            walls[index].push(run(command).wall.as_secs_f64() * 1e6);
        }
    }
    walls
}

pub(crate) fn run_start(runner: &Path, rounds: usize) {
    let scratch = tempfile::tempdir_in("/dev/shm").expect("a directory on tmpfs");
    let log = scratch.path().join("post-hook-output.txt");
    let command = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    // Installed like the others: the pages of a file that a linker wrote in pieces cost more to map than those of a copy.
    let beside = runner.parent().expect("a file in a directory");
    let installed = tempfile::tempdir_in(beside).expect("a directory beside the runner");
    let copy = installed.path().join("hook-runner");
    std::fs::copy(runner, &copy).expect("the runner can be copied");
    let runner = copy.to_str().expect("a path in UTF-8");
    let log = log.to_str().expect("a path in UTF-8");
    let mut candidates = vec![
        ("/bin/true alone".to_owned(), command("/bin/true", &[])),
        ("tini -s".to_owned(), command("tini", &["-s", "--", "/bin/true"])),
        ("tini-static -s".to_owned(), command("tini-static", &["-s", "--", "/bin/true"])),
        ("dumb-init".to_owned(), command("dumb-init", &["/bin/true"])),
        ("catatonit".to_owned(), command("catatonit", &["--", "/bin/true"])),
        ("run --log none".to_owned(), command(runner, &["run", "--log", "none", "--", "/bin/true"])),
        ("run --log FILE".to_owned(), command(runner, &["run", "--log", log, "--", "/bin/true"])),
    ];
    run_all(&mut candidates, 10);
    let mut walls = run_all(&mut candidates, rounds);
    let tini = median(&mut walls[1]);
    println!("\nstart-up: exec to exit around /bin/true, median of {rounds} interleaved starts\n");
    println!("| candidate | median | x tini -s |\n|---|---|---|");
    for ((name, _), walls) in candidates.iter().zip(&mut walls) {
        let median = median(walls);
        println!("| {name} | {median:.0} us | {:.2} |", median / tini);
    }
}
