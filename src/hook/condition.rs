//! The conditions of a wait, as the command line and the hook file write them. Only values and their text;
//! `steps::wait` probes.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::http::{Endpoint, Malformed, Url};

/// One condition: `file:PATH`, `tcp:HOST:PORT`, `http://…` or `https://…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Something exists at the path. Links are followed, so that a dangling link does not count.
    File(PathBuf),
    /// The port accepts a connection. Nothing is sent.
    Tcp(Endpoint),
    /// A GET request gets an accepted status. Redirects are not followed: a redirect is an answer (accepted by
    /// default), and its target may be another server.
    Http(Url),
}

/// Why a text is no condition. No message shows a user name or password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// None of the four forms.
    #[error(
        "'{0}' is no condition; expected file:PATH, tcp:HOST:PORT, http://HOST/…, https://HOST/… or exec:COMMAND"
    )]
    Form(String),
    /// `file:` without a path.
    #[error("file: needs a path, as in file:/data/ready")]
    NoPath,
    /// `file:` with a NUL byte.
    #[error("the path behind file: holds a NUL character, which no file name can")]
    Nul,
    /// `https://user:password@host/`, or something that could be one.
    #[error(
        "a URL or address with `@` or `%` in its host holds a user name or password, which would be printed in the log; leave them out"
    )]
    Credentials,
    /// Invalid characters in a host name.
    #[error(
        "'{0}' is no host name; expected letters, digits, dots and dashes, or an IPv6 address in brackets"
    )]
    Host(String),
    /// Not 1 to 65535.
    #[error("'{0}' has no valid port; expected HOST:PORT with a port from 1 to 65535")]
    Port(String),
    /// Any of these where the text may hold a password.
    #[error(
        "a URL or address is wrong; it is not shown, as it may hold a user name or password; expected file:PATH, tcp:HOST:PORT, http://HOST:PORT/… or https://HOST:PORT/… with a port from 1 to 65535, no user name and password, and other characters percent-encoded, as %20 for a space"
    )]
    NotShown,
    /// Spaces, quotes, characters that are not ASCII.
    #[error("'{0}' holds {1:?}, which no URL can; write it percent-encoded, as %20 for a space")]
    Character(String, char),
    /// Anything else, such as an overlong URL.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        read(text).map_err(|error| match error {
            ConditionError::NoPath | ConditionError::Nul | ConditionError::Credentials => error,
            _ if may_hold_password(text) => ConditionError::NotShown,
            _ => error,
        })
    }
}

/// Whether a text, however malformed, may hold a user name or password (`USER:PASSWORD@HOST`, RFC 3986, section 3.2.1).
/// A password can hold any character, also those that end a host, and the `@` behind it may be missing.
fn may_hold_password(text: &str) -> bool {
    let address = match text.split_once(':') {
        Some((_, rest)) if rest.starts_with('/') => rest,
        Some(("tcp", rest)) => rest,
        _ => text,
    };
    let is_port = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()) && part.len() <= 5;
    text.contains(['@', '%']) || address.split(':').skip(1).any(|part| !is_port(part))
}

fn read(text: &str) -> Result<Condition, ConditionError> {
    if let Some(path) = text.strip_prefix("file:") {
        return file(path);
    }
    if let Some(endpoint) = text.strip_prefix("tcp:") {
        let endpoint = endpoint.strip_prefix("//").unwrap_or(endpoint);
        if authority(endpoint)?.is_empty() {
            return Err(ConditionError::Port(text.into()));
        }
        return Ok(Condition::Tcp(endpoint.parse()?));
    }
    match text.split_once("://") {
        Some((scheme, rest)) if ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            authority(&rest[..end])?;
            if let Some(wrong) = rest[end..].chars().find(|c| !in_path(*c)) {
                return Err(ConditionError::Character(text.into(), wrong));
            }
            Ok(Condition::Http(text.parse()?))
        }
        _ => Err(ConditionError::Form(text.into())),
    }
}

fn file(path: &str) -> Result<Condition, ConditionError> {
    if path.is_empty() {
        return Err(ConditionError::NoPath);
    }
    if path.contains('\0') {
        return Err(ConditionError::Nul);
    }
    // file:///data/x, the URL form (RFC 8089), is the same as file:/data/x.
    let path = path.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    Ok(Condition::File(path.into()))
}

