//! The optional programs on a real kernel: pods that connect, an agent's probes beside them, and
//! what the programs say.
//!
//! Where that cannot run, for lack of a privilege or a program, the tests are shown as ignored and
//! the reason is printed; with the environment variable `CI` set they fail instead.

mod flows;
mod left;
mod observed;
mod processes;
mod services;
mod socket;
mod tcp;
mod translation;

use std::process::ExitCode;

use anyhow::Result;
use testbed::{
    requirements,
    rules::{self, Rule},
};

fn main() -> Result<ExitCode> {
    if std::env::args().nth(1).as_deref() == Some(left::HOLD) {
        left::hold()?;
        return Ok(ExitCode::SUCCESS);
    }
    testbed::remove_on_signals()?;
    let missing = requirements::for_observed_cluster();
    let all = [
        processes::RULES,
        translation::RULES,
        tcp::RULES,
        flows::RULES,
        services::RULES,
        left::RULES,
    ];
    let trials = rules::trials("a test of the optional programs", &all.concat(), &missing);
    Ok(rules::run(trials))
}
