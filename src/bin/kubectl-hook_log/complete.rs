//! Completion candidates: the releases, then the reading commands. For kubectl_complete-hook_log and Helm's
//! plugin.complete: one candidate per line, then a directive of cobra's.

use std::collections::BTreeSet;

use clap::CommandFactory;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::ListParams;

use crate::arguments::Arguments;
use crate::cluster::Cluster;
use crate::reading::COMMANDS;

/// No file names and no other candidates of the shell (cobra: `ShellCompDirectiveNoFileComp`).
const NO_FILES: &str = ":4";

/// The candidates for the last of `words`; none if the cluster cannot be asked.
pub async fn complete(words: &[String]) -> String {
    let before = &words[..words.len().saturating_sub(1)];
    let program = ["hook-log".to_owned()];
    let matches = Arguments::command().ignore_errors(true).get_matches_from(program.iter().chain(before));
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let candidates: Vec<String> = if text("release").is_none() {
        let arguments = Arguments {
            namespace: text("namespace"),
            context: text("context"),
            kubeconfig: matches.get_one("kubeconfig").cloned(),
            ..Arguments::default()
        };
        releases(&arguments).await
    } else if matches.get_many::<String>("reading").is_none() {
        COMMANDS.map(str::to_owned).to_vec()
    } else {
        Vec::new()
    };
    let now = words.last().map_or("", String::as_str);
    let mut lines: Vec<String> = candidates.into_iter().filter(|word| word.starts_with(now)).collect();
    lines.push(NO_FILES.to_owned());
    lines.join("\n")
}

async fn releases(arguments: &Arguments) -> Vec<String> {
    let Ok(cluster) = Cluster::connect(arguments).await else { return Vec::new() };
    let of_helm = ListParams::default().labels("owner=helm");
    let Ok(secrets) = cluster.api::<Secret>().list_metadata(&of_helm).await else { return Vec::new() };
    let names: BTreeSet<String> =
        secrets.items.iter().filter_map(|one| one.labels().get("name").cloned()).collect();
    names.into_iter().collect()
}
