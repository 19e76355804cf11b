//! The end-to-end suite: each scenario with Helm 3 and with Helm 4 on a real cluster; ends with a table.
//! Started by tests/cluster/run, which provides the cluster, the programs and the images.

#![allow(clippy::too_many_lines)] // a scenario reads as one story

mod cluster;
mod manifest;
mod report;
mod scenarios;

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use cluster::{Case, Helm, Place};
use report::Seen;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("cluster: {message}");
            ExitCode::from(78)
        }
    }
}

fn run() -> cluster::Result<bool> {
    let place = Place::from_environment()?;
    let wanted: Vec<u32> = std::env::args()
        .skip(1)
        .map(|word| word.parse().map_err(|_| format!("{word:?} is no scenario's number")))
        .collect::<Result<_, _>>()?;
    let helms: &[Helm] = match std::env::var("E2E_HELM").as_deref() {
        Ok("3") => &[Helm::Three],
        Ok("4") => &[Helm::Four],
        _ => &[Helm::Three, Helm::Four],
    };
    let scenarios: Vec<_> = scenarios::all()
        .into_iter()
        .filter(|scenario| wanted.is_empty() || wanted.contains(&scenario.number))
        .collect();
    if scenarios.is_empty() {
        return Err(format!("no scenario has a number of {wanted:?}; they are 1 to 19"));
    }
    let mut queue: Vec<(usize, Helm)> =
        (0..scenarios.len()).flat_map(|index| helms.iter().map(move |&helm| (index, helm))).collect();
    queue.reverse();
    let queue = Mutex::new(queue);
    let seen = Mutex::new(Vec::new());
    // They wait for the cluster more than they compute.
    let side_by_side = std::env::var("E2E_JOBS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    std::thread::scope(|scope| {
        for _ in 0..side_by_side {
            scope.spawn(|| {
                while let Some((index, helm)) = { queue.lock().ok().and_then(|mut queue| queue.pop()) } {
                    let one = show(&place, &scenarios[index], helm);
                    if let Ok(mut seen) = seen.lock() {
                        seen.push(one);
                    }
                }
            });
        }
    });
    let seen = seen.into_inner().map_err(|_| "a scenario panicked".to_owned())?;
    let table = report::table(&scenarios, helms, &seen);
    println!("\n{table}");
    if let Some(path) = std::env::var_os("E2E_REPORT") {
        std::fs::write(&path, &table).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let expected = scenarios.len() * helms.len();
    let passed = seen.iter().filter(|one| one.result.is_ok()).count();
    let left_out = seen.iter().filter(|one| one.result.as_ref().is_ok_and(|line| line.starts_with(NOT_RUN)));
    let left_out = left_out.count();
    if let Some(path) = std::env::var_os("E2E_COUNTS") {
        let counts = format!("{} {} {left_out}\n", passed - left_out, expected - passed);
        std::fs::write(&path, counts).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(passed == expected)
}

/// How the line of a scenario begins that could not be shown on this cluster.
pub(crate) const NOT_RUN: &str = "not run:";

/// One scenario with one Helm, in a namespace that is removed when it passed.
fn show(place: &Place, scenario: &scenarios::Scenario, helm: Helm) -> Seen {
    let namespace = format!("s{:02}-{}", scenario.number, helm.program());
    let case = Case { place: place.clone(), helm, namespace };
    let begin = Instant::now();
    case.clean();
    let fresh = cluster::until("the namespace gone", 120, || {
        let all = case.list(&["namespaces"]);
        all.iter().all(|one| one["metadata"]["name"] != case.namespace.as_str()).then_some(())
    });
    if let Some(state) = &place.state {
        remove_volumes(state, &case.namespace);
    }
    let result = fresh.and_then(|()| case.make_namespace()).and_then(|()| (scenario.show)(&case));
    let name = format!("scenario {:>2}, {}: {}", scenario.number, helm.program(), scenario.title);
    let seconds = begin.elapsed().as_secs();
    match &result {
        Ok(seen) => {
            println!("ok      {name} ({seconds} s)\n        {seen}");
            case.clean();
        }
        Err(error) => println!("FAILED  {name} ({seconds} s)\n{error}\n{}", case.evidence()),
    }
    Seen { number: scenario.number, helm, result }
}

/// The folders of an earlier run's volumes in this namespace.
fn remove_volumes(state: &std::path::Path, namespace: &str) {
    for entry in std::fs::read_dir(state.join("volumes")).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&format!("{namespace}-")) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
