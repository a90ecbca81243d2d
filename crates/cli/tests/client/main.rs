//! The client part of `palomar` as a user meets it: the real binary, its output, its messages and
//! its exit code.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests do, but are not marked as such"
)]

mod completion;
mod conditions;
mod config;
mod doctor;
mod errors;
mod files;
mod filters;
mod formats;
mod forward;
mod groups;
mod harness;
mod help;
mod input;
mod lines;
mod names;
#[cfg(feature = "node")]
mod plan;
mod pty;
mod recording;
mod server;
mod tables;
mod terminal;
#[cfg(feature = "node")]
mod tokens;
mod top;
