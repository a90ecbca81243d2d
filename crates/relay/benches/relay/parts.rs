//! The parts of the benchmark, each beside the reference's figures and the goals.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use flow_api::observer::GetFlowsRequest;

use crate::{
    client::{self, Account},
    floor,
    peer::{Behaviour, Peers},
    process::{Process, raise_open_files},
};

/// What Hubble's ring holds where nobody says otherwise.
const HELD: u64 = 4095;
const MAX_HOLD: Duration = Duration::from_secs(1);
/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Peers; reference: us per flow for `--all`, us per flow and p99 in ms for a follow.
const REFERENCE: [(u32, f64, f64, f64); 4] = [
    (3, 17.3, 317.0, 337.0),
    (30, 14.0, 113.0, 36.0),
    (100, 14.0, 63.0, 14.0),
    (300, 15.9, 38.0, 31.0),
];

fn reference(peers: u32) -> Option<(u32, f64, f64, f64)> {
    REFERENCE.into_iter().find(|entry| entry.0 == peers)
}

#[derive(Debug, Args)]
pub(crate) struct AllOptions {
    #[arg(long, value_delimiter = ',', default_value = "3,30,100,300")]
    peers: Vec<u32>,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

#[derive(Debug, Args)]
pub(crate) struct FollowOptions {
    #[arg(long, value_delimiter = ',', default_value = "3,30,100,300")]
    peers: Vec<u32>,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Peers do not tell how far they are, as Hubble's
    #[arg(long)]
    hubble: bool,
}

#[derive(Debug, Args)]
pub(crate) struct IdleOptions {
    #[arg(long, default_value_t = 5000)]
    peers: u32,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

impl Default for AllOptions {
    fn default() -> Self {
        Self {
            peers: REFERENCE.iter().map(|entry| entry.0).collect(),
            rounds: 3,
        }
    }
}

impl Default for FollowOptions {
    fn default() -> Self {
        Self {
            peers: REFERENCE.iter().map(|entry| entry.0).collect(),
            seconds: 10,
            hubble: false,
        }
    }
}

impl Default for IdleOptions {
    fn default() -> Self {
        Self {
            peers: 5000,
            seconds: 10,
        }
    }
}

/// Peers, and a relay that has connected to all of them.
pub(crate) struct Scene {
    pub(crate) peers: Arc<Peers>,
    pub(crate) relay: Process,
}

impl Scene {
    pub(crate) fn start(count: u32, behaviour: Behaviour) -> Result<Self> {
        raise_open_files(count)?;
        let (peers, port) = Peers::start(count, behaviour)?;
        let relay = Process::start(count, port, MAX_HOLD)?;
        let began = Instant::now();
        // Flapping peers are never all there.
        let wanted = if behaviour.flap > 0.0 {
            count / 2
        } else {
            count
        };
        while peers.connections.load(Ordering::Relaxed) < wanted as usize {
            ensure!(began.elapsed() < PATIENCE, "the relay does not connect");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { peers, relay })
    }

