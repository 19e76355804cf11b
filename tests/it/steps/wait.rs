//! Each condition met, not met, and cancelled, against real files, sockets and servers.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hook_runner::internals::Observed;
use hook_runner::internals::Roots;
use hook_runner::internals::Wait;
use hook_runner::internals::{Met, NotMet, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;

use crate::support::harness::{PROGRAM, Test, eventually};
use crate::support::needs::unshare;
use crate::support::server::{Authority, Request, Server, Wire, answer, answer_with};

/// Long enough that a test which reaches it has failed.
const GENEROUS: Duration = Duration::from_secs(30);
/// The time given to a wait that is to fail.
const SHORT: Duration = Duration::from_secs(1);

fn wait(condition: &str, timeout: Duration) -> Wait {
    let mut wait = Wait::new(condition.parse().unwrap_or_else(|error| panic!("{condition}: {error}")));
    wait.timeout = Some(timeout);
    wait.interval = Duration::from_millis(50);
    wait.roots = Roots::Bundled;
    wait
}

async fn run(wait: &Wait) -> Result<Met, NotMet> {
    until(wait, &CancellationToken::new(), &Observed::default()).await
}

/// The message and the advice of a wait that must fail.
async fn failure(wait: &Wait) -> (String, String) {
    let error = run(wait).await.expect_err("the condition cannot be met");
    (error.to_string(), error.advice())
}

#[track_caller]
fn holds(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is not in {text:?}");
}

#[tokio::test]
async fn a_file_that_is_there_is_found_at_the_first_probe() {
    let dir = tempfile::tempdir().expect("a directory");
    let met = run(&wait(&format!("file:{}", dir.path().display()), GENEROUS)).await.expect("met");
    assert_eq!((met.probes, met.observation.as_str()), (1, "it exists"));
}

#[tokio::test]
async fn a_file_that_comes_later_is_waited_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ready");
    let wait = wait(&format!("file:{}", path.display()), GENEROUS);
    let writer = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        std::fs::write(&path, "").expect("write");
    };
    let (met, ()) = tokio::join!(run(&wait), writer);
    assert!(met.expect("met").probes > 1);
}

#[tokio::test]
async fn a_file_that_never_comes_is_named_with_the_first_directory_that_is_missing() {
    let dir = tempfile::tempdir().expect("a directory");
    let missing = dir.path().join("templates/deep/index.html");
    let (message, advice) = failure(&wait(&format!("file:{}", missing.display()), SHORT)).await;
    holds(&message, &format!("file:{} was not met within 1s", missing.display()));
    holds(&message, "does not exist");
    holds(&advice, &format!("{} does not exist either", dir.path().join("templates").display()));
}

#[tokio::test]
async fn a_link_to_nothing_does_not_count_and_the_message_says_where_it_points() {
    let dir = tempfile::tempdir().expect("a directory");
    symlink("/nowhere/at/all", dir.path().join("link")).expect("a link");
    let (message, _) = failure(&wait(&format!("file:{}/link", dir.path().display()), SHORT)).await;
    holds(&message, "is a symbolic link to /nowhere/at/all, which does not exist");
}

#[tokio::test]
async fn a_link_to_a_file_counts() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("real"), "").expect("write");
    symlink("real", dir.path().join("link")).expect("a link");
    run(&wait(&format!("file:{}/link", dir.path().display()), GENEROUS)).await.expect("met");
}

#[tokio::test]
async fn a_path_through_a_file_is_told_as_the_system_says_it() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("file"), "").expect("write");
    let (message, _) = failure(&wait(&format!("file:{}/file/below", dir.path().display()), SHORT)).await;
    holds(&message, "Not a directory");
}

#[tokio::test]
async fn a_port_that_takes_connections_is_met() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(bind).expect("listen on loopback");
        let address = listener.local_addr().expect("an address");
        let met = run(&wait(&format!("tcp:{address}"), GENEROUS)).await.expect("met");
        holds(&met.observation, &address.to_string());
    }
}

