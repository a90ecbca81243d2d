//! Many followers of one agent, over a connection each: filtered ones, some that want everything,
//! some that read slowly. Each has to be given, or told to have lost, exactly what was written.
//!
//! ```text
//! cargo bench -p palomar --bench followers -- --followers 1000 --rate 50000 --seconds 60
//! ```

#[path = "../tests/load/agent.rs"]
mod agent;
#[path = "../tests/load/follower.rs"]
mod follower;
#[path = "../tests/load/run.rs"]
mod run;

use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use crate::run::Load;

#[derive(Debug, Parser)]
struct Options {
    #[arg(long, default_value_t = 1000)]
    followers: usize,
    /// Of the followers, those that read everything as fast as they can
    #[arg(long, default_value_t = 2)]
    whole: usize,
    /// Of the followers, those that read everything slowly
    #[arg(long, default_value_t = 100)]
    slow: usize,
    /// Flows per second
    #[arg(long, default_value_t = 50_000)]
    rate: u32,
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    #[arg(long, default_value_t = 65_535)]
    ring_capacity: usize,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let load = Load {
        followers: options.followers,
        whole: options.whole,
        slow: options.slow,
        rate: options.rate,
        time: Duration::from_secs(options.seconds),
        ring_capacity: options.ring_capacity,
    };
    println!("{}", load.run().await?);
    Ok(())
}
