//! What a user is told when the network or a file fails: our sentences, no library's.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::support::harness::Test;

/// What libraries say: the standard library's errors, those of TLS, HTTP and numbers, and debug forms.
const FOREIGN: [&str; 10] = [
    "os error",
    "tls handshake",
    "invalid HTTP",
    "message head",
    "received fatal alert",
    "received corrupt message",
    "Custom {",
    "connection error",
    "stream did not",
    "failed to fill",
];

#[track_caller]
fn ours(said: &str) {
    assert!(FOREIGN.iter().all(|foreign| !said.contains(foreign)), "{said}");
}

/// The URL's authority of a server that answers every connection with these bytes, and closes it.
fn server(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            // The request is read, so that the close is no reset.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        }
    });
    address
}

#[test]
fn a_wait_tells_what_a_server_does_in_our_words() {
    // An alert of TLS: fatal (2), handshake_failure (40); RFC 8446, section 6.
    let alert = b"\x15\x03\x03\x00\x02\x02\x28";
    let long_head: &'static [u8] = Box::leak(vec![b'x'; 1 << 20].into_boxed_slice());
    for (scheme, answer, expected) in [
        ("https", &b""[..], "the server closed the connection before the handshake was over"),
        ("https", alert, "the server ended the handshake with alert 40"),
        ("https", b"HTTP/1.1 400 Bad Request\r\n\r\n", "what the server sends is not TLS"),
        ("http", b"", "the connection was closed before the answer was complete"),
        ("http", b"HTTP/9.9 200 OK\r\n\r\n", "what it sends is not HTTP/1.1"),
        ("http", b"\x15\x03\x03\x00\x02\x02\x28", "what it sends is not HTTP/1.1"),
        ("http", long_head, "what it sends is not HTTP/1.1, or the head of its answer is too long"),
    ] {
        let url = format!("{scheme}://{}/", server(answer));
        let words = ["run", "--log", "none", "--wait-timeout", "300ms", "--wait-for", &url];
        let done = Test::new().args(words).status(69).stderr_contains(expected).run();
        ours(&done.stderr);
    }
    let words = ["run", "--log", "none", "--wait-timeout", "300ms", "--wait-for", "http://127.0.0.1:1/"];
    ours(&Test::new().args(words).status(69).stderr_contains("127.0.0.1:1: Connection refused").run().stderr);
}

#[test]
fn a_file_that_cannot_be_used_is_told_in_our_words() {
    let secure = ["--wait-timeout=300ms", "--wait-for=https://127.0.0.1:1/"];
    for (words, status, expected) in [
        (
            vec!["run", "--hook", "nosuch"],
            78,
            "the hook file nosuch cannot be read: No such file or directory",
        ),
        (vec!["run", "--hook", "file/x"], 78, "the hook file file/x cannot be read: Not a directory"),
        (vec!["run", "--log=none", "--redact-file", "nosuch", "--", "true"], 78, "No such file or directory"),
        (
            vec!["run", "--log=none", "--ca-file", "nosuch", secure[0], secure[1]],
            78,
            "No such file or directory",
        ),
        (vec!["run", "--log=none", "--ca-file", "pem", secure[0], secure[1]], 78, "is no PEM"),
        (vec!["run", "--log=none", "--metrics-file", "file/x", "--", "true"], 0, "file/x: Not a directory"),
        (
            vec!["run", "--log=none", "--termination-log", "file/x", "--", "true"],
            0,
            "file/x: Not a directory",
        ),
        (
            vec!["run", "--log=none", "--wait-timeout=300ms", "--wait-for=file:file/x"],
            69,
            "file/x: Not a directory",
        ),
        (vec!["man", "file"], 78, ""),
        (vec!["logs", "file/x"], 74, ""),
        (vec!["history", "file/x"], 74, ""),
        (vec!["verify", "file"], 78, ""),
    ] {
        let pem = "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n";
        let test = Test::new().file("file", "x").file("pem", pem).args(&words).any_stdout();
        let done = test.status(status).stderr_contains(expected).run();
        ours(&done.stderr);
    }
}
