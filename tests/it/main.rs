//! The one integration binary: the program under test is the real one, spawned; each module is a subject, each
//! test a promise.

mod api_server;
mod copy_cold;
mod copy_killed;
mod copy_limits;
mod copy_odd;
mod copy_options;
mod copy_peers;
mod copy_shards;
mod copy_swapped;
mod empty_image;
mod harness;
mod help;
mod hook;
mod output_faults;
mod output_gaps;
mod output_redact;
mod output_tee;
mod power_cut;
mod process_signals;
mod process_start;
mod process_terminal;
mod process_time;
mod reading;
mod readme;
mod restart;
mod running;
mod server;
mod sidecar;
mod terminal;
mod tree;
mod volume;
mod volumes;
mod wait;