/// A name of both kinds of addresses, in a file of names that only this test sees.
#[test]
fn a_name_with_several_addresses_is_met_by_any_of_them() {
    crate::needs!(MountNamespace);
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(bind).expect("listen on loopback");
        let port = listener.local_addr().expect("an address").port();
        let test = Test::new().file("hosts", "::1 twofold\n127.0.0.1 twofold\n");
        let hosts = test.command().get_current_dir().expect("set").join("hosts");
        let mut command = unshare();
        command.args([
            "--mount",
            "sh",
            "-c",
            "mount --bind \"$HOSTS\" /etc/hosts && exec \"$@\"",
            "sh",
            PROGRAM,
        ]);
        command.args(["run", "--log", "none", "--wait-timeout", "20s"]);
        command.args(["--wait-for", &format!("tcp:twofold:{port}")]).env("HOSTS", hosts);
        let output = command.output().expect("unshare");
        assert!(output.status.success(), "{bind}: {output:?}");
    }
}

/// A port of loopback on which nothing listens: a socket that is bound and does not listen answers a SYN
/// with RST, and as long as it is held nobody else gets the port.
fn closed_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("bind");
    let port = socket.local_addr().expect("its address").port();
    (socket, port)
}

#[tokio::test]
async fn a_closed_port_is_told_as_refused() {
    let (_held, port) = closed_port();
    for condition in [format!("tcp:127.0.0.1:{port}"), format!("http://127.0.0.1:{port}/")] {
        let (message, advice) = failure(&wait(&condition, SHORT)).await;
        holds(&message, &format!("127.0.0.1:{port}: Connection refused"));
        holds(&advice, "no ready pod");
    }
}

#[tokio::test]
async fn a_name_that_has_no_address_is_told_as_such() {
    // A label of more than 63 bytes (RFC 1035, section 2.3.4) is refused without asking any server.
    let name = "x".repeat(64);
    let (message, advice) = failure(&wait(&format!("http://{name}/"), SHORT)).await;
    holds(&message, "cannot be resolved");
    holds(&advice, "NAME.NAMESPACE.svc");
}

#[tokio::test]
async fn an_answer_with_an_accepted_status_meets_the_condition() {
    let server = Server::http(|_, wire| answer(wire, 200, "hello"));
    let met = run(&wait(&server.url("/ready?deep=1"), GENEROUS)).await.expect("met");
    assert_eq!((met.probes, met.observation.as_str()), (1, "answered 200"));
    let requests = server.requests();
    assert_eq!(requests[0].target, "/ready?deep=1");
    assert_eq!(requests[0].header("host"), Some(server.address().to_string().as_str()));
    holds(requests[0].header("user-agent").expect("a user agent"), "hook-runner/");
}

#[tokio::test]
async fn http_works_over_ipv6() {
    let server = Server::start("[::1]:0", None, |_, wire| answer(wire, 204, ""));
    run(&wait(&server.url("/"), GENEROUS)).await.expect("met");
    assert_eq!(server.requests()[0].header("host"), Some(format!("[::1]:{}", server.port()).as_str()));
}

