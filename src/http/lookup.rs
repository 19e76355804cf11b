//! Resolves names through getaddrinfo(3). musl and static glibc both contain the DNS client, so that
//! `/etc/resolv.conf`, which the kubelet writes into every container, is the only file it needs.
//!
//! IPv4 and IPv6 are asked for in separate calls at the same time. In one call, musl drops the address it has when the
//! other query is refused, fails or times out. musl also stops a search at the first domain whose server fails, and
//! ignores a search line above 255 bytes: a name that is not found is therefore looked up once more, domain by domain.

use std::ffi::CString;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::mpsc;
use std::time::Duration;

use nix::libc;

use crate::support::blocking;

/// How long to wait for the second address family once the first has an address (RFC 8305, section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// The addresses of `host`, at least one. Blocks until the name servers answer.
pub(super) fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let plain = both_families(host, port);
    if plain.is_ok() {
        return plain;
    }
    let configuration = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let found = names(host, &configuration).iter().find_map(|name| both_families(name, port).ok());
    found.map_or(plain, Ok)
}

/// The names that a search for `host` tries, each with a trailing dot (resolv.conf(5)).
fn names(host: &str, configuration: &str) -> Vec<String> {
    if host.ends_with('.') {
        return Vec::new();
    }
    let lines = configuration.lines().map(str::split_whitespace);
    let mut search = Vec::new();
    for mut words in lines {
        if let Some("search" | "domain") = words.next() {
            // The last such line wins.
            search = words.map(|domain| domain.trim_end_matches('.')).collect();
        }
    }
    let searched = search.iter().map(|domain| format!("{host}.{domain}."));
    searched.chain([format!("{host}.")]).collect()
}

fn both_families(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let (tell, answers) = mpsc::channel();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let (name, tell) = (host.to_owned(), tell.clone());
        // Fails if the other family was enough and nobody listens any more.
        blocking::detached(move || drop(tell.send(one_family(&name, port, family))))?;
    }
    drop(tell);
    let first = answers.recv().map_err(io::Error::other)?;
    match first {
        Ok(mut addresses) => {
            if let Ok(Ok(more)) = answers.recv_timeout(RESOLUTION_DELAY) {
                addresses.extend(more);
            }
            Ok(addresses)
        }
        Err(error) => answers.recv().map_err(io::Error::other)?.map_err(|_| error),
    }
}

fn one_family(host: &str, port: u16, family: i32) -> io::Result<Vec<SocketAddr>> {
    let name = CString::new(host).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: all fields are numbers and pointers, for which zero is valid and means "no restriction".
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = family;
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut list = std::ptr::null_mut();
    // SAFETY: the C string, the hints and the place for the result live across the call.
    let status =
        unsafe { libc::getaddrinfo(name.as_ptr(), std::ptr::null(), &raw const hints, &raw mut list) };
    if status != 0 {
        return Err(io::Error::other(reason(status)));
    }
    let mut addresses = Vec::new();
    let mut next = list;
    // SAFETY: the call succeeded, so that each entry is null or valid until the list is freed.
    while let Some(entry) = unsafe { next.as_ref() } {
        addresses.extend(address(entry, port));
        next = entry.ai_next;
    }
    // SAFETY: getaddrinfo made the list, and nothing of it is used below.
    unsafe { libc::freeaddrinfo(list) };
    if addresses.is_empty() { Err(io::Error::other("it has no address")) } else { Ok(addresses) }
}

fn address(entry: &libc::addrinfo, port: u16) -> Option<SocketAddr> {
    match entry.ai_family {
        libc::AF_INET => {
            // SAFETY: an entry of this family holds a structure of this type.
            let found = unsafe { entry.ai_addr.cast::<libc::sockaddr_in>().read_unaligned() };
            let address = Ipv4Addr::from(u32::from_be(found.sin_addr.s_addr));
            Some(SocketAddr::V4(SocketAddrV4::new(address, port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let found = unsafe { entry.ai_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
            let address = Ipv6Addr::from(found.sin6_addr.s6_addr);
            Some(SocketAddr::V6(SocketAddrV6::new(address, port, 0, found.sin6_scope_id)))
        }
        _ => None,
    }
}

/// The meaning of getaddrinfo(3)'s status.
fn reason(status: i32) -> &'static str {
    match status {
        libc::EAI_NONAME => "there is no such name",
        libc::EAI_AGAIN => "the name server does not answer, or could not",
        libc::EAI_FAIL => "the name server refused",
        libc::EAI_MEMORY => "there is no memory for it",
        _ => "it has no address",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_goes_through_each_domain_and_the_name_itself() {
        let long = "x".repeat(60);
        let configuration = format!(
            "nameserver 10.0.0.10\nsearch a.svc.cluster.local {long}.{long}.{long}.{long}.{long}.example\noptions ndots:5\n"
        );
        let found = names("vote", &configuration);
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].as_str(), found[2].as_str()), ("vote.a.svc.cluster.local.", "vote."));
        assert_eq!(names("vote.example.", &configuration), Vec::<String>::new());
        assert_eq!(names("vote", ""), ["vote."]);
    }

    #[test]
    fn the_machines_own_name_has_an_address() {
        let found = addresses("localhost", 80).expect("localhost resolves");
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 80), "{found:?}");
    }
}
