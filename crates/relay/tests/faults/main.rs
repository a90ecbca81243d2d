//! A relay whose nodes, clients and network fail: what clients see of it, and what it costs.
//!
//! The relay is a process of its own, so that its memory can be told; so is a node that is stopped.
//! All flows have numbers, by which lost and doubled ones are found, and the time at which they were
//! made, by which late ones are.
//!
//! Where there can be no network namespaces, the tests that need them are shown as ignored and the
//! reason is printed; with the environment variable `CI` set they fail instead.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

mod clients;
mod lies;
mod links;
mod node;
mod proxy;
mod relay_process;
mod returns;
#[path = "../cluster/support/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "what only tests within one process need"
)]
mod support;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use testbed::requirements;

/// A test: its name is the rule, an error says how it was broken.
type Rule = (&'static str, fn() -> Result<()>);

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// From a flow's time until a client has it, of nodes that are well: the relay's hold of a second, and
/// two for a machine that is busy.
const PROMPT: Duration = Duration::from_secs(3);

/// Most tests wait most of the time.
const AT_ONCE: usize = 4;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(relay_process::ROLE) => {
            return relay_process::run(&arguments[1..]).map(|()| ExitCode::SUCCESS);
        }
        Some(node::ROLE) => return node::run(&arguments[1..]).map(|()| ExitCode::SUCCESS),
        _ => {}
    }
    testbed::remove_on_signals()?;
    let missing = requirements::for_cluster();
    let ignored = !missing.is_empty() && std::env::var_os("CI").is_none();
    if let Err(error) = requirements::check("faults of networks", &missing) {
        eprintln!("\n{error}\n");
    }
    let anywhere = [lies::RULES, returns::RULES, clients::RULES].concat();
    let trials = links::RULES
        .iter()
        .map(|rule| trial(*rule).with_ignored_flag(ignored))
        .chain(anywhere.into_iter().map(trial))
        .collect();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

fn trial((name, rule): Rule) -> Trial {
    Trial::test(name, move || {
        rule()
            .context(name)
            .map_err(|error| Failed::from(format!("{error:#}")))
    })
}
