//! What a reader of the README gets: the chart from a repository, the image that it names by digest, `helm test`; and a chart of
//! one's own, by copy and paste.

use super::gone;
use crate::cluster::{Case, Result, command, contains, ensure, until};

pub(super) fn show(case: &Case) -> Result<String> {
    let Ok(registry) = std::env::var("E2E_REGISTRY") else {
        return Ok(format!("{} nothing was published where this cluster can get it", crate::NOT_RUN));
    };
    case.volume("vote")?;
    let chart = format!("oci://{registry}/charts/vote");
    let image = format!("image={registry}/vote:1.0.0");
    case.helm_ok(&[
        "install",
        "vote",
        &chart,
        "--version",
        env!("CARGO_PKG_VERSION"),
        "--plain-http",
        "--set",
        &image,
        "--timeout",
        "5m",
    ])?;
    gone(case, "vote-post-task")?;
    let deployed =
        case.get(&["deployment", "vote"])["spec"]["template"]["spec"]["initContainers"][0]["image"]
            .to_string();
    contains("the runner's image", &deployed, &[&registry, "/hook-runner:", "@sha256:"])?;
    let log = case.kubectl_ok(&["exec", "deploy/vote", "-c", "vote", "--", "cat", "post-hook-output.txt"])?;
    contains("the preserved log", &log, &["http://vote:5000 answers 200", "succeeded"])?;

    case.helm_ok(&["test", "vote", "--timeout", "3m"])?;
    // A test that cannot fail shows nothing: without its Service the page is not there.
    case.kubectl_ok(&["delete", "service", "vote"])?;
    // The cluster's DNS and the node's rules know the Service for some seconds more.
    let fails = || (!case.helm(&["test", "vote", "--timeout", "3m"]).ok).then_some(());
    until("`helm test` fails without the page", 120, fails)?;
    own_chart(case, &registry)?;
    Ok("the README's chart of one's own, and `helm install oci://…` with nothing but the application's image: `deployed`, the runner by digest; `helm test` passes, and fails without the page".into())
}

/// The README's blocks as a reader pastes them, with the registry's name, and an image that the cluster has in place of a public one.
fn own_chart(case: &Case, registry: &str) -> Result<()> {
    let readme = include_str!("../../../../README.md");
    let after = readme.split_once("<!-- first-log -->").map_or("", |(_, after)| after);
    let blocks: Vec<&str> =
        after.split("```sh\n").skip(1).filter_map(|rest| Some(rest.split_once("\n```")?.0)).take(2).collect();
    let [chart, reading] = blocks[..] else { return Err("the README has no block first-log".into()) };
    let chart = chart
        .replace("REGISTRY=registry.example", &format!("REGISTRY={registry}"))
        .replace("busybox:1.37", &format!("{registry}/vote:1.0.0"));
    let helm = format!(
        "helm() {{ case $1 in dependency) set -- \"$@\" --plain-http ;; esac; '{}' --namespace {} \"$@\"; }}",
        case.place.bin.join(case.helm.program()).display(),
        case.namespace,
    );
    case.volume("demo-hook")?;
    let folder = std::path::PathBuf::from(case.chart(&format!("{}-own", case.namespace)));
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paste = |block: &str| {
        let script = format!("set -e\ncd '{}'\n{helm}\n{block}", folder.display());
        let path = format!("PATH={}:/usr/bin:/bin", case.place.bin.display());
        command(std::path::Path::new("/usr/bin/env"), &[&path, "sh", "-c", &script], None)
    };
    let installed = paste(&chart);
    ensure(installed.ok, || format!("the README's chart: {}", installed.text))?;
    gone(case, "demo-hook")?;
    contains(
        "what the notes' command shows",
        &paste(reading).text,
        &["the hook of demo, revision 1", "succeeded"],
    )
}
