//! What a hook cannot be, in one sentence each: what is wrong, where, why, and what to do. Status 78.

/// A hook that cannot be what was meant; the sentence says what to do.
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
        /// The environment variable.
        variable: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Shards that cannot know each other.
    #[error(
        "share {shard} of a copy needs the run id that all its shares have; give each of them the same one (--run-id, HOOK_RUNNER_RUN_ID), such as the Job's UID"
    )]
    ShardWithoutRun {
        /// The share.
        shard: crate::copy::Shard,
    },
    /// A path with nothing in it.
    #[error("the {what} of a copy is empty; give both, as in --copy /app:/data")]
    EmptyPath {
        /// Which side.
        what: &'static str,
    },
    /// A command whose first word is empty: a variable that is not set, most likely.
    #[error("the command's name is empty; is a variable in it not set?")]
    EmptyCommand,
    /// The pod's grace period in words that nobody understands.
    #[error(
        "HOOK_RUNNER_TERMINATION_GRACE_PERIOD is '{text}'; expected the pod's terminationGracePeriodSeconds, such as 30"
    )]
    PodGrace {
        /// As given.
        text: String,
    },
    /// `--annotate` without two pipes.
    #[error("--annotate needs --split-streams: one pipe for both streams does not tell them apart")]
    AnnotateWithoutSplit,
}
