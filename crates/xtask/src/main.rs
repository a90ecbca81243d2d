//! The project's tasks: `cargo xtask help` lists them.

mod deny;
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
    /// Check licences, sources and known vulnerabilities of every dependency
    Deny,
    /// Build the eBPF programs and put their objects beside their source
    Probes {
        /// Compare with the objects that are checked in, and fail when one is out of date
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Deny => deny::run(),
        Task::Probes { check } => probes::run(check),
    }
}
