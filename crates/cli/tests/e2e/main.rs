//! The whole of Palomar on a real kernel: clusters in network namespaces, known traffic, agents
//! with probes, a relay, and the command line as the judge of what was seen.
//!
//! Where that cannot run, for lack of a privilege or a program, the tests are shown as ignored and
//! the reason is printed; with the environment variable `CI` set they fail instead.

mod curl;
mod demo;
mod doctor;
mod drops;
mod errors;
mod exact;
mod hosts;
mod kubernetes;
mod left;
mod names;
mod observed;
mod oracle;
mod palomar;
mod privileges;
mod queries;
mod relay;
mod requests;
mod seen;
mod who;

use std::process::ExitCode;

use anyhow::Result;
use testbed::{
    requirements,
    rules::{self, Rule},
};

fn main() -> Result<ExitCode> {
    testbed::remove_on_signals()?;

    let cluster = requirements::for_observed_cluster();
    let captures = [cluster.clone(), requirements::for_captures()].concat();
    let programs = [cluster.clone(), requirements::for_names()].concat();
    let in_clusters = [
        exact::RULES,
        drops::RULES,
        relay::RULES,
        queries::RULES,
        requests::RULES,
        demo::RULES,
        doctor::RULES,
        privileges::RULES,
        who::RULES,
        hosts::RULES,
    ];
    let all = [
        (in_clusters.concat(), cluster),
        (oracle::RULES.to_vec(), captures),
        ([names::RULES, curl::RULES].concat(), programs),
        // What goes wrong before anything privileged is tried can be seen by everyone.
        (errors::RULES.to_vec(), Vec::new()),
        (kubernetes::RULES.to_vec(), Vec::new()),
    ];
    let trials = all
        .into_iter()
        .flat_map(|(rules, missing)| {
            let what = format!("{} end-to-end tests", rules.len());
            rules::trials(&what, &rules, &missing)
        })
        .collect();
    Ok(rules::run(trials))
}
