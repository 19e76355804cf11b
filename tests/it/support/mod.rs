//! What tests share: the program under test, trees, servers, terminals, volumes.

pub(crate) mod api_server;
pub(crate) mod cases;
pub(crate) mod faulty;
pub(crate) mod harness;
pub(crate) mod needs;
pub(crate) mod running;
pub(crate) mod server;
pub(crate) mod terminal;
pub(crate) mod tree;
pub(crate) mod volumes;