    /// A follow that all peers have begun to answer.
    pub(crate) async fn follow(&self, count: u32) -> Result<tonic::Streaming<bytes::Bytes>> {
        let request = GetFlowsRequest {
            follow: true,
            ..GetFlowsRequest::default()
        };
        let stream = client::ask(&self.relay.address, request).await?;
        let began = Instant::now();
        let wanted = if self.peers.behaviour.flap > 0.0 {
            count / 2
        } else {
            count
        };
        while self.peers.asked.load(Ordering::Relaxed) < wanted as usize {
            ensure!(
                began.elapsed() < PATIENCE,
                "the relay does not ask all peers"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(stream)
    }
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

/// `--all`.
pub(crate) fn all(options: &AllOptions) -> Result<()> {
    println!("all: {HELD} flows of each peer, 722 bytes in the mean; median (smallest to largest)");
    println!("goal: 1.7 us, 0 inversions; 96 MiB at 300 peers");
    for &count in &options.peers {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            let behaviour = Behaviour {
                held: HELD,
                ..Behaviour::default()
            };
            let scene = Scene::start(count, behaviour)?;
            let before = scene.relay.cpu()?;
            let (account, wall) = runtime()?.block_on(client::all(&scene.relay.address))?;
            let cpu = scene.relay.cpu()?.saturating_sub(before);
            ensure!(account.inversions == 0, "{} inversions", account.inversions);
            account.must_be_once()?;
            let expected = u64::from(count) * HELD;
            ensure!(account.flows == expected, "{} of {expected}", account.flows);
            let resident = scene.relay.memory_kib("VmHWM")?;
            let sockets = scene.relay.sockets_kib();
            let us = cpu.as_secs_f64() * 1e6 / expected as f64;
            rounds.push((us, wall, resident, sockets));
        }
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (us, wall, resident, sockets) = rounds[rounds.len() / 2];
        let (least, most) = (rounds[0].0, rounds[rounds.len() - 1].0);
        println!(
            "{count:>5} peers: {us:.2} us of CPU per flow ({least:.2} to {most:.2}), \
             {:.2} s, 0 inversions, {:.0} MiB resident + {:.0} MiB of TCP, both ends{}",
            wall.as_secs_f64(),
            resident as f64 / 1024.0,
            sockets as f64 / 1024.0,
            reference(count).map_or(String::new(), |it| format!("; reference {} us", it.1))
        );
        let least = floor::all(count, HELD)?;
        println!(
            "{:>13} {least:.2} us for bare reads and writes of the same bytes",
            "floor:"
        );
    }
    Ok(())
}

/// 100 flows per second of each peer.
pub(crate) fn follow(options: &FollowOptions) -> Result<()> {
    println!("follow: 100 flows/s of each peer");
    println!("goal: p99 30 ms, a sixth of the reference's CPU, 0 inversions");
    for &count in &options.peers {
        let figures = followed(count, 100.0, options)?;
        let reference = reference(count).map_or(String::new(), |(_, _, us, p99)| {
            format!(
                "; reference {us} us, p99 {p99} ms; a sixth: {:.1} us",
                us / 6.0
            )
        });
        println!("{count:>5} peers: {figures}{reference}");
        let least = floor::follow(count, 100.0, Duration::from_secs(options.seconds.min(3)))?;
        println!(
            "{:>13} {least:.1} us for bare reads every 10 ms and writes",
            "floor:"
        );
    }
    Ok(())
}

/// 6 flows per second in all.
pub(crate) fn quiet(options: &FollowOptions) -> Result<()> {
    println!("quiet: 6 flows/s in all");
    println!("goal: p99 30 ms; reference: p99 16,783 ms");
    for &count in &options.peers {
        let figures = followed(count, 6.0 / f64::from(count), options)?;
        println!("{count:>5} peers: {figures}");
    }
    Ok(())
}

/// How often a relay asks so many peers to say how far they are.
pub(crate) fn asked_progress(peers: u32) -> Duration {
    Duration::from_millis((u64::from(peers) / 25).clamp(10, 500))
}

fn followed(count: u32, rate: f64, options: &FollowOptions) -> Result<String> {
    let progress = asked_progress(count);
    let behaviour = Behaviour {
        rate,
        progress: (!options.hubble).then_some(progress),
        ..Behaviour::default()
    };
    let scene = Scene::start(count, behaviour)?;
    let time = Duration::from_secs(options.seconds);
    runtime()?.block_on(async {
        let mut stream = scene.follow(count).await?;
        let mut account = Account::default();
        client::follow(&mut stream, &mut account, Duration::from_secs(2), false).await?;
        let (before, flows_before) = (scene.relay.cpu()?, account.flows);
        let waited_before = scene.relay.waited()?;
        client::follow(&mut stream, &mut account, time, true).await?;
        let cpu = scene.relay.cpu()?.saturating_sub(before);
        let flows = account.flows - flows_before;
        let waited = scene.relay.waited()?.saturating_sub(waited_before);
        scene.peers.quiet.store(true, Ordering::Relaxed);
        let made = async {
            // What was being made is made by then.
            client::follow(&mut stream, &mut account, Duration::from_millis(50), false).await?;
            anyhow::Ok(scene.peers.made.load(Ordering::Relaxed))
        };
        let made = made.await?;
        client::rest(&mut stream, &mut account, made, PATIENCE).await?;
        ensure!(account.inversions == 0, "{} inversions", account.inversions);
        account.must_be_once()?;
        let most = account
            .latencies
            .iter()
            .max()
            .copied()
            .context("no flows")?;
        let ms = |latency: Duration| latency.as_secs_f64() * 1e3;
        Ok(format!(
            "{:.1} us of CPU per flow, {:.1} % of a core, p50 {:.1} ms, p99 {:.1} ms, \
             at most {:.1} ms, 0 inversions, {:.0} MiB, {:.1} % waiting for a processor",
            cpu.as_secs_f64() * 1e6 / flows as f64,
            cpu.as_secs_f64() * 100.0 / time.as_secs_f64(),
            ms(account.latency(0.5)),
            ms(account.latency(0.99)),
            ms(most),
            scene.relay.memory_kib("VmHWM")? as f64 / 1024.0,
            waited.as_secs_f64() * 100.0 / time.as_secs_f64()
        ))
    })
}

/// Peers that nobody asks.
pub(crate) fn idle(options: &IdleOptions) -> Result<()> {
    let scene = Scene::start(options.peers, Behaviour::default())?;
    std::thread::sleep(Duration::from_secs(2));
    let before = scene.relay.cpu()?;
    std::thread::sleep(Duration::from_secs(options.seconds));
    let cpu = scene.relay.cpu()?.saturating_sub(before);
    println!(
        "idle: {} peers: {:.0} MiB resident + {:.0} MiB of TCP, {:.2} % of a core; \
         goal at 5,000: 500 MiB, 5 %",
        options.peers,
        scene.relay.memory_kib("VmRSS")? as f64 / 1024.0,
        scene.relay.sockets_kib() as f64 / 1024.0,
        cpu.as_secs_f64() * 100.0 / options.seconds as f64
    );
    Ok(())
}
