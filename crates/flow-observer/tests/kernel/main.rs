//! The probes on this machine's kernel: known traffic in network namespaces, and the records that
//! it makes.
//!
//! Where that cannot run, for lack of a privilege or a program, the tests are shown as ignored and
//! the reason is printed; with the environment variable `CI` set they fail instead.

mod aggregation;
mod drops;
mod guests;
mod headers;
mod inject;
mod payload;
mod points;
mod watch;

use std::process::ExitCode;

use anyhow::Result;
use testbed::{
    requirements,
    rules::{self, Rule},
};

fn main() -> Result<ExitCode> {
    testbed::remove_on_signals()?;
    let missing = requirements::for_observed_cluster();
    let all = [
        aggregation::RULES,
        headers::RULES,
        payload::RULES,
        points::RULES,
        drops::RULES,
        guests::RULES,
    ];
    let trials = rules::trials("a test of the probes", &all.concat(), &missing);
    Ok(rules::run(trials))
}
