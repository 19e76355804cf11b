//! The one integration binary: the program under test is the real one, spawned; each module is a subject, each
//! test a promise.

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
