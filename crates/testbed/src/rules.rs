//! Tests by their rules, for harnesses that show as ignored what cannot run on this machine.

use std::{env, process::ExitCode};

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::requirements::{self, Missing};

/// A test: its name is the rule, an error says how it was broken.
pub type Rule = (&'static str, fn() -> Result<()>);

/// The rules as trials. While something is missing that they need, `what` they are is told with it, and
/// they are ignored; with the environment variable `CI` set they fail instead.
#[must_use]
pub fn trials(what: &str, rules: &[Rule], missing: &[Missing]) -> Vec<Trial> {
    let is_ignored = !missing.is_empty() && env::var_os("CI").is_none();
    if let Err(error) = requirements::check(what, missing) {
        let outcome = if is_ignored {
            "TESTS IGNORED"
        } else {
            "with CI set this is a failure"
        };
        eprintln!("\n{error}\n{outcome}\n");
    }
    let trial = |&(name, rule): &Rule| {
        Trial::test(name, move || {
            rule().map_err(|error| Failed::from(format!("{error:#}")))
        })
        .with_ignored_flag(is_ignored)
    };
    rules.iter().map(trial).collect()
}

/// Runs them as the command line says.
#[must_use]
pub fn run(trials: Vec<Trial>) -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
