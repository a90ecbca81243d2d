//! The whole of Palomar on a real kernel: clusters in network namespaces, known traffic, agents
//! with probes, a relay, and the command line as the judge of what was seen.
//!
//! Where that cannot run, for lack of a privilege or a program, the tests are shown as ignored and
//! the reason is printed; with the environment variable `CI` set they fail instead.

mod demo;
mod drops;
mod errors;
mod exact;
mod left;
mod observed;
mod palomar;
mod privileges;
mod queries;
mod relay;
mod seen;

use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use testbed::requirements;

/// A test: its name is the rule, an error says how it was broken.
type Rule = (&'static str, fn() -> Result<()>);

fn main() -> Result<ExitCode> {
    testbed::remove_on_signals()?;

    let rules = || {
        let all = [
            exact::RULES,
            drops::RULES,
            relay::RULES,
            queries::RULES,
            demo::RULES,
            privileges::RULES,
        ];
        all.concat().into_iter().map(|rule| (rule, true)).chain(
            // What goes wrong before anything privileged is tried can be seen by everyone.
            errors::RULES.iter().map(|&rule| (rule, false)),
        )
    };
    let missing = requirements::for_observed_cluster();
    let ignored = !missing.is_empty() && std::env::var_os("CI").is_none();
    if let Err(error) = requirements::check("an end-to-end test", &missing) {
        eprintln!("\n{error}");
        eprintln!(
            "{}\n",
            if ignored {
                "TESTS IGNORED"
            } else {
                "with CI set this is a failure"
            }
        );
    }
    let trials = rules()
        .map(|((name, rule), privileged)| {
            Trial::test(name, move || {
                rule().map_err(|error| Failed::from(format!("{error:#}")))
            })
            .with_ignored_flag(privileged && ignored)
        })
        .collect();
    Ok(libtest_mimic::run(&Arguments::from_args(), trials).exit_code())
}
