//! Which certificate authorities are trusted. Only values; `tls` reads the files.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where the trusted authorities come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Roots {
    /// Mozilla's list, compiled in: a minimal image has no list of its own.
    #[default]
    Bundled,
    /// A PEM file with one or more certificates. It replaces the bundled list, as `curl --cacert` and OpenSSL's
    /// `SSL_CERT_FILE` do.
    File(PathBuf),
}

impl Roots {
    /// The authorities for requests: `given` (`--ca-file`, `HOOK_RUNNER_CA_FILE` or the hook file), else a non-empty
    /// `SSL_CERT_FILE`, else the bundled list.
    pub fn choose(given: Option<&Path>) -> Self {
        let from_environment =
            || std::env::var_os("SSL_CERT_FILE").filter(|value| !value.is_empty()).map(PathBuf::from);
        given.map(Path::to_path_buf).or_else(from_environment).map_or(Self::Bundled, Self::File)
    }
}

impl fmt::Display for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundled => f.write_str("the bundled list of public authorities"),
            Self::File(path) => write!(f, "the CA file {}", path.display()),
        }
    }
}
