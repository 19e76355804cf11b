//! `kubectl hook-log` and `helm hook-log`: the log read from outside, whatever the release and the application are doing,
//! and nothing left behind.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::{gone, script, vote};
use crate::cluster::{Case, Result, contains, ensure, until};
use crate::manifest::{claim, pod};

const READERS: &str = "app.kubernetes.io/managed-by=kubectl-hook-log";
const RUNNER: &str = "localhost/hook-runner:0.1.0";

pub(super) fn show(case: &Case) -> Result<String> {
    after_a_success(case)?;
    as_somebody_without_rights(case)?;
    whatever_the_application_does(case)?;
    after_a_failed_upgrade(case)?;
    stopped_and_killed(case)?;
    through_the_only_pod_that_may(case)?;
    Ok("log, history and verify by kubectl and Helm after a success and a failure, with the application running, crashing and gone; `-f` through a retry; missing rights named; no pod left after Ctrl-C".into())
}

/// Starts `kubectl hook-log` or `helm hook-log` with the programs of the suite.
fn command(case: &Case, program: &str, arguments: &[&str]) -> Command {
    let plugin = case.place.charts.with_file_name("plugin");
    let mut command = Command::new(case.place.bin.join(program));
    let path = format!("{}:{}:/usr/bin:/bin", plugin.join("kubectl").display(), case.place.bin.display());
    command.env("PATH", path).env("HELM_PLUGINS", plugin.join(case.helm.program()));
    command.args(["hook-log", "--namespace", &case.namespace]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end, which must have this status: stdout, then stderr.
fn ask(case: &Case, program: &str, arguments: &[&str], status: i32) -> Result<String> {
    let said = |output: &Output| {
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let line = format!("{program} hook-log {}", arguments.join(" "));
    let output = command(case, program, arguments).output().map_err(|error| format!("{line}: {error}"))?;
    ensure(output.status.code() == Some(status), || {
        format!("{line} ended with {}, not with {status}: {}", output.status, said(&output))
    })?;
    Ok(said(&output))
}

fn readers(case: &Case) -> Vec<Value> {
    case.list(&["pods", "-l", READERS])
}

fn none_left(case: &Case) -> Result<()> {
    until("the reader pods gone", 30, || readers(case).is_empty().then_some(()))
}

/// The Job is deleted, the application runs, and its container has no runner.
fn after_a_success(case: &Case) -> Result<()> {
    case.volume("vote")?;
    let values = case.values("plugin", &vote("localhost/vote:1.0.0", &json!({})))?;
    case.helm_ok(&["install", "vote", &case.chart("vote"), "-f", &values, "--timeout", "5m"])?;
    gone(case, "vote-post-task")?;
    for program in ["kubectl", case.helm.program()] {
        let log = ask(case, program, &["vote"], 0)?;
        contains("the log", &log, &["post-install: http://vote:5000 answers 200", "succeeded"])?;
        none_left(case)?;
    }
    let history = ask(case, case.helm.program(), &["vote", "history", "-n5", "--json"], 0)?;
    contains("the history", &history, &["\"result\":\"succeeded\""])?;
    let log = ask(case, "kubectl", &["vote"], 0)?;
    let own = case.ask_runner("vote", &["logs"]).text;
    ensure(log == own, || format!("the log from outside is not the log on the volume:\n{log}\n---\n{own}"))?;
    on_a_terminal(case)?;
    contains("verify", &ask(case, "kubectl", &["vote", "verify"], 0)?, &["0 modified", "0 missing"])?;
    // Two calls at once do not disturb each other.
    let mut first =
        command(case, "kubectl", &["vote", "history"]).spawn().map_err(|error| error.to_string())?;
    ask(case, "kubectl", &["vote", "history"], 0)?;
    ensure(first.wait().is_ok_and(|status| status.success()), || "one of two calls at once failed".into())?;
    none_left(case)?;
    // What is not there, and what cannot be had.
    contains("no release", &ask(case, "kubectl", &["nope"], 78)?, &["the release nope has no hook"])?;
    contains(
        "no claim",
        &ask(case, "kubectl", &["--claim", "x", "vote"], 78)?,
        &["the claim x is not there"],
    )?;
    let image = ask(case, "kubectl", &["--image", "no.invalid/x:1", "vote"], 74)?;
    contains("an image that cannot be had", &image, &["cannot get the image no.invalid/x:1", "--image"])?;
    none_left(case)
}

/// The table has the terminal's width: on one of 72 columns there is no place for the pod.
fn on_a_terminal(case: &Case) -> Result<()> {
    let pod = "vote-post-task-";
    contains("the whole table", &ask(case, "kubectl", &["vote", "history"], 0)?, &[pod])?;
    let mut script = Command::new("/usr/bin/script");
    for (name, value) in command(case, "kubectl", &[]).get_envs() {
        script.env(name, value.unwrap_or_default());
    }
    let line = format!("stty cols 72 rows 24; kubectl hook-log --namespace {} vote history", case.namespace);
    let output = script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.map_err(|error| format!("script: {error}"))?;
    contains("the table on a terminal", &text, &["1 run, 1 attempt"])?;
    ensure(!text.contains(pod), || format!("the table is wider than the terminal: {text}"))
}

/// Rights are given one after the other; each that is missing is named.
fn as_somebody_without_rights(case: &Case) -> Result<()> {
    let joe = ["--as", "joe", "vote", "history"];
    let rights = [
        ("list secrets", "get,list", "secrets", "--claim NAME"),
        ("list pods", "get,list", "pods", ""),
        ("create pods", "create", "pods", "no running container has both the volume and hook-runner"),
        ("create pods/exec", "get,create", "pods/exec", ""),
    ];
    for (missing, verbs, resource, hint) in rights {
        let said = ask(case, "kubectl", &joe, 74)?;
        contains("the sentence", &said, &[&format!("you may not {missing}"), hint])?;
        let name = missing.replace([' ', '/'], "-");
        case.kubectl_ok(&[
            "create",
            "role",
            &name,
            &format!("--verb={verbs}"),
            &format!("--resource={resource}"),
        ])?;
        case.kubectl_ok(&["create", "rolebinding", &name, &format!("--role={name}"), "--user=joe"])?;
    }
    // Whoever may not delete pods is told so, and reads all the same.
    contains(
        "without delete",
        &ask(case, "kubectl", &joe, 0)?,
        &["1 run, 1 attempt", "you may not delete pods"],
    )?;
    case.kubectl(&["delete", "pods", "-l", READERS, "--force", "--grace-period=0"]);
    Ok(())
}

fn whatever_the_application_does(case: &Case) -> Result<()> {
    let crash = json!([{"op": "add", "path": "/spec/template/spec/containers/0/command", "value": ["sh", "-c", "exit 3"]}]);
    case.kubectl_ok(&["scale", "deployment/vote", "--replicas=0"])?;
    case.kubectl_ok(&["patch", "deployment", "vote", "--type=json", "-p", &crash.to_string()])?;
    case.kubectl_ok(&["scale", "deployment/vote", "--replicas=1"])?;
    until("the application crashing", 60, || {
        let pods = case.list(&["pods", "-l", "app.kubernetes.io/name=vote"]);
        pods.iter()
            .any(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_u64() > Some(0))
            .then_some(())
    })?;
    contains("beside a crash", &ask(case, "kubectl", &["vote", "history"], 0)?, &["1 run, 1 attempt"])?;
    case.kubectl_ok(&["delete", "deployment", "vote", "--wait"])?;
    contains("without it", &ask(case, "kubectl", &["vote", "history"], 0)?, &["1 run, 1 attempt"])?;
    none_left(case)
}

/// The application's image has the runner, so no pod is made; the follower sees both attempts and ends as the hook.
fn after_a_failed_upgrade(case: &Case) -> Result<()> {
    let mut hook = script("for i in 1 2 3; do echo line $i; sleep 1; done; echo broken >&2; exit 5");
    hook["retries"] = json!(1);
    hook["wait"] = json!([]);
    let values = case.values("failing", &vote("localhost/vote-with-runner:1.0.0", &hook))?;
    let chart = case.chart("vote");
    std::thread::scope(|scope| {
        let upgrade =
            scope.spawn(|| case.helm(&["upgrade", "vote", &chart, "-f", &values, "--timeout", "5m"]));
        until("the hook's pod", 60, || (!case.pods_of("vote-post-task").is_empty()).then_some(()))?;
        until("the hook's first line", 120, || {
            ask(case, "kubectl", &["vote", "logs"], 0).is_ok_and(|log| log.contains("line 1")).then_some(())
        })?;
        let followed = ask(case, "kubectl", &["vote", "-f", "--exit-status"], 5)?;
        contains("what -f shows", &followed, &["attempt 1 of run", "attempt 2 of run", "broken"])?;
        let ended = upgrade.join().map_err(|_| "helm's thread panicked".to_owned())?;
        ensure(!ended.ok, || format!("helm says nothing of the failure: {}", ended.text))
    })?;
    let history = ask(case, case.helm.program(), &["vote", "history", "--failed"], 0)?;
    contains("the history", &history, &["command (5)", "2 attempts", "exited with 5"])?;
    none_left(case)?;
    // Through the application's own container: this user may make no pod.
    case.kubectl_ok(&["delete", "rolebinding", "create-pods"])?;
    until("the application running", 60, || {
        ask(case, "kubectl", &["--as", "joe", "vote", "history", "--failed"], 0).ok()
    })
    .map(drop)
}

fn stopped_and_killed(case: &Case) -> Result<()> {
    for (signal, status) in [("INT", Some(130)), ("TERM", Some(143)), ("KILL", None)] {
        let follow = ["vote", "-f", "--forever"];
        let mut child = command(case, "kubectl", &follow)
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        until("the reader running", 60, || {
            readers(case).iter().any(|pod| pod["status"]["phase"] == "Running").then_some(())
        })?;
        // It reads by now, or is about to; both must end without a trace.
        std::thread::sleep(Duration::from_millis(500));
        // kubectl has become the plugin: exec(2) in k8s.io/kubectl pkg/cmd/plugin.go.
        let kill = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
        ensure(kill.is_ok_and(|status| status.success()), || format!("SIG{signal} could not be sent"))?;
        let ended = child.wait().map_err(|error| error.to_string())?;
        if let Some(status) = status {
            ensure(ended.code() == Some(status), || format!("SIG{signal}: {ended}"))?;
            none_left(case)?;
        } else {
            until("the reader ended by itself", 60, || {
                readers(case).iter().all(|pod| pod["status"]["phase"] == "Failed").then_some(())
            })?;
        }
    }
    // The next call that has a reader removes what the killed one left.
    ask(case, "kubectl", &["vote", "-f"], 0)?;
    none_left(case)
}

/// `ReadWriteOncePod`: the volume is read in the pod that has it.
fn through_the_only_pod_that_may(case: &Case) -> Result<()> {
    let (Some(from), Some(to)) = (case.volume_folder("vote"), case.volume_folder("one")) else {
        return Ok(());
    };
    case.volume_with("one", &["ReadWriteOncePod"])?;
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status();
    ensure(copied.is_ok_and(|status| status.success()), || "the volume could not be copied".into())?;
    let mut only = claim("one");
    only["spec"]["accessModes"] = json!(["ReadWriteOncePod"]);
    case.apply(&only)?;
    let spec = pod("localhost/vote:1.0.0", &["sleep", "3600"], "one");
    case.apply(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "only"}, "spec": spec}))?;
    case.kubectl_ok(&["wait", "--for=condition=Ready", "pod/only", "--timeout=60s"])?;
    let history = ["--claim", "one", "--log", "post-hook-output.txt", "--image", RUNNER, "vote", "history"];
    contains(
        "through the only pod",
        &ask(case, "kubectl", &history, 0)?,
        &["2 runs, 3 attempts", "pod only"],
    )?;
    until("the container in it ended", 30, || {
        let pod = case.get(&["pod", "only"]);
        pod["status"]["ephemeralContainerStatuses"][0]["state"]["terminated"].is_object().then_some(())
    })
}
