//! The request to the runner: a reading command with the user's options, and the path of the log. Pure.

use crate::failure::Failure;
use crate::hook::Hook;
use crate::mount::Mount;

/// The runner's commands that read.
pub const COMMANDS: [&str; 5] = ["logs", "history", "verify", "diff", "report"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    command: String,
    options: Vec<String>,
}

impl Reading {
    /// Reads the words after the release's name. Options without a command belong to `logs`.
    pub fn of(words: &[String]) -> Result<Self, Failure> {
        let is_command = |word: &String| COMMANDS.contains(&word.as_str());
        match words.split_first() {
            Some((first, options)) if is_command(first) => {
                Ok(Self { command: first.clone(), options: options.to_vec() })
            }
            Some((first, _)) if !first.starts_with('-') => Err(Failure::wrong(format!(
                "'{first}' is no reading command; choose one of {}",
                COMMANDS.join(", ")
            ))),
            _ => Ok(Self { command: "logs".into(), options: words.to_vec() }),
        }
    }

    /// Whether it only ends when the run does.
    pub fn follows(&self) -> bool {
        let follows = |word: &String| word == "--follow" || word.starts_with("-f");
        self.command == "logs" && self.options.iter().any(follows)
    }

    /// The command lines to run in order: one or, for `verify`, one per destination.
    pub fn command_lines(&self, program: &str, hook: &Hook, mount: &Mount) -> Option<Vec<Vec<String>>> {
        let log = mount.in_container(hook.log.trim_end_matches('/'))?;
        let state = match &hook.state {
            Some(state) => vec![format!("--state={}", mount.in_container(state)?)],
            None => Vec::new(),
        };
        let places = match self.command.as_str() {
            "verify" if hook.destinations.is_empty() => vec![vec![mount.in_container(&hook.sub_path)?]],
            "verify" => {
                let all: Option<Vec<String>> =
                    hook.destinations.iter().map(|path| mount.in_container(path)).collect();
                all?.into_iter().map(|path| vec![path]).collect()
            }
            // Its words are runs.
            "diff" => vec![vec!["--log".into(), log]],
            _ => vec![vec![log]],
        };
        // A pager in a pod's image would wait for keys that nobody can press.
        let no_pager = if self.command == "logs" { vec!["--no-pager".to_owned()] } else { Vec::new() };
        let before: Vec<String> =
            [program.to_owned(), self.command.clone()].into_iter().chain(no_pager).chain(state).collect();
        Some(places.into_iter().map(|place| [before.clone(), self.options.clone(), place].concat()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Reading;
    use crate::hook::Hook;
    use crate::mount::Mount;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_runner_is_asked_for_the_place_as_the_container_has_it() {
        let hook = Hook {
            log: "shop/logs/a.txt".into(),
            destinations: vec!["shop".into(), "shop/more".into()],
            sub_path: "shop".into(),
            ..Hook::default()
        };
        let mount = Mount { claim: String::new(), path: "/volume".into(), sub_path: "shop".into() };
        let table = [
            ("", vec!["/p logs --no-pager /volume/logs/a.txt"]),
            ("-f --tail 5", vec!["/p logs --no-pager -f --tail 5 /volume/logs/a.txt"]),
            ("history -n 5", vec!["/p history -n 5 /volume/logs/a.txt"]),
            ("verify --json", vec!["/p verify --json /volume", "/p verify --json /volume/more"]),
            ("diff 1a 2b", vec!["/p diff 1a 2b --log /volume/logs/a.txt"]),
            ("report", vec!["/p report /volume/logs/a.txt"]),
        ];
        for (line, expected) in table {
            let found = Reading::of(&words(line)).expect(line).command_lines("/p", &hook, &mount);
            let found: Vec<String> = found.expect(line).iter().map(|words| words.join(" ")).collect();
            assert_eq!(found, expected, "{line}");
        }
        let elsewhere = Mount { sub_path: "other".into(), ..mount };
        assert_eq!(Reading::of(&[]).expect("logs").command_lines("/p", &hook, &elsewhere), None);
    }

    #[test]
    fn only_a_log_is_followed() {
        let table = [
            ("-f", true),
            ("logs --follow", true),
            ("-fn5", true),
            ("history -f", false),
            ("logs --failed", false),
        ];
        for (line, follows) in table {
            assert_eq!(Reading::of(&words(line)).expect(line).follows(), follows, "{line}");
        }
        assert!(Reading::of(&words("run --copy=/a:/b")).is_err());
    }
}
