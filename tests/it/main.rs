//! The one integration binary: the program under test is the real one, spawned; each module is a subject, each
//! test a promise.

// A test reads as one story, and makes its data as it goes.
#![allow(
    clippy::too_many_lines,
    clippy::case_sensitive_file_extension_comparisons,
    clippy::cast_possible_truncation,
    clippy::similar_names,
    clippy::type_complexity
)]

mod architecture;
mod attempt;
mod commands;
mod copy;
mod history;
mod http;
mod kubernetes;
mod output;
mod process;
mod steps;
mod support;
mod volume;
