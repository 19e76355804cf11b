//! What a reader of the README gets: the chart from a repository, the image that it names by digest, `helm test`.

use super::gone;
use crate::cluster::{Case, Result, contains, until};

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
    Ok("`helm install oci://…` with nothing but the application's image: `deployed`, the runner by digest; `helm test` passes, and fails without the page".into())
}
