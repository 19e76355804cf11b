//! Why a hook is refused with 78. Each message says what is wrong, where, why, and what to do.

#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Nothing to do.
    #[error(
        "the hook has no steps; give --copy SRC:DST, --wait-for COND, -- COMMAND, or steps in the file of --hook"
    )]
    NoSteps,
    /// No place for the log.
    #[error(
        "there is no place for the preserved log: the hook has no copy; give --log FILE, or --log none to run without one"
    )]
    NoLog,
    /// `--shard auto` outside an Indexed Job.
    #[error(
        "--shard auto: {variable} {problem}; use it in a Job with completionMode: Indexed, and set HOOK_RUNNER_COMPLETIONS to its completions"
    )]
    Shard {
        variable: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Shards without a common run id.
    #[error(
        "share {shard} of a copy needs the run id that all its shares have; give each of them the same one (--run-id, HOOK_RUNNER_RUN_ID), such as the Job's UID"
    )]
    ShardWithoutRun {
        /// The share.
        shard: crate::copy::Shard,
    },
    /// An empty path.
    #[error("the {what} of a copy is empty; give both, as in --copy /app:/data")]
    EmptyPath {
        /// Which side.
        what: &'static str,
    },
    /// A command with an empty first word, probably an unset variable.
    #[error("the command's name is empty; is a variable in it not set?")]
    EmptyCommand,
    /// The pod's grace period is neither a number nor a duration.
    #[error(
        "HOOK_RUNNER_TERMINATION_GRACE_PERIOD is '{text}'; expected the pod's terminationGracePeriodSeconds, such as 30"
    )]
    PodGrace { text: String },
    /// A wait with `auth-file` and `auth-env`.
    #[error("a wait has both auth-file and auth-env; keep one of them")]
    TwoCredentials,
    /// `--annotate` without `--split-streams`.
    #[error(
        "--annotate needs --split-streams: with one pipe for both streams, lines of stderr cannot be told apart"
    )]
    AnnotateWithoutSplit,
}
