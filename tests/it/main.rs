//! The one integration binary.

mod server;
mod wait;
