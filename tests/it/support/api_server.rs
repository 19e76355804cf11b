//! An API server as far as the sidecar talks to one: a pod and the log of one container, over TLS, with a token.
//!
//! It answers in the API's wire format and as the kubelet does: lines with their times, `sinceTime` compared
//! line by line and in whole seconds, `follow` until the container ends, a rotated file gone for new requests. What
//! goes wrong is set by the test.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use hook_runner::internals::{Access, Follow, Pace};
use tempfile::TempDir;

use crate::support::server::{Authority, Request, Server, Wire, answer};

/// What the cluster knows.
pub(crate) struct Cluster {
    /// Lines of the current file: seconds, nanoseconds, text. A text without a line break at its end is one
    /// that the container has not finished.
    pub(crate) lines: Vec<(u64, u32, String)>,
    /// How many lines went with rotated files.
    rotated: usize,
    /// Which start of the container it is.
    pub(crate) id: &'static str,
    pub(crate) restart_policy: &'static str,
    /// Set when the container has ended.
    pub(crate) exit_code: Option<i32>,
    pub(crate) started: bool,
    pub(crate) containers: Vec<&'static str>,
    /// What the next requests are answered with instead: status and message, for requests whose target holds the
    /// text.
    pub(crate) refusals: Vec<(&'static str, u16, &'static str)>,
    /// After how many bytes of log each of the next connections breaks.
    pub(crate) breaks: Vec<usize>,
    /// A connection whose turn in `breaks` has come does not break but goes silent.
    pub(crate) silent: bool,
    /// The token that is accepted.
    pub(crate) token: String,
    /// Sent in place of the log, as the kubelet does when it cannot read the file.
    pub(crate) in_place_of_log: Option<&'static str>,
    /// When the container started, RFC 3339.
    pub(crate) started_at: String,
    pub(crate) finished_at: String,
    /// Why the container waits or ended, in place of what its state says: reason and message.
    pub(crate) reason: Option<(&'static str, &'static str)>,
    over: bool,
}

pub(crate) struct ApiServer {
    pub(crate) server: Server,
    cluster: Arc<(Mutex<Cluster>, Condvar)>,
    pub(crate) account: TempDir,
}

impl Cluster {
    /// The first `lines` of what the current file holds are in an older one now.
    pub(crate) fn rotate(&mut self, lines: usize) {
        self.lines.drain(..lines);
        self.rotated += lines;
    }
}

impl ApiServer {
    pub(crate) fn start() -> Self {
        let account = tempfile::tempdir().expect("a directory");
        let authority = Authority::new();
        authority.file_in(&account);
        std::fs::write(account.path().join("namespace"), "apps\n").expect("write the namespace");
        let cluster = Cluster {
            lines: Vec::new(),
            rotated: 0,
            id: "containerd://first",
            restart_policy: "Never",
            exit_code: None,
            started: true,
            containers: vec!["app", "log-keeper"],
            refusals: Vec::new(),
            breaks: Vec::new(),
            silent: false,
            token: "first".into(),
            in_place_of_log: None,
            started_at: "2026-11-22T20:12:38Z".into(),
            finished_at: "2026-11-23T00:01:00Z".into(),
            reason: None,
            over: false,
        };
        let cluster = Arc::new((Mutex::new(cluster), Condvar::new()));
        let shared = Arc::clone(&cluster);
        let server = Server::https(authority.server(&["127.0.0.1"]), move |request, wire| {
            respond(request, wire, &shared.0, &shared.1);
        });
        let api = Self { server, cluster, account };
        api.write_token("first");
        api
    }

    pub(crate) fn write_token(&self, token: &str) {
        std::fs::write(self.account.path().join("token"), token).expect("write the token");
    }

    pub(crate) fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.0.lock().expect("no test thread panicked with the lock")
    }

    /// Changes what the cluster knows and wakes those who follow.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Cluster)) {
        change(&mut self.cluster());
        self.cluster.1.notify_all();
    }

    pub(crate) fn print(&self, seconds: u64, nanos: u32, text: &str) {
        self.change(|cluster| cluster.lines.push((seconds, nanos, text.into())));
    }

    pub(crate) fn exit(&self, code: i32) {
        self.change(|cluster| cluster.exit_code = Some(code));
    }

    /// Follows the container `app` at the pace of a test.
    pub(crate) fn follow(&self) -> Follow {
        Follow { container: "app".into(), access: self.access(), pace: pace() }
    }

    fn access(&self) -> Access {
        Access {
            server: self.server.address().to_string().parse().expect("an endpoint"),
            service_account: self.account.path().into(),
            ca_file: None,
            namespace: "apps".into(),
            pod: "hook-x7f2p".into(),
        }
    }

    pub(crate) fn log_requests(&self) -> usize {
        self.server.requests().iter().filter(|request| request.path().ends_with("/log")).count()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.change(|cluster| cluster.over = true);
    }
}

/// Quick, so that a test takes no longer than it must.
fn pace() -> Pace {
    Pace {
        poll: Duration::from_millis(10),
        longest: Duration::from_millis(100),
        check: Duration::from_millis(100),
        reopen: Duration::from_millis(500),
        settle: Duration::from_secs(2),
        last: Duration::from_secs(3),
    }
}

