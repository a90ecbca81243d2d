//! What is in `deploy/` for Prometheus and Grafana: alerts and a dashboard, checked by `promtool`, and
//! against agents and a relay at work.
//!
//! Where that cannot run, for lack of a privilege or a program, the tests are shown as ignored and
//! the reason is printed; with the environment variable `CI` set they fail instead.

mod exposed;
mod files;
mod page;
mod promtool;

use std::process::ExitCode;

use anyhow::Result;
use testbed::{
    requirements,
    rules::{self, Rule},
};

fn main() -> Result<ExitCode> {
    testbed::remove_on_signals()?;

    let prometheus = requirements::for_prometheus();
    let both = [requirements::for_observed_cluster(), prometheus.clone()].concat();
    let all = [
        (files::RULES, Vec::new()),
        (promtool::RULES, prometheus),
        (exposed::RULES, both),
    ];
    let trials = all
        .into_iter()
        .flat_map(|(rules, missing)| {
            let what = format!("{} tests of what is deployed", rules.len());
            rules::trials(&what, rules, &missing)
        })
        .collect();
    Ok(rules::run(trials))
}
