//! A follow of peers that behave as badly as asked for. Whatever they do, each flow comes once.

use std::{sync::atomic::Ordering, time::Duration};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{
    client::{self, Account},
    parts::{Scene, asked_progress, runtime},
    peer::Behaviour,
};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 100)]
    peers: u32,
    /// Flows per second of each peer
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How wrong clocks are at most, as in 5ms
    #[arg(long, default_value = "0ms", value_parser = duration)]
    skew: Duration,
    /// How long it takes at most until a peer sends a flow
    #[arg(long, default_value = "0ms", value_parser = duration)]
    jitter: Duration,
    /// Part of the flows that are told as lost
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// Part of the peers whose connection breaks within a second
    #[arg(long, default_value_t = 0.0)]
    flap: f64,
    /// How often peers that have nothing to send say so; never, as Hubble's, if 0ms [default: as a
    /// relay asks so many peers: 10ms to 500ms]
    #[arg(long, value_parser = duration)]
    progress: Option<Duration>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let number = |text: &str| text.parse::<f64>().ok().filter(|it| *it >= 0.0);
    let seconds = match text.strip_suffix("ms") {
        Some(ms) => number(ms).map(|ms| ms / 1e3),
        None => text.strip_suffix('s').and_then(number),
    };
    let seconds = seconds.ok_or_else(|| "expected a time such as 20ms or 1.5s".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let progress = options
        .progress
        .unwrap_or_else(|| asked_progress(options.peers));
    let behaviour = Behaviour {
        rate: options.rate,
        skew: options.skew,
        jitter: options.jitter,
        loss: options.loss,
        flap: options.flap,
        progress: (!progress.is_zero()).then_some(progress),
        ..Behaviour::default()
    };
    let scene = Scene::start(options.peers, behaviour)?;
    let time = Duration::from_secs(options.seconds);
    runtime()?.block_on(async {
        let mut stream = scene.follow(options.peers).await?;
        let mut account = Account::default();
        let before = scene.relay.cpu()?;
        client::follow(&mut stream, &mut account, time, true).await?;
        let cpu = scene.relay.cpu()?.saturating_sub(before);
        let during = account.flows;
        scene.peers.quiet.store(true, Ordering::Relaxed);
        let wait = Duration::from_secs(1);
        client::follow(&mut stream, &mut account, wait, false).await?;
        let made = scene.peers.made.load(Ordering::Relaxed);
        // Peers that are away have to come back first.
        let patience = Duration::from_secs(30);
        client::rest(&mut stream, &mut account, made, patience).await?;
        account.must_be_once()?;
        let most = account
            .latencies
            .iter()
            .max()
            .copied()
            .context("no flows")?;
        let ms = |latency: Duration| latency.as_secs_f64() * 1e3;
        println!(
            "{} peers, {made} flows made, {} came, {} told lost, none twice, {} out of order",
            options.peers, account.flows, account.lost, account.inversions
        );
        println!(
            "{:.1} us of CPU per flow, {:.1} % of a core; p50 {:.1} ms, p99 {:.1} ms, at most \
             {:.1} ms; {:.0} MiB resident + {:.0} MiB of TCP, both ends",
            cpu.as_secs_f64() * 1e6 / during.max(1) as f64,
            cpu.as_secs_f64() * 100.0 / time.as_secs_f64(),
            ms(account.latency(0.5)),
            ms(account.latency(0.99)),
            ms(most),
            scene.relay.memory_kib("VmHWM")? as f64 / 1024.0,
            scene.relay.sockets_kib() as f64 / 1024.0
        );
        Ok(())
    })
}
