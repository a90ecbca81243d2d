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
use libtest_mimic::{Arguments, Failed, Trial};
use testbed::requirements;

/// A test: its name is the rule, an error says how it was broken.
type Rule = (&'static str, fn() -> Result<()>);

fn main() -> Result<ExitCode> {
    testbed::remove_on_signals()?;
    let missing = requirements::for_observed_cluster();
    let ignored = !missing.is_empty() && std::env::var_os("CI").is_none();
    if let Err(error) = requirements::check("a test of the probes", &missing) {
        eprintln!("\n{error}\n");
    }
    let rules = [
        aggregation::RULES,
        headers::RULES,
        payload::RULES,
        points::RULES,
        drops::RULES,
        guests::RULES,
    ]
    .concat();
    let trials = rules
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
