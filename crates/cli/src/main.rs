//! Flow observability for Linux and Kubernetes that speaks Hubble's API.
//!
//! Finds the command, runs it, and turns its result into an exit code: 0 when done, also when
//! nobody reads the output any more, and 1 for every failure, with one message on standard error.
//! `doctor` tells apart who is not well, by 1 without a message, and what was mistyped, by 2.

mod civil;
mod cli;
mod command;
mod complete;
mod config;
mod doctor;
#[cfg(feature = "node")]
mod embedded;
mod filters;
mod flags;
mod forward;
mod group;
mod hint;
mod logging;
mod manual;
mod observe;
mod print;
mod program;
mod progress;
mod settings;
mod signals;
mod since;
mod source;
mod top;
mod words;

use std::process::ExitCode;

fn main() -> ExitCode {
    let line: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match command::run(line.clone()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if print::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<doctor::Exit>() {
            // Everything is said.
            Some(exit @ doctor::Exit::Failed) => exit.code().into(),
            exit => {
                eprintln!("{error:#}");
                hint::print(&error, &line);
                exit.map_or(ExitCode::FAILURE, |exit| exit.code().into())
            }
        },
    }
}
