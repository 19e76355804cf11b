//! An `http://` or `https://` address, parsed once and shown as given. A user name or password in it is refused,
//! because the address is printed in the preserved log. Knows nothing of connections.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use hyper::Uri;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    text: String,
    endpoint: Endpoint,
    secure: bool,
    target: String,
}

/// A host name or IP address (IPv6 without brackets) and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// IPv6 without brackets.
    pub host: String,
    /// TCP port, 1 to 65535.
    pub port: u16,
}

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not `http://` or `https://`.
    #[error("{0:?} does not start with http:// or https://")]
    Scheme(String),
    /// Not a URL by RFC 3986.
    #[error("{url:?} is not a URL: {why}")]
    Syntax {
        /// As given.
        url: String,
        /// In words.
        why: String,
    },
    /// `https://user:password@host/`.
    #[error(
        "the URL for host {0:?} holds a user name or password, which would be printed in the log; leave it out"
    )]
    Credentials(String),
    /// No host, or an empty one.
    #[error("{0:?} names no host")]
    NoHost(String),
    /// Missing, zero, above 65535, or not a number.
    #[error("{given:?} has no valid port: expected HOST:PORT with a port from 1 to 65535")]
    Port {
        /// As given.
        given: String,
    },
    /// An IPv6 address without brackets.
    #[error("{0:?} has more than one colon: write an IPv6 address in brackets, as in [::1]:5000")]
    Brackets(String),
}

impl Url {
    /// The host and port to connect to; port 80 or 443 where the URL has none.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether the scheme is `https`.
    pub fn is_https(&self) -> bool {
        self.secure
    }

    /// Path and query, as sent in the request line (RFC 9112, origin-form).
    pub fn target(&self) -> &str {
        &self.target
    }
}

impl FromStr for Url {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let secure = match text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(Malformed::Scheme(text.into())),
        };
        let syntax = |why: &dyn fmt::Display| Malformed::Syntax { url: text.into(), why: why.to_string() };
        // The fragment is not sent (RFC 9110, section 7.1); `Uri` drops it.
        let uri = Uri::from_str(text).map_err(|_| syntax(&"its form is wrong, or it is too long"))?;
        let authority = uri.authority().ok_or_else(|| Malformed::NoHost(text.into()))?;
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if authority.as_str().contains('@') {
            return Err(Malformed::Credentials(host.into()));
        }
        if host.is_empty() {
            return Err(Malformed::NoHost(text.into()));
        }
        if authority.host().starts_with('[') && host.parse::<Ipv6Addr>().is_err() {
            return Err(syntax(&format_args!("[{host}] is not an IPv6 address")));
        }
        let port = match authority.as_str()[authority.host().len()..].strip_prefix(':') {
            None | Some("") => Some(if secure { 443 } else { 80 }),
            Some(port) => port.parse().ok().filter(|port| *port != 0),
        };
        let port = port.ok_or_else(|| Malformed::Port { given: text.into() })?;
        let target = uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
        let target = if target.starts_with('/') { target.into() } else { format!("/{target}") };
        Ok(Self { text: text.into(), endpoint: Endpoint { host: host.into(), port }, secure, target })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Endpoint {
    type Err = Malformed;

    /// Parses `HOST:PORT` and `[IPV6]:PORT`.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let no_port = || Malformed::Port { given: text.into() };
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, port) = rest.split_once("]:").ok_or_else(no_port)?;
            host.parse::<Ipv6Addr>().map_err(|_| Malformed::Syntax {
                url: text.into(),
                why: format!("[{host}] is not an IPv6 address"),
            })?;
            (host, port)
        } else {
            let (host, port) = text.rsplit_once(':').ok_or_else(no_port)?;
            if host.contains(':') {
                return Err(Malformed::Brackets(text.into()));
            }
            (host, port)
        };
        if host.is_empty() {
            return Err(Malformed::NoHost(text.into()));
        }
        if let Some(bad) = host.chars().find(|c| c.is_whitespace() || c.is_control() || "/@?#".contains(*c)) {
            return Err(Malformed::Syntax {
                url: text.into(),
                why: format!("{bad:?} cannot be in a host name"),
            });
        }
        // `parse` would also accept "+80".
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port != 0).ok_or_else(no_port)?;
        Ok(Self { host: host.into(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Malformed, Url};

    #[track_caller]
    fn url(text: &str) -> (String, u16, bool, String) {
        let url: Url = text.parse().expect("a good URL");
        assert_eq!(url.to_string(), text, "shown as given");
        (url.endpoint.host.clone(), url.endpoint.port, url.secure, url.target)
    }

    #[test]
    fn a_url_is_taken_apart() {
        assert_eq!(url("http://vote:5000"), ("vote".into(), 5000, false, "/".into()));
        assert_eq!(url("http://vote/a?b=c#d"), ("vote".into(), 80, false, "/a?b=c".into()));
        assert_eq!(url("https://vote.ns.svc/"), ("vote.ns.svc".into(), 443, true, "/".into()));
        assert_eq!(url("HTTPS://[::1]:8443/x"), ("::1".into(), 8443, true, "/x".into()));
        assert_eq!(url("http://vote?ready"), ("vote".into(), 80, false, "/?ready".into()));
    }

    #[test]
    fn what_is_wrong_with_a_url_is_named() {
        let bad = |text: &str| text.parse::<Url>().expect_err(text).to_string();
        assert!(bad("ftp://vote/").contains("http:// or https://"));
        assert!(bad("vote:5000").contains("http:// or https://"));
        assert!(bad("http://").contains("URL"), "{}", bad("http://"));
        assert!(bad("http://vote:0/").contains("port"));
        assert!(bad("http://vote:99999/").contains("port"), "{}", bad("http://vote:99999/"));
        assert!(bad("http://[::zz]/").contains("IPv6") || bad("http://[::zz]/").contains("URL"));
        let secret = bad("https://me:hunter2@vote/");
        assert!(secret.contains("password") && !secret.contains("hunter2"), "{secret}");
    }

    #[test]
    fn an_endpoint_is_host_and_port() {
        let good = |text: &str| {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.to_string(), text);
            (endpoint.host, endpoint.port)
        };
        assert_eq!(good("db:5432"), ("db".into(), 5432));
        assert_eq!(good("[fd00::1]:53"), ("fd00::1".into(), 53));
        assert_eq!("::1:80".parse::<Endpoint>(), Err(Malformed::Brackets("::1:80".into())));
        for bad in [
            "db", "db:", "db:http", "db:+80", "db:0", "db:70000", ":80", "[::1]80", "[x]:80", "a b:1",
            "d/b:1",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
