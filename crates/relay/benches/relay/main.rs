//! What a relay costs between mock peers and a client: CPU, memory, order, latency. The relay is a
//! process of its own, so that only its own work counts.
//!
//! ```text
//! cargo xtask bench relay [all|follow|quiet|idle]
//! cargo xtask relay-sim --peers 1000 --rate 10 --skew 5ms --jitter 20ms --loss 0.01 --flap 0.1
//! ```

mod client;
mod connection;
mod floor;
mod message;
mod parts;
mod peer;
mod process;
mod sim;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "relay")]
struct Options {
    /// Given by cargo
    #[arg(long, hide = true, global = true)]
    bench: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Everything that 3, 30, 100 and 300 peers hold
    All(parts::AllOptions),
    /// A follow of 100 flows/s of each peer
    Follow(parts::FollowOptions),
    /// A follow of 6 flows/s in all
    Quiet(parts::FollowOptions),
    /// 5,000 peers that nobody asks
    Idle(parts::IdleOptions),
    /// A follow of peers that behave as badly as asked for
    Sim(sim::Options),
    #[command(hide = true)]
    Child(process::ChildOptions),
    #[command(hide = true)]
    Floor(floor::ChildOptions),
}

fn main() -> Result<()> {
    match Options::parse().part {
        None => {
            parts::all(&parts::AllOptions::default())?;
            parts::follow(&parts::FollowOptions::default())?;
            parts::quiet(&parts::FollowOptions::default())?;
            parts::idle(&parts::IdleOptions::default())
        }
        Some(Part::All(options)) => parts::all(&options),
        Some(Part::Follow(options)) => parts::follow(&options),
        Some(Part::Quiet(options)) => parts::quiet(&options),
        Some(Part::Idle(options)) => parts::idle(&options),
        Some(Part::Sim(options)) => sim::run(&options),
        Some(Part::Child(options)) => process::run(&options),
        Some(Part::Floor(options)) => floor::child(&options),
    }
}
