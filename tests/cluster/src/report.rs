//! The table of what was seen, in Markdown.

use std::fmt::Write as _;

use crate::cluster::{Helm, Result};
use crate::scenarios::Scenario;

/// What one scenario showed with one Helm.
pub(crate) struct Seen {
    /// The scenario.
    pub(crate) number: u32,
    /// The Helm.
    pub(crate) helm: Helm,
    /// One line, or why it failed.
    pub(crate) result: Result<String>,
}

/// The table: one row per scenario.
pub(crate) fn table(scenarios: &[Scenario], helms: &[Helm], seen: &[Seen]) -> String {
    let mut text = String::from("| # | Scenario |");
    for helm in helms {
        let _ = write!(text, " {} |", if *helm == Helm::Three { "Helm 3" } else { "Helm 4" });
    }
    text +=
        " Seen with hook-runner | With the shell one-liner (run in 2; else what its commands do) |\n|--|--|";
    text += &"--|".repeat(helms.len());
    text += "--|--|\n";
    for scenario in scenarios {
        let _ = write!(text, "| {} | {} |", scenario.number, scenario.title);
        let mut lines: Vec<&str> = Vec::new();
        for helm in helms {
            let one = seen.iter().find(|one| one.number == scenario.number && one.helm == *helm);
            let verdict = match one.map(|one| &one.result) {
                Some(Ok(line)) => {
                    if !lines.contains(&line.as_str()) {
                        lines.push(line);
                    }
                    "passed"
                }
                Some(Err(_)) => "**failed**",
                None => "**not run**",
            };
            let _ = write!(text, " {verdict} |");
        }
        let _ = writeln!(text, " {} | {} |", lines.join(" / "), scenario.one_liner);
    }
    text
}