/// Answers 503 `times` times, then 200.
fn after(times: usize) -> impl Fn(&Request, Wire<'_>) + Send + Sync + 'static {
    let asked = AtomicUsize::new(0);
    move |_, wire| {
        let status = if asked.fetch_add(1, Ordering::SeqCst) < times { 503 } else { 200 };
        answer(wire, status, "");
    }
}

#[tokio::test]
async fn a_server_that_is_not_ready_is_asked_again() {
    let server = Server::http(after(3));
    let met = run(&wait(&server.url("/"), GENEROUS)).await.expect("met");
    assert_eq!(met.probes, 4);
}

#[tokio::test]
async fn a_wait_of_many_probes_keeps_its_pace() {
    let server = Server::http(after(300));
    let mut wait = wait(&server.url("/"), GENEROUS);
    wait.interval = Duration::from_millis(1);
    assert_eq!(run(&wait).await.expect("met").probes, 301);
}

#[tokio::test]
async fn a_server_that_never_gets_ready_is_told_with_its_last_status() {
    let server = Server::http(|_, wire| answer(wire, 503, ""));
    let (message, advice) = failure(&wait(&server.url("/"), SHORT)).await;
    holds(&message, "was not met within 1s: answered 503, wanted 200-399");
    holds(&advice, "application's log");
    assert!(server.requests().len() > 2, "it was asked more than twice");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let server = Server::http(|_, wire| answer_with(wire, 302, &[("Location", "http://other/login")], ""));
    let met = run(&wait(&server.url("/"), GENEROUS)).await.expect("met");
    assert_eq!(met.observation, "answered 302");

    let mut exact = wait(&server.url("/"), SHORT);
    exact.status = "200".parse().expect("a status");
    let (message, advice) = failure(&exact).await;
    holds(&message, "answered 302, wanted 200 (redirects to http://other/login)");
    holds(&advice, "redirects are not followed: wait for http://other/login");
    assert!(server.requests().iter().all(|request| request.target == "/"));
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_given_up() {
    let server = Server::http(|_, _| std::thread::sleep(GENEROUS));
    let (message, advice) = failure(&wait(&server.url("/"), SHORT)).await;
    holds(&message, "the connection was accepted, but there was no answer within");
    holds(&advice, "does not serve");
}

#[tokio::test]
async fn a_probe_that_hangs_is_given_up_and_made_again() {
    let asked = AtomicUsize::new(0);
    let server = Server::http(move |_, wire| {
        if asked.fetch_add(1, Ordering::SeqCst) == 0 {
            std::thread::sleep(GENEROUS);
        }
        answer(wire, 200, "");
    });
    let mut wait = wait(&server.url("/"), GENEROUS);
    wait.probe_timeout = Duration::from_millis(100);
    // Two; on a busy machine the second may be late too.
    assert!(run(&wait).await.expect("met").probes >= 2);
}

#[tokio::test]
async fn a_probe_cut_short_by_the_end_does_not_hide_what_the_one_before_saw() {
    let asked = AtomicUsize::new(0);
    let server = Server::http(move |_, wire| {
        if asked.fetch_add(1, Ordering::SeqCst) > 0 {
            std::thread::sleep(GENEROUS);
        }
        answer(wire, 500, "");
    });
    let (message, _) = failure(&wait(&server.url("/"), SHORT)).await;
    holds(&message, "answered 500");
}

#[tokio::test]
async fn a_server_that_closes_or_speaks_something_else_is_told_so() {
    let closing = Server::http(|_, _| ());
    holds(&failure(&wait(&closing.url("/"), SHORT)).await.0, "closed before the answer was complete");

    let mail = Server::http(|_, wire| {
        let _ = wire.write_all(b"220 mail.example ESMTP\r\n");
    });
    holds(&failure(&wait(&mail.url("/"), SHORT)).await.0, "not HTTP");
}

#[tokio::test]
async fn https_is_met_with_the_private_authority_given() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::new();
    for name in ["localhost", "127.0.0.1"] {
        let server = Server::https(authority.server(&[name]), |_, wire| answer(wire, 200, ""));
        let mut wait = wait(&format!("https://{name}:{}/", server.port()), GENEROUS);
        wait.roots = Roots::File(authority.file_in(&dir));
        run(&wait).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test]
async fn https_with_an_authority_that_is_not_known_names_what_is_trusted_and_how_to_add_it() {
    let server = Server::https(Authority::new().server(&["127.0.0.1"]), |_, wire| answer(wire, 200, ""));
    let (message, advice) = failure(&wait(&server.url("/"), SHORT)).await;
    holds(&message, "issued by an authority that is not trusted here; trusted: the bundled list");
    holds(&advice, "--ca-file");
    assert!(server.requests().is_empty(), "nothing is sent to a server that is not trusted");
}

#[tokio::test]
async fn https_with_a_bad_certificate_says_what_is_bad() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::new();
    let expired = |params: &mut rcgen::CertificateParams| {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    };
    let early = |params: &mut rcgen::CertificateParams| params.not_before = rcgen::date_time_ymd(3000, 1, 1);
    let own_authority = |params: &mut rcgen::CertificateParams| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    };
    for (settings, told) in [
        (authority.server_with(&["127.0.0.1"], expired), "has expired"),
        (authority.server_with(&["127.0.0.1"], early), "not valid yet"),
        (authority.server(&["other.example"]), "for another name"),
        (authority.server_with(&["127.0.0.1"], own_authority), "an authority's own"),
    ] {
        let server = Server::https(settings, |_, wire| answer(wire, 200, ""));
        let mut wait = wait(&server.url("/"), SHORT);
        wait.roots = Roots::File(authority.file_in(&dir));
        holds(&failure(&wait).await.0, told);
    }
}

