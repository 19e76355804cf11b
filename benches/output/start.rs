//! Start-up: from exec of the init to its exit, around /bin/true.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::measure::{median, run};

pub(crate) fn run_all(candidates: &mut [(String, Command)], rounds: usize) -> Vec<Vec<f64>> {
    let mut walls = vec![Vec::with_capacity(rounds); candidates.len()];
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    // What ran before leaves the caches as it leaves them: no candidate is always behind the same one (xorshift, Marsaglia
    // 2003; the same in each run).
    let mut random = 0x9E37_79B9_u32;
    for _ in 0..rounds {
        for last in (1..order.len()).rev() {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            order.swap(last, random as usize % (last + 1));
        }
        for &index in &order {
            walls[index].push(run(&mut candidates[index].1).wall.as_secs_f64() * 1e6);
        }
    }
    walls
}

pub(crate) fn run_start(runner: &Path, older: Option<&Path>, rounds: usize) {
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
    let install = |runner: &Path, name: &str| {
        let copy = installed.path().join(name);
        std::fs::copy(runner, &copy).expect("the runner can be copied");
        copy.into_os_string().into_string().expect("a path in UTF-8")
    };
    let runner = &install(runner, "hook-runner");
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
    // Each build needs a volume of its own: what one writes there is what the next start finds.
    let older_log = scratch.path().join("older/post-hook-output.txt");
    if let Some(older) = older {
        let older = &install(older, "older");
        let log = older_log.to_str().expect("a path in UTF-8");
        candidates.push((
            "older build, --log none".to_owned(),
            command(older, &["run", "--log", "none", "--", "/bin/true"]),
        ));
        candidates.push((
            "older build, --log FILE".to_owned(),
            command(older, &["run", "--log", log, "--", "/bin/true"]),
        ));
    }
    run_all(&mut candidates, 25);
    let mut walls = run_all(&mut candidates, rounds);
    let tini = median(&mut walls[1]);
    println!("\nstart-up: exec to exit around /bin/true, median of {rounds} interleaved starts\n");
    println!("| candidate | median | x tini -s |\n|---|---|---|");
    for ((name, _), walls) in candidates.iter().zip(&mut walls) {
        let median = median(walls);
        println!("| {name} | {median:.0} us | {:.2} |", median / tini);
    }
}
