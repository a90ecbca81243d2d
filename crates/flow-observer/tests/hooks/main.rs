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
use libtest_mimic::{Arguments, Failed, Trial};
use testbed::requirements;

/// A test: its name is the rule, an error says how it was broken.
type Rule = (&'static str, fn() -> Result<()>);

fn main() -> Result<ExitCode> {
    if std::env::args().nth(1).as_deref() == Some(left::HOLD) {
        left::hold()?;
        return Ok(ExitCode::SUCCESS);
    }
    testbed::remove_on_signals()?;
    let missing = requirements::for_observed_cluster();
    let ignored = !missing.is_empty() && std::env::var_os("CI").is_none();
    if let Err(error) = requirements::check("a test of the optional programs", &missing) {
        eprintln!("\n{error}\n");
    }
    let trials = [
        processes::RULES,
        translation::RULES,
        tcp::RULES,
        flows::RULES,
        services::RULES,
        left::RULES,
    ]
    .concat()
    .into_iter()
    .map(|(name, rule)| {
        Trial::test(name, move || {
            rule().map_err(|error| Failed::from(format!("{error:#}")))
        })
        .with_ignored_flag(ignored)
    })
    .collect();
    Ok(libtest_mimic::run(&Arguments::from_args(), trials).exit_code())
}
