//! Being PID 1: starts the command of a hook, forwards signals to it, reaps all processes, and reports how the command
//! ended. Knows nothing of hooks, logs or volumes, and writes only through its caller.
//!
//! Nothing may block here: every wait is a future on the main thread's runtime, so that a signal is answered at once
//! whatever else hangs.

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
