//! Being PID 1: starts the command of a hook, forwards signals to it, reaps whatever ends, and says how it ended.
//! Knows nothing of hooks, logs or volumes; it never writes anything but through its caller.
//!
//! Who may block here: nobody. Every wait is a future on the runtime of the main thread, so that a signal is
//! answered at once whatever else hangs.

mod command;
mod ending;
mod fd_holder;
mod leftovers;
mod oom;
mod signals;
mod spawn;
mod spawn_error;
mod stop;
mod supervise;
mod terminal;

pub use command::{ChildStdio, Command};
pub use ending::{Ending, Limits, Status};
pub use fd_holder::leave_files;
pub use leftovers::{end_leftovers, leftovers};
pub use spawn_error::SpawnError;
pub use stop::Stop;
pub use supervise::Supervisor;
