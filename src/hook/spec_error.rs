//! What a hook cannot be, in one sentence each: what is wrong, where, why, and what to do. Status 78.

use std::path::PathBuf;

/// A hook that cannot be what was meant; the sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The hook file.
    #[error(transparent)]
    File(#[from] crate::hook::file::FileError),
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
    /// A run id that cannot name a file.
    #[error(
        "the run id '{id}' cannot name a file: expected 1 to 128 of A-Z a-z 0-9 . _ -, not starting with a dot; correct --run-id (HOOK_RUNNER_RUN_ID)"
    )]
    RunId {
        /// As given.
        id: String,
    },
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
    /// A path with nothing in it.
    #[error("the {what} of a copy is empty; give both, as in --copy /app:/data")]
    EmptyPath {
        /// Which side.
        what: &'static str,
    },
    /// A log that can be no file.
    #[error("the log '{}' names no file; give the path of one, as in --log /data/post-hook-output.txt, or --log none", path.display())]
    LogNamesNoFile {
        /// As given.
        path: PathBuf,
    },
    /// A limit that nothing can keep.
    #[error(
        "the {what} is 0, which is over before anything has begun; give a longer one, or leave it out for no limit"
    )]
    NoTime {
        /// Which limit.
        what: &'static str,
    },
    /// A command whose first word is empty: a variable that is not set, most likely.
    #[error("the command's name is empty; is a variable in it not set?")]
    EmptyCommand,
    /// A log that may hold nothing.
    #[error("--max-log is 0, which leaves the log nothing; give more, or leave it out for no limit")]
    NoRoom,
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
