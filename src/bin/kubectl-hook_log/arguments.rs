//! The command line. The plugin's options come before the reading command; everything after it is for the runner.

use std::path::PathBuf;

/// Read the preserved log of a release's hook, also after its Job is gone
#[derive(Debug, Default, clap::Parser)]
#[command(name = "hook-log", bin_name = "kubectl hook-log", version, args_override_self = true, max_term_width = 100, after_help = EXAMPLES)]
pub struct Arguments {
    /// The Helm release
    pub release: String,
    /// How to read it, with the options of that command: logs (the default), history, verify, diff, report
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub reading: Vec<String>,
    /// The release's namespace
    #[arg(long, short, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The context of the kubeconfig file
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// The kubeconfig file
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The user to act as
    #[arg(long = "as", value_name = "USER")]
    pub act_as: Option<String>,
    /// The group to act as (repeatable)
    #[arg(long = "as-group", value_name = "GROUP")]
    pub act_as_groups: Vec<String>,
    /// The hook's Job, where the release has several hooks that keep logs
    #[arg(long, value_name = "JOB")]
    pub hook: Option<String>,
    /// The claim that the log is on, instead of the one that the release names
    #[arg(long, value_name = "NAME")]
    pub claim: Option<String>,
    /// The log's path on the volume, instead of the one that the release names
    #[arg(long, value_name = "PATH")]
    pub log: Option<String>,
    /// The image that holds hook-runner, for the reader pod
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// How long the reader pod may take to start
    #[arg(long, value_name = "SECONDS", default_value_t = 90)]
    pub start_timeout: u64,
}

const EXAMPLES: &str = "\
Examples:
  kubectl hook-log vote                      the last run's log
  kubectl hook-log -n shop vote -f           follow it, through the Job's next attempt
  kubectl hook-log vote history --failed     which runs failed, and why
  kubectl hook-log vote report >report.html  everything in one page
  helm hook-log vote history --number 5      Helm takes every -n for its namespace: write options in full

The volume is read through a pod that mounts it and has hook-runner, else through a pod that is made for it and
deleted after. The exit status is the reading command's; 78: what was asked for is not there; 74: the cluster refused.";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Arguments;

    #[test]
    fn what_follows_the_reading_command_is_the_runners() {
        let table: [(&str, Option<&str>, &[&str]); 6] = [
            ("vote", None, &[]),
            ("-n shop vote", Some("shop"), &[]),
            ("vote -n shop", Some("shop"), &[]),
            ("vote -n shop -f", Some("shop"), &["-f"]),
            ("vote history -n 5", None, &["history", "-n", "5"]),
            ("--namespace=shop vote logs --claim x", Some("shop"), &["logs", "--claim", "x"]),
        ];
        for (line, namespace, reading) in table {
            let arguments = Arguments::try_parse_from(["x"].into_iter().chain(line.split(' '))).expect(line);
            assert_eq!(arguments.release, "vote", "{line}");
            assert_eq!(arguments.namespace.as_deref(), namespace, "{line}");
            assert_eq!(arguments.reading, reading, "{line}");
        }
    }
}
