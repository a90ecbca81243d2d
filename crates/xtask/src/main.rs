//! The project's tasks: `cargo xtask help` lists them.

mod bench;
mod deny;
mod fuzz;
mod probes;
mod workspace;

use clap::{Parser, Subcommand};

/// Tasks that take more than one cargo command.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run the benchmarks and print their figures
    Bench(bench::Options),
    /// Check licences, sources and known vulnerabilities of every dependency
    Deny,
    /// Run the fuzz targets; needs nothing but the compiler
    Fuzz(fuzz::Options),
    /// Follow mock peers through a relay: --peers, --rate, --skew, --jitter, --loss, --flap
    RelaySim {
        /// As `--help` tells
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build the eBPF programs and put their objects beside their source
    Probes {
        /// Compare with the objects that are checked in, and fail when one is out of date
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Bench(options) => bench::run(&options),
        Task::Deny => deny::run(),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::RelaySim { arguments } => bench::relay_sim(&arguments),
        Task::Probes { check } => probes::run(check),
    }
}