fn respond(request: &Request, wire: Wire<'_>, cluster: &Mutex<Cluster>, changed: &Condvar) {
    let mut state = cluster.lock().expect("the lock");
    if request.header("authorization") != Some(&format!("Bearer {}", state.token)) {
        return refuse(wire, 401, "Unauthorized");
    }
    if let Some(at) = state.refusals.iter().position(|(part, ..)| request.target.contains(part)) {
        let (_, status, message) = state.refusals.remove(at);
        return refuse(wire, status, message);
    }
    match request.path() {
        "/api/v1/namespaces/apps/pods/hook-x7f2p" => {
            let pod = pod(&state);
            drop(state);
            answer(wire, 200, &pod);
        }
        "/api/v1/namespaces/apps/pods/hook-x7f2p/log" => {
            drop(state);
            log(request, wire, cluster, changed);
        }
        "/api/v1/namespaces/apps/events" if request.method == "POST" => {
            answer(wire, 201, &request.body);
        }
        path => refuse(wire, 404, &format!("no such path {path}")),
    }
}

fn refuse(wire: Wire<'_>, status: u16, message: &str) {
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": "Test", "code": status,
    });
    answer(wire, status, &body.to_string());
}

fn pod(cluster: &Cluster) -> String {
    let id = cluster.id;
    let state = match (cluster.started, cluster.exit_code) {
        (false, _) => serde_json::json!({"waiting": {
            "reason": cluster.reason.map_or("ContainerCreating", |why| why.0),
            "message": cluster.reason.map_or("", |why| why.1),
        }}),
        (true, None) => serde_json::json!({"running": {"startedAt": cluster.started_at}}),
        (true, Some(code)) => serde_json::json!({"terminated": {
            "exitCode": code, "reason": match (cluster.reason, code) {
                (Some(why), _) => why.0,
                (None, 0) => "Completed",
                (None, _) => "Error",
            },
            "message": cluster.reason.map_or("", |why| why.1),
            "startedAt": cluster.started_at, "finishedAt": cluster.finished_at, "containerID": id,
        }}),
    };
    let containers: Vec<_> =
        cluster.containers.iter().map(|name| serde_json::json!({"name": name, "image": "x"})).collect();
    serde_json::json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": "hook-x7f2p", "namespace": "apps", "uid": "u"},
        "spec": {"restartPolicy": cluster.restart_policy, "containers": containers},
        "status": {"phase": "Running", "containerStatuses": [
            {"name": "log-keeper", "restartCount": 0, "state": {"running": {}}, "lastState": {}},
            {"name": "app", "restartCount": 0, "containerID": if cluster.started { id } else { "" },
             "state": state, "lastState": {}, "ready": false, "image": "x", "imageID": ""},
        ]},
    })
    .to_string()
}

/// Serves the log from `sinceTime` on; with `follow`, what is added until the container ends.
fn log(request: &Request, wire: Wire<'_>, cluster: &Mutex<Cluster>, changed: &Condvar) {
    assert_eq!(request.query("container").as_deref(), Some("app"));
    assert_eq!(request.query("timestamps").as_deref(), Some("true"));
    let follow = request.query("follow").as_deref() == Some("true");
    // Whole seconds are all that reaches the kubelet.
    let since = request.query("sinceTime").map_or(0, |text| seconds(&text));
    let mut state = cluster.lock().expect("the lock");
    if !state.started {
        return refuse(
            wire,
            400,
            "container \"app\" in pod \"hook-x7f2p\" is waiting to start: ContainerCreating",
        );
    }
    let _ = write!(wire, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n");
    if let Some(text) = state.in_place_of_log {
        let _ = write!(wire, "{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
        return;
    }
    let mut left = if state.breaks.is_empty() { usize::MAX } else { state.breaks.remove(0) };
    let (mut sent, mut sent_of_last) = (state.rotated, 0);
    loop {
        // Whoever follows while the file is rotated goes on with the new one; what it has not had is gone.
        sent = sent.max(state.rotated);
        while let Some((at, nanos, text)) = state.lines.get(sent - state.rotated) {
            let line = format!("{} {text}", time(*at, *nanos));
            let finished = text.ends_with('\n');
            let fresh = &line.as_bytes()[sent_of_last..];
            if *at >= since && !fresh.is_empty() {
                let fresh = &fresh[..fresh.len().min(left)];
                left -= fresh.len();
                let sized = write!(wire, "{:x}\r\n", fresh.len());
                if sized.and_then(|()| wire.write_all(fresh)).and_then(|()| wire.write_all(b"\r\n")).is_err()
                {
                    return;
                }
                let _ = wire.flush();
                if left == 0 {
                    // Broken in the middle: no last chunk. Or silent, until everything is over.
                    while state.silent && !state.over {
                        state = changed.wait(state).expect("the lock");
                    }
                    return;
                }
            }
            if !finished {
                sent_of_last = line.len();
                break;
            }
            (sent, sent_of_last) = (sent + 1, 0);
        }
        if !follow || state.exit_code.is_some() || state.over {
            let _ = wire.write_all(b"0\r\n\r\n");
            let _ = wire.flush();
            return;
        }
        state = changed.wait(state).expect("the lock");
    }
}

fn time(seconds: u64, nanos: u32) -> String {
    let time = std::time::UNIX_EPOCH + Duration::new(seconds, nanos);
    humantime::format_rfc3339_nanos(time).to_string()
}

fn seconds(text: &str) -> u64 {
    let time = humantime::parse_rfc3339(text).expect("RFC 3339");
    time.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
}
