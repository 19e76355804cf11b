//! The static binary in an image that holds nothing else: it resolves names as a pod does and speaks https.
//!
//! The image is a directory that the program is chrooted into; the network is a namespace with nothing but
//! loopback, a name server on port 53 and an https server. Needs root, and the static binary's path in
//! `STATIC_HOOK_RUNNER`.

use std::net::UdpSocket;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use nix::sched::{CloneFlags, unshare};

use crate::needs;
use crate::support::server::{Authority, Server, answer};

/// Runs `work` in a network of its own, on a thread of its own: the namespace is the thread's.
fn in_own_network(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip (iproute2)");
        assert!(up.success(), "loopback is up");
        work();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A name server that knows one name; returns the names it was asked for.
fn name_server(known: &'static str) -> Arc<Mutex<Vec<String>>> {
    let socket = UdpSocket::bind("127.0.0.1:53").expect("port 53 of an empty network");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let names = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut packet) {
            let (name, reply) = reply(&packet[..length], known);
            names.lock().expect("the lock").push(name);
            let _ = socket.send_to(&reply, client);
        }
    });
    asked
}

/// Answers a query with 127.0.0.1 for the known name's A record, nothing for its other records, and "no such name"
/// for every other name (RFC 1035, section 4).
fn reply(query: &[u8], known: &str) -> (String, Vec<u8>) {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).into_owned());
        at = end;
    }
    let (name, end, is_a) = (labels.join("."), at + 5, query[at + 1..at + 3] == [0, 1]);
    let found = name == known;
    let mut reply = query[..2].to_vec();
    reply.extend(if found { [0x81, 0x80] } else { [0x81, 0x83] });
    reply.extend([0, 1, 0, u8::from(found && is_a), 0, 0, 0, 0]);
    reply.extend(&query[12..end]);
    if found && is_a {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 127, 0, 0, 1]);
    }
    (name, reply)
}

#[test]
fn an_image_with_nothing_but_the_binary_resolves_names_and_speaks_https() {
    needs!(NetworkNamespace, StaticBinary);
    let binary = std::env::var_os("STATIC_HOOK_RUNNER").expect("set");
    in_own_network(move || {
        let asked = name_server("vote.apps.svc.cluster.local");
        let image = tempfile::tempdir().expect("a directory");
        let put = |path: &str, text: &str| std::fs::write(image.path().join(path), text).expect("write");
        std::fs::copy(&binary, image.path().join("hook-runner")).expect("the static binary");
        for directory in ["etc", "data"] {
            std::fs::create_dir(image.path().join(directory)).expect("a directory");
        }
        // As the kubelet writes it.
        put(
            "etc/resolv.conf",
            "search apps.svc.cluster.local svc.cluster.local cluster.local\nnameserver 127.0.0.1\noptions ndots:5\n",
        );
        let authority = Authority::new();
        authority.file_in(&image);
        let server = Server::https(authority.server(&["vote"]), |_, wire| answer(wire, 200, ""));

        let run = |host: &str, options: &[&str]| -> Output {
            // By its path: without an environment there is no PATH to find it in.
            Command::new("/usr/sbin/chroot")
                .arg(image.path())
                .args(["/hook-runner", "run", "--log", "/data/log", "--wait-timeout", "2s"])
                .args(["--wait-for", &format!("https://{host}:{}/", server.port())])
                .args(options)
                .env_clear()
                .output()
                .expect("chroot")
        };
        let with_authority = run("vote", &["--ca-file", "/ca.crt"]);
        let told = String::from_utf8_lossy(&with_authority.stderr).into_owned();
        assert_eq!(with_authority.status.code(), Some(0), "{told}");
        assert!(told.contains("answered 200"), "{told}");
        assert!(asked.lock().expect("the lock").contains(&"vote.apps.svc.cluster.local".into()));

        let with_bundled = run("vote", &[]);
        let told = String::from_utf8_lossy(&with_bundled.stderr).into_owned();
        assert_eq!(with_bundled.status.code(), Some(69), "{told}");
        assert!(told.contains("trusted: the bundled list"), "{told}");

        let unknown = run("nobody", &[]);
        let told = String::from_utf8_lossy(&unknown.stderr).into_owned();
        assert_eq!(unknown.status.code(), Some(69), "{told}");
        assert!(told.contains("\"nobody\" cannot be resolved"), "{told}");
    });
}
