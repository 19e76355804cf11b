//! Which attempts a reading command is about.

use std::ffi::OsString;

use super::moment::Moment;

/// Which attempts.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// Only attempts that began since then: 2h ago, a date or a time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Only attempts that began until then
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// Only of this Helm release
    #[arg(long, value_name = "NAME")]
    pub release: Option<String>,
    /// Only of the log of this name
    #[arg(long = "log", value_name = "NAME")]
    pub log_name: Option<OsString>,
}
