//! Flow observability for Linux and Kubernetes that speaks Hubble's API.
//!
//! Finds the command, runs it, and turns its result into an exit code: 0 when done, also when
//! nobody reads the output any more, and 1 for every failure, with one message on standard error.

mod civil;
mod cli;
mod command;
mod config;
#[cfg(feature = "node")]
mod embedded;
mod filters;
mod flags;
mod logging;
mod observe;
mod print;
mod settings;
mod signals;
mod since;
mod source;
mod words;

use std::process::ExitCode;

fn main() -> ExitCode {
    let line = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match command::run(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if print::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