#[tokio::test]
async fn a_certificate_that_is_its_own_authority_is_trusted_when_it_is_given() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir_of_expired = tempfile::tempdir().expect("a directory");
    let expired = |params: &mut rcgen::CertificateParams| {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    };
    let (settings, given) = Authority::own_server(&dir, &["127.0.0.1"], |_| ());
    let server = Server::https(settings, |_, wire| answer(wire, 200, ""));
    let mut trusting = wait(&server.url("/"), GENEROUS);
    trusting.roots = Roots::File(given);
    run(&trusting).await.expect("met");
    let mut another = wait(&server.url("/"), SHORT);
    another.roots = Roots::File(Authority::new().file_in(&dir));
    holds(&failure(&another).await.0, "give that very certificate with --ca-file");

    for (settings, told) in [
        (Authority::own_server(&dir, &["other.example"], |_| ()), "for another name"),
        (Authority::own_server(&dir_of_expired, &["127.0.0.1"], expired), "has expired"),
    ] {
        let server = Server::https(settings.0, |_, wire| answer(wire, 200, ""));
        let mut wait = wait(&server.url("/"), SHORT);
        wait.roots = Roots::File(settings.1);
        holds(&failure(&wait).await.0, told);
    }
}

#[tokio::test]
async fn https_to_a_plain_port_and_http_to_a_tls_port_are_told_apart() {
    let plain = Server::http(|_, wire| answer(wire, 400, "what is this"));
    let (message, advice) = failure(&wait(&plain.url("/").replace("http:", "https:"), SHORT)).await;
    holds(&message, "TLS failed");
    holds(&advice, "http://");

    let secure = Server::https(Authority::new().server(&["127.0.0.1"]), |_, wire| answer(wire, 200, ""));
    let (_, advice) = failure(&wait(&secure.url("/").replace("https:", "http:"), SHORT)).await;
    holds(&advice, "https://");
}

#[tokio::test]
async fn a_ca_file_that_cannot_be_used_ends_the_wait_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let empty = dir.path().join("empty.crt");
    std::fs::write(&empty, "no certificate here\n").expect("write");
    for (path, told) in [(dir.path().join("missing.crt"), "No such file"), (empty, "holds no certificate")] {
        let mut wait = wait("https://127.0.0.1:1/", GENEROUS);
        wait.roots = Roots::File(path.clone());
        let error = run(&wait).await.expect_err("no trust");
        assert!(matches!(error, NotMet::Roots { .. }), "{error:?}");
        holds(&error.to_string(), told);
        holds(&error.to_string(), &path.display().to_string());
    }
}

