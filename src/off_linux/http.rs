//! The addresses that a wait names, and whom it trusts.

#[path = "../http/roots.rs"]
mod roots;
#[path = "../http/url.rs"]
mod url;

pub use roots::Roots;
pub use url::{Endpoint, Malformed, Url};
