//! Many followers of one agent: everybody is given, or told to have lost, exactly what was written.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    agent::{Agent, PATIENCE, PORTS, Packets},
    follower::{Account, Follower, Kind},
};

/// Connections that are opened at the same time.
const OPENING: usize = 16;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) followers: usize,
    /// Of the followers, those that read everything as fast as they can.
    pub(crate) whole: usize,
    /// Of the followers, those that read everything slowly.
    pub(crate) slow: usize,
    /// Flows per second.
    pub(crate) rate: u32,
    pub(crate) time: Duration,
    pub(crate) ring_capacity: usize,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Report {
    load: Load,
    pub(crate) written: u32,
    pub(crate) accounts: Vec<Account>,
    wrote_for: Duration,
    cpu: Duration,
    peak_kib: u64,
    idle_kib: u64,
}

impl Load {
    fn kind(&self, index: usize) -> Kind {
        if index < self.whole {
            Kind::Whole
        } else if index < self.whole + self.slow {
            Kind::Slow
        } else {
            let number = index as u32 % PORTS;
            Kind::Filtered {
                port: Packets::port(number),
            }
        }
    }

    /// Runs it. Accounts that do not add up are an error.
    pub(crate) async fn run(self) -> Result<Report> {
        flow_api::server::raise_open_files();
        let capacity = self.ring_capacity.to_string();
        let (agent, mut packets) = Agent::start(&["--ring-capacity", &capacity]).await?;
        let opening =
            stream::iter(0..self.followers).map(|index| Follower::open(&agent, self.kind(index)));
        let followers: Vec<_> = opening.buffer_unordered(OPENING).try_collect().await?;
        let idle_kib = agent.memory_kib("VmRSS")?;

        let (tell, written) = watch::channel(None);
        let mut reading = JoinSet::new();
        for follower in followers {
            reading.spawn(follower.account(written.clone()));
        }
        let (begun, cpu_before) = (Instant::now(), agent.cpu()?);
        let writing = tokio::task::spawn_blocking(move || {
            packets.write_for(self.rate, self.time)?;
            anyhow::Ok(packets)
        });
        let mut packets = writing.await??;
        let wrote_for = begun.elapsed();
        all_seen(&agent, packets.written()).await?;
        let cpu = agent.cpu()?.saturating_sub(cpu_before);
        // A last one for each port, so that everybody can tell the end.
        packets.write(PORTS)?;
        all_seen(&agent, packets.written()).await?;
        tell.send_replace(Some(packets.written()));
        let mut accounts = Vec::new();
        while let Some(account) = reading.join_next().await {
            accounts.push(account??);
        }
        Ok(Report {
            load: self,
            written: packets.written(),
            accounts,
            wrote_for,
            cpu,
            peak_kib: agent.memory_kib("VmHWM")?,
            idle_kib,
        })
    }
}

async fn all_seen(agent: &Agent, written: u32) -> Result<()> {
    let begun = Instant::now();
    loop {
        let seen = agent.seen_flows().await.context("the agent is asked")?;
        ensure!(seen <= written.into(), "{seen} flows of {written} packets");
        if seen == u64::from(written) {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "{seen} of {written} packets seen"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.wrote_for.as_secs_f64();
        writeln!(
            f,
            "{} flows in {seconds:.1} s ({:.0}/s) to {} followers, ring of {}",
            self.written,
            f64::from(self.written) / seconds,
            self.load.followers,
            self.load.ring_capacity
        )?;
        type Is = fn(Kind) -> bool;
        let kinds: [(&str, Is); 3] = [
            ("filtered", |it| matches!(it, Kind::Filtered { .. })),
            ("whole", |it| it == Kind::Whole),
            ("slow", |it| it == Kind::Slow),
        ];
        for (name, is) in kinds {
            let of_kind: Vec<_> = self.accounts.iter().filter(|it| is(it.kind)).collect();
            if of_kind.is_empty() {
                continue;
            }
            let without_loss = of_kind.iter().filter(|it| it.lost == 0).count();
            let sum = |of: fn(&Account) -> u64| of_kind.iter().map(|it| of(it)).sum::<u64>();
            writeln!(
                f,
                "{name}: {} followers, {without_loss} without a loss, {} delivered, {} told lost",
                of_kind.len(),
                sum(|it| it.delivered),
                sum(|it| it.lost)
            )?;
        }
        let delays = self.accounts.iter().flat_map(|it| &it.delays_us);
        let mut delays_us: Vec<_> = delays.copied().collect();
        delays_us.sort_unstable();
        let delay_ms = |part: usize| {
            let index = (delays_us.len() * part / 1000).min(delays_us.len().saturating_sub(1));
            f64::from(delays_us.get(index).copied().unwrap_or(0)) / 1000.0
        };
        let (half, most, last) = (delay_ms(500), delay_ms(990), delay_ms(1000));
        writeln!(
            f,
            "from packet to filtered follower: {half:.1} ms median, {most:.1} ms p99, {last:.1} ms at most"
        )?;
        write!(
            f,
            "agent: {:.2} cores, {:.0} MiB at most, {:.0} MiB with idle followers",
            self.cpu.as_secs_f64() / seconds,
            self.peak_kib as f64 / 1024.0,
            self.idle_kib as f64 / 1024.0
        )
    }
}
