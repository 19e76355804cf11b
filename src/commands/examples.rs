//! Texts of `--help` and the manual pages besides the options: examples, files, and variables that belong to no option.

/// What an example does, and its command line.
pub type Example = (&'static str, &'static str);

/// Examples of a command.
pub fn examples(command: &str) -> &'static [Example] {
    match command {
        "run" => &[
            (
                "Copy content onto the volume, wait for the page, edit it; preserve the log beside it",
                "hook-runner run --copy /app:/data --wait-for file:/data/index.html -- /config/post-install.sh",
            ),
            (
                "A migration with three tries of at most two minutes, below `helm --timeout 10m`",
                "hook-runner run --log /data/migrate.txt --timeout 9m --exec-timeout 2m --retries 2 -- ./migrate.sh",
            ),
            (
                "Keep what users changed, remove what the image dropped",
                "hook-runner run --copy /app:/data --policy keep-modified --prune owned -- ./post-upgrade.sh",
            ),
            (
                "The steps from a file; a secret's value in neither log",
                "hook-runner run --hook /config/hook.yaml --redact-env DB_PASSWORD",
            ),
        ],
        "copy" => &[
            ("As an initContainer: what the image has, onto the volume", "hook-runner copy /app /data"),
            ("What would change", "hook-runner copy /app /data --policy keep-modified --dry-run"),
        ],
        "sidecar" => &[(
            "Beside a hook whose image and command cannot be changed",
            "hook-runner sidecar --container hook --log /data/post-hook-output.txt",
        )],
        "install" => &[("As an initContainer, for a hook in any image", "hook-runner install /runner")],
        _ => examples_outside_of_pods(command),
    }
}

fn examples_outside_of_pods(command: &str) -> &'static [Example] {
    match command {
        "logs" => &[
            ("The last run", "hook-runner logs /data"),
            ("All failed attempts that are kept", "hook-runner logs /data --all --failed"),
            ("One run, by the beginning of its id", "hook-runner logs /data --run 7c2e"),
            ("Wait for a run, and exit with its status", "hook-runner logs /data --follow --exit-status"),
            (
                "A log that was copied off its volume",
                "kubectl exec POD -- cat /data/post-hook-output.txt | hook-runner logs -",
            ),
        ],
        "history" => &[("Each attempt, for a program", "hook-runner history /data --json")],
        "report" => &[
            ("To be opened in a browser, or mailed", "hook-runner report /data --output report.html"),
            (
                "What one release has seen this week",
                "hook-runner report /data --release vote --since 7d > vote.html",
            ),
        ],
        "diff" => &[
            ("What the last run changed", "hook-runner diff --log /data"),
            ("What the runs after one changed, up to another", "hook-runner diff 3f2a 77cc --log /data"),
        ],
        "verify" => &[("What is not as the last copy left it", "hook-runner verify /data")],
        "check" => &[
            ("Each hook file of a chart", "hook-runner check files/*.yaml"),
            (
                "One that a ConfigMap holds",
                "kubectl get configmap vote-hook -o jsonpath='{.data.hook\\.yaml}' | hook-runner check -",
            ),
        ],
        "schema" => &[("For an editor", "hook-runner schema > hook.schema.json")],
        "completions" => &[
            ("bash, for this shell", "source <(hook-runner completions bash)"),
            ("zsh, for good", "hook-runner completions zsh > \"${fpath[1]}/_hook-runner\""),
            ("fish, for good", "hook-runner completions fish > ~/.config/fish/completions/hook-runner.fish"),
        ],
        "man" => &[
            ("Read one", "hook-runner man run | man -l -"),
            ("Install all", "hook-runner man /usr/local/share/man/man1"),
        ],
        _ => &[],
    }
}

/// Files that a command reads or writes, and what they are.
pub fn files(command: &str) -> &'static [(&'static str, &'static str)] {
    const LOG: (&str, &str) = (
        "post-hook-output.txt",
        "The preserved log, where --log names no other; in the first copy's destination.",
    );
    const STATE: (&str, &str) = (
        ".hook-runner/",
        "The state directory, beside the log and in each destination: earlier logs, manifests, locks, the runner's own log.",
    );
    const TERMINATION: (&str, &str) =
        ("/dev/termination-log", "The summary as JSON, where the kubelet has made the file.");
    match command {
        "run" | "sidecar" => &[LOG, STATE, TERMINATION],
        "copy" => &[STATE, TERMINATION],
        "install" => &[TERMINATION],
        "logs" | "history" | "diff" | "report" => &[LOG, STATE],
        "verify" => &[STATE],
        _ => &[],
    }
}

/// Variables that belong to no option and are set by the charts, without `HOOK_RUNNER_`, and what they are.
pub const VARIABLES: [(&str, &str); 10] = [
    ("RELEASE", "the Helm release"),
    ("REVISION", "its revision"),
    ("CHART", "the chart and its version"),
    ("HOOK_EVENT", "the hook's event, such as post-upgrade"),
    ("JOB", "the Job's name"),
    ("POD", "the pod's name"),
    ("NAMESPACE", "the namespace"),
    ("NODE", "the node's name"),
    ("COMPLETIONS", "the completions of an Indexed Job, for --shard auto"),
    ("TERMINATION_GRACE_PERIOD", "the pod's terminationGracePeriodSeconds"),
];

/// The examples as text for `--help`.
pub fn help(command: &str) -> String {
    let examples = examples(command);
    if examples.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = examples.iter().map(|(what, line)| format!("  {what}:\n    {line}\n")).collect();
    format!("Examples:\n{}", lines.concat())
}

/// The variables as text for `--help`.
pub fn variables() -> String {
    let lines: Vec<String> =
        VARIABLES.iter().map(|(name, what)| format!("  HOOK_RUNNER_{name:<24} {what}\n")).collect();
    let options = "Each option has a variable, which the option overrides; an empty variable counts as unset.\n  \
        The variable of a repeatable option holds one value a line.";
    format!("Environment:\n  {options}\n  The charts set, besides:\n{}", lines.concat())
}