#[tokio::test]
async fn a_wait_that_is_cancelled_ends_at_once_and_tells_what_it_saw() {
    let (_held, port) = closed_port();
    let silent = Server::http(|_, _| std::thread::sleep(GENEROUS));
    for (condition, seen) in [
        ("file:/nowhere/at/all".to_owned(), "does not exist"),
        (format!("tcp:127.0.0.1:{port}"), "Connection refused"),
        (silent.url("/"), "no probe was finished"),
    ] {
        let mut wait = wait(&condition, GENEROUS);
        wait.timeout = None;
        let cancel = CancellationToken::new();
        let cancelling = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            cancel.cancel();
        };
        let observed = Observed::default();
        let both = async { tokio::join!(until(&wait, &cancel, &observed), cancelling) };
        let (outcome, ()) = tokio::time::timeout(GENEROUS, both).await.expect("it ends when it is cancelled");
        let error = outcome.expect_err("not met");
        assert!(matches!(error, NotMet::Cancelled { .. }), "{error:?}");
        holds(&error.to_string(), seen);
    }
}

/// The real program with one wait.
fn program(condition: &str) -> Test {
    Test::new().args(["run", "--log", "{}/data/log", "--wait-timeout", "2s", "--wait-for", condition])
}

#[test]
fn a_condition_that_is_not_met_ends_the_attempt_with_69_before_the_command_and_is_told_once() {
    let done = program("file:/nowhere/at/all")
        .args(["--", "/bin/echo", "the command"])
        .status(69)
        .stderr_contains("file:/nowhere/at/all was not met within 2s: /nowhere/at/all does not exist")
        .stderr_contains("/nowhere does not exist either: check the volume's mountPath")
        .run();
    assert_eq!(done.stderr.matches("was not met within").count(), 1, "{}", done.stderr);
    let log = done.read("data/log");
    holds(&log, "was not met within 2s");
    assert!(!log.contains("\nthe command\n"), "{log}");
}

#[test]
fn the_authority_comes_from_the_flag_else_the_environment() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::new();
    let server = Server::https(authority.server(&["127.0.0.1"]), |_, wire| answer(wire, 200, ""));
    let right = authority.file_in(&dir).display().to_string();
    let wrong = dir.path().join("wrong.crt").display().to_string();
    for test in [
        program(&server.url("/")).args(["--ca-file", &right]).env("SSL_CERT_FILE", &wrong),
        program(&server.url("/")).args(["--ca-file", &right]).env("HOOK_RUNNER_CA_FILE", &wrong),
        program(&server.url("/")).env("HOOK_RUNNER_CA_FILE", &right).env("SSL_CERT_FILE", &wrong),
        program(&server.url("/")).env("SSL_CERT_FILE", &right),
    ] {
        test.stderr_contains("answered 200").run();
    }
    program(&server.url("/")).env("SSL_CERT_FILE", &wrong).status(78).stderr_contains("wrong.crt").run();
}

#[test]
fn text_that_is_no_condition_is_refused_with_78_and_told_what_was_expected() {
    for (text, told) in [
        ("/data/ready", "expected file:PATH, tcp:HOST:PORT"),
        ("tcp:db", "expected HOST:PORT"),
        ("ftp://db/", "expected file:PATH, tcp:HOST:PORT"),
        ("https://me:secret@vote/", "user name or password"),
    ] {
        let done = program(text).status(78).stderr_contains(told).run();
        assert!(!done.path("data").exists(), "nothing was changed");
    }
}

#[test]
fn a_wait_is_ended_by_the_attempts_timeout_with_124_and_by_a_signal_with_143() {
    let done = Test::new()
        .args(["run", "--log", "{}/data/log", "--timeout", "3s", "--wait-timeout", "60s"])
        .args(["--wait-for", "file:/nowhere/at/all"])
        .status(124)
        .stderr_contains("/nowhere/at/all does not exist")
        .run();
    holds(&done.read("data/log"), "/nowhere/at/all does not exist");

    let test = Test::new()
        .args(["run", "--log", "{}/data/log", "--wait-timeout", "60s"])
        .args(["--wait-for", "file:/nowhere/at/all"]);
    let mut command = test.command();
    let log = command.get_current_dir().expect("a directory").join("data/log");
    let child = command.stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    eventually("the attempt is open", || std::fs::read_to_string(&log).ok().filter(|log| !log.is_empty()));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).expect("TERM");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(143), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A server that answers 200 to who sends this Host and these credentials, and 401 to everybody else.
