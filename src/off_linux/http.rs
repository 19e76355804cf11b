//! The addresses of waits, and their trusted authorities.

#[path = "../http/roots.rs"]
mod roots;
#[path = "../http/url.rs"]
mod url;

pub use roots::Roots;
pub use url::{Endpoint, Malformed, Url};