/// Checks `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`. Returns the port as written, or an empty text.
fn authority(text: &str) -> Result<&str, ConditionError> {
    if text.contains(['@', '%']) {
        return Err(ConditionError::Credentials);
    }
    let host = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) if address.parse::<Ipv6Addr>().is_ok() => &text[..address.len() + 2],
        Some(_) => return Err(ConditionError::Host(text.into())),
        None => text.split(':').next().unwrap_or_default(),
    };
    let name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    if host.is_empty() || !(name || host.starts_with('[')) {
        return Err(ConditionError::Host(text.into()));
    }
    let Some(port) = text[host.len()..].strip_prefix(':') else {
        let behind = &text[host.len()..];
        return if behind.is_empty() { Ok("") } else { Err(ConditionError::Host(text.into())) };
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    if port.contains(':') {
        return Err(ConditionError::Host(text.into()));
    }
    let fits = port.is_empty() || digits && port.parse::<u16>().is_ok_and(|port| port > 0);
    if fits { Ok(port) } else { Err(ConditionError::Port(text.into())) }
}

/// The characters of path, query and fragment (RFC 3986, appendix A).
fn in_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c)
}

/// The pattern of every condition, for the JSON Schema.
pub fn pattern() -> String {
    let group = "[0-9a-fA-F]{1,4}";
    let dotted = "(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])";
    let last = format!("(?:{group}:{group}|{dotted})");
    // IPv6address of RFC 3986, line by line.
    let address = [
        format!("(?:{group}:){{6}}{last}"),
        format!("::(?:{group}:){{5}}{last}"),
        format!("(?:{group})?::(?:{group}:){{4}}{last}"),
        format!("(?:(?:{group}:){{0,1}}{group})?::(?:{group}:){{3}}{last}"),
        format!("(?:(?:{group}:){{0,2}}{group})?::(?:{group}:){{2}}{last}"),
        format!("(?:(?:{group}:){{0,3}}{group})?::{group}:{last}"),
        format!("(?:(?:{group}:){{0,4}}{group})?::{last}"),
        format!("(?:(?:{group}:){{0,5}}{group})?::{group}"),
        format!("(?:(?:{group}:){{0,6}}{group})?::"),
    ];
    let host = format!("(?:[A-Za-z0-9._~-]+|\\[(?:{})\\])", address.join("|"));
    let port = "0*(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
    let path = "(?:[/?#][A-Za-z0-9._~:/?#\\[\\]@!$&'()*+,;=%-]*)?";
    format!("file:[^\\u0000]+|tcp:(?://)?{host}:{port}|[hH][tT][tT][pP][sS]?://{host}(?::(?:{port})?)?{path}")
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Tcp(endpoint) => write!(f, "tcp:{endpoint}"),
            Self::Http(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Condition;

    #[test]
    fn each_form_is_read_and_shown_as_it_was_written() {
        for text in [
            "file:/data/app/templates/index.html",
            "file:relative name",
            "tcp:db:5432",
            "tcp:[::1]:5432",
            "http://vote:5000/",
            "https://vote.default.svc/ready?deep=1",
        ] {
            let condition: Condition = text.parse().expect(text);
            assert_eq!(condition.to_string(), text);
        }
        assert_eq!("file:///data/x".parse(), Ok(Condition::File("/data/x".into())));
        assert_eq!("tcp://db:1".parse::<Condition>(), "tcp:db:1".parse());
    }

    #[test]
    fn what_is_no_condition_is_told_what_was_expected() {
        let bad = |text: &str| text.parse::<Condition>().expect_err(text).to_string();
        assert!(bad("/data/ready").contains("expected file:PATH"));
        assert!(bad("vote:5000").contains("expected file:PATH"));
        assert!(bad("file:").contains("needs a path"));
        assert!(bad("file:/a\0b").contains("NUL"));
        assert!(bad("tcp:db").contains("HOST:PORT"));
        assert!(bad("tcp:::1:80").contains("brackets"));
        assert!(bad("http://").contains("host name"));
        assert!(bad("http://vote:99999/").contains("65535"));
        assert!(bad("http://vote/a b").contains("%20"));
    }

    #[test]
    fn no_refusal_shows_a_user_name_or_password() {
        for text in [
            "http://admin:S3cret@h/",
            "https://S3cret@h",
            "http://admin%3AS3cret%40h/",
            "http://admin:S3%63ret@h:99999/",
            "tcp:admin:S3cret@h:80",
            "tcp://admin:S3cret@h",
            "ftp://admin:S3cret@h/",
            "http:/admin:S3cret@h/",
            "htp://admin:S3cret%40h/",
            "http://a:S3cret/Pa+ss&w\"x@h/",
            "http://a:1#S3cret @h/",
            "http://admin:S3cret",
            "http://admin:S3cret/x y",
            "http:admin:S3cret",
            "admin:S3cret",
            "tcp:admin:S3cret",
            "tcp:a:1/S3cret@h",
        ] {
            let message = text.parse::<Condition>().expect_err(text).to_string();
            assert!(!message.contains("S3"), "{text}: {message}");
        }
    }
}
