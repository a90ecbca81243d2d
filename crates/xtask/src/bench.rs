//! `cargo xtask bench`: runs the benchmarks, of which docs/benchmarks.md tells.

use std::process::Command;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

use crate::workspace;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only this one
    bench: Option<Bench>,
    /// Passed on to it, as a part of `probes`: test-run, traffic, iperf or sustained; or options, as
    /// those of `followers`: --followers 1000 --rate 50000 --seconds 60
    #[arg(
        requires = "bench",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    arguments: Vec<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Bench {
    /// From records to headers
    Decode,
    /// Who is who among 100,000 endpoints
    Enrich,
    /// From records to flows in the ring
    Pipeline,
    /// Publishing into the flow ring, and reading from it
    Ring,
    /// From the ring to a client of `GetFlows`
    Serve,
    /// From the ring to a file of JSON
    Export,
    /// From the ring to the counters of all metrics, and a page of 100,000 series
    Metrics,
    /// What a full ring takes
    Memory,
    /// What the probes cost packets and connections, and the rate they sustain; needs root
    Probes,
    /// The memory of an idle agent; needs root
    Idle,
    /// 1,000 followers of 50,000 flows/s for a minute
    Followers,
    /// A relay between mock peers and a client
    Relay,
    /// Flows of a file, and of a server, to standard output
    Offline,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let root = workspace::root()?;
    let chosen = match options.bench {
        Some(bench) => vec![bench],
        None => Bench::value_variants().to_vec(),
    };
    if chosen.contains(&Bench::Probes) {
        install_iperf()?;
    }
    for bench in chosen {
        let (package, name) = match bench {
            Bench::Decode => ("flow-observer", "decode"),
            Bench::Enrich => ("flow-observer", "enrich"),
            Bench::Pipeline => ("flow-observer", "pipeline"),
            Bench::Ring => ("flow-observer", "ring"),
            Bench::Serve => ("flow-observer", "serve"),
            Bench::Export => ("flow-observer", "export"),
            Bench::Metrics => ("flow-observer", "metrics"),
            Bench::Memory => ("flow-observer", "memory"),
            Bench::Probes => ("flow-observer", "probes"),
            Bench::Idle => ("palomar", "idle"),
            Bench::Followers => ("palomar", "followers"),
            Bench::Relay => ("relay", "relay"),
            Bench::Offline => ("palomar", "offline"),
        };
        let mut cargo = Command::new("cargo");
        cargo
            .current_dir(&root)
            .args(["bench", "--package", package, "--bench", name]);
        if package == "flow-observer" {
            // The same features for all of them, so that nothing is built twice.
            cargo.args(["--features", "probes"]);
        }
        cargo.arg("--").args(&options.arguments);
        workspace::run(&mut cargo)?;
    }
    Ok(())
}

/// `cargo xtask relay-sim`: mock peers that misbehave.
pub(crate) fn relay_sim(arguments: &[String]) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(workspace::root()?)
        .args([
            "bench",
            "--package",
            "relay",
            "--bench",
            "relay",
            "--",
            "sim",
        ])
        .args(arguments);
    workspace::run(&mut cargo)
}

/// The one program that the benchmarks need and the tests do not.
fn install_iperf() -> Result<()> {
    if Command::new("iperf3").arg("--version").output().is_ok() {
        return Ok(());
    }
    println!("installing iperf3");
    workspace::run(Command::new("apt-get").args(["update", "-qq"]))?;
    workspace::run(
        Command::new("apt-get")
            .args(["install", "-qq", "--no-install-recommends", "iperf3"])
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
    .context("cannot install iperf3: as root, `apt-get install iperf3`")
}
