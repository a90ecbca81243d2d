//! What is in `deploy/` for Prometheus and Grafana: alerts and a dashboard, checked by `promtool`, and
//! against agents and a relay at work.
//!
//! Where that cannot run, for lack of a privilege or a program, the tests are shown as ignored and
//! the reason is printed; with the environment variable `CI` set they fail instead.

mod exposed;
mod files;
mod page;
mod rules;

use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use testbed::requirements::{self, Missing};

/// A test: its name is the rule, an error says how it was broken.
type Rule = (&'static str, fn() -> Result<()>);

fn main() -> Result<ExitCode> {
    testbed::remove_on_signals()?;

    let prometheus = requirements::for_prometheus();
    let both = [requirements::for_observed_cluster(), prometheus.clone()].concat();
    let all = [
        (files::RULES, Vec::new()),
        (rules::RULES, prometheus),
        (exposed::RULES, both),
    ];
    let trials = all
        .into_iter()
        .flat_map(|(rules, missing)| trials(rules, &missing))
        .collect();
    Ok(libtest_mimic::run(&Arguments::from_args(), trials).exit_code())
}

/// The rules as trials, to be ignored when something is missing that they need.
fn trials(rules: &[Rule], missing: &[Missing]) -> Vec<Trial> {
    let ignored = !missing.is_empty() && std::env::var_os("CI").is_none();
    let what = format!("{} tests of what is deployed", rules.len());
    if let Err(error) = requirements::check(&what, missing) {
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
    let trial = |&(name, rule): &Rule| {
        Trial::test(name, move || {
            rule().map_err(|error| Failed::from(format!("{error:#}")))
        })
        .with_ignored_flag(ignored)
    };
    rules.iter().map(trial).collect()
}