fn choosy() -> Server {
    Server::http(|request: &Request, wire: Wire<'_>| {
        // RFC 7617, section 2: Aladdin and "open sesame".
        let known = request.header("authorization") == Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let named = request.header("host") == Some("shop.example");
        answer(wire, if known && named { 200 } else { 401 }, "");
    })
}

#[test]
fn headers_and_credentials_are_sent_and_never_printed() {
    let server = choosy();
    let url = server.url("/");
    let test = |how: &[&str]| {
        Test::new()
            .args(["run", "--log", "{}/log", "--wait-for", &url, "--wait-timeout", "1s"])
            .args(["--wait-header", "Host: shop.example"])
            .args(how.iter().copied())
            .file("secret", "Aladdin:open sesame\n")
            .file("broken", "S3cret")
            .env("SHOP", "Aladdin:open sesame")
            .env("BROKEN", "S3cret")
    };
    for how in [["--wait-auth-file", "{}/secret"], ["--wait-auth-env", "SHOP"]] {
        let done = test(&how).any_stderr().run();
        for word in ["sesame", "QWxhZGRpb"] {
            assert!(!std::fs::read_to_string(done.path("log")).expect("a log").contains(word));
        }
    }
    test(&[]).status(69).stderr_contains("answered 401").stderr_contains("--wait-auth-file").run();
    for how in [["--wait-auth-file", "{}/broken"], ["--wait-auth-env", "BROKEN"]] {
        test(&how).status(78).stderr_contains("does not hold USER:PASSWORD").run();
    }
    test(&["--wait-auth-env", "NOT_THERE"]).status(78).stderr_contains("NOT_THERE is not set").run();
    test(&["--wait-header", "no colon"]).status(78).stderr_contains("NAME: VALUE").run();
}

#[test]
fn a_try_may_take_longer_or_shorter_than_the_default() {
    let server = Server::http(|_: &Request, wire: Wire<'_>| {
        std::thread::sleep(Duration::from_secs(2));
        answer(wire, 200, "");
    });
    let url = server.url("/");
    let test = |time: &str| {
        Test::new()
            .args(["run", "--log", "none", "--wait-for", &url, "--wait-timeout", "4s"])
            .args(["--wait-try-timeout", time])
    };
    test("500ms").status(69).stderr_contains("there was no answer within").run();
    test("3s").any_stderr().run();
}

#[test]
fn a_server_behind_a_unix_socket_is_asked_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("app.sock");
    let test = || {
        Test::new()
            .args(["run", "--log", "none", "--wait-for", "http://app/ready", "--wait-timeout", "1s"])
            .args(["--wait-unix-socket", &path.to_string_lossy()])
    };
    test().status(69).stderr_contains("app.sock").stderr_contains("listens on that socket").run();
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    std::thread::spawn(move || {
        use std::io::{BufRead as _, BufReader, Write as _};
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let head: Vec<String> = BufReader::new(stream.try_clone().expect("a second descriptor"))
                .lines()
                .map_while(|line| line.ok().filter(|line| !line.is_empty()))
                .collect();
            let asked =
                head.contains(&"GET /ready HTTP/1.1".to_owned()) && head.contains(&"host: app".to_owned());
            let status = if asked { 200 } else { 400 };
            let _ = write!(stream, "HTTP/1.1 {status} Test\r\nContent-Length: 0\r\n\r\n");
        }
    });
    test().any_stderr().run();
}
