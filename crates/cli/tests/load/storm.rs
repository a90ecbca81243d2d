//! Hostile clients: the agent's own work goes on, and what they claim is given back.

use std::{
    fs,
    io::Write as _,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    agent::{Agent, PATIENCE},
    follower::{Follower, Kind},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// Connections that are never heard of again are kept open so many at a time.
const KEPT: usize = 200;
/// Streams that are never read.
const UNREAD: usize = 50;
/// Flows per second, for as long as the storm lasts.
const RATE: u32 = 2000;
/// Far more than a flow takes on a crowded machine, and far less than a stall.
const LATE: Duration = Duration::from_secs(10);
/// More than what the bounds leave to these clients.
const GROWTH_KIB: u64 = 128 * 1024;

/// One client of a storm, by turns: none of them behaves.
fn misbehave(agent: &Agent, turn: usize, kept: &mut Vec<UnixStream>) -> Result<()> {
    let mut client = UnixStream::connect(agent.socket())?;
    let bytes: Vec<u8> = match turn % 6 {
        0 => Vec::new(),
        1 => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        2 => PREFACE[..10].to_vec(),
        3 => [PREFACE, &SETTINGS].concat(),
        // A frame that claims to have 16 MiB.
        4 => [PREFACE, &SETTINGS, &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]].concat(),
        _ => [PREFACE, &SETTINGS, &[0xa5; 500]].concat(),
    };
    // The agent may be faster to hang up.
    drop(client.write_all(&bytes));
    if turn.is_multiple_of(2) {
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(client);
    }
    Ok(())
}

/// Descriptors that the agent has open.
fn open_files(agent: &Agent) -> Result<usize> {
    Ok(fs::read_dir(agent.process("fd"))?.count())
}

/// A storm of so many connections a second. Another follower loses nothing and waits for nothing.
pub(crate) async fn weather(rate: u32, time: Duration) -> Result<()> {
    flow_api::server::raise_open_files();
    let (agent, mut packets) = Agent::start(&["--ring-capacity", "65535"]).await?;
    let mut follower = Follower::open(&agent, Kind::Whole).await?;
    let files_before = open_files(&agent)?;
    let memory_before = agent.memory_kib("VmRSS")?;
    let mut unread = Vec::new();
    for _ in 0..UNREAD {
        unread.push(Follower::open(&agent, Kind::Whole).await?);
    }

    let writing = tokio::task::spawn_blocking(move || {
        packets.write_for(RATE, time)?;
        anyhow::Ok(packets)
    });
    let expected = RATE * time.as_secs() as u32;
    let reading = tokio::spawn(async move {
        let mut longest = Duration::ZERO;
        loop {
            let waiting = Instant::now();
            let next = tokio::time::timeout(PATIENCE, follower.next()).await;
            let number = next.context("the follower waits for ever")??;
            longest = longest.max(waiting.elapsed());
            if number == Some(expected - 1) {
                return anyhow::Ok((follower, longest));
            }
        }
    });
    let begun = Instant::now();
    let mut kept = Vec::new();
    let wanted = (time.as_secs() * u64::from(rate)) as usize;
    for turn in 0..wanted {
        misbehave(&agent, turn, &mut kept)?;
        let due = begun + Duration::from_secs(1) * turn as u32 / rate;
        tokio::time::sleep_until(due.into()).await;
    }
    let packets = writing.await??;
    ensure!(
        packets.written() == expected,
        "{} packets",
        packets.written()
    );
    let (follower, longest) = reading.await??;
    ensure!(
        follower.so_far.delivered == u64::from(expected),
        "flows were lost"
    );
    ensure!(longest < LATE, "a follower waited for {longest:?}");

    drop((kept, unread));
    let begun = Instant::now();
    // The follower's connection is among those from before; the rest is given back.
    while open_files(&agent)? > files_before {
        ensure!(
            begun.elapsed() < PATIENCE,
            "{} files are open",
            open_files(&agent)?
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let peak = agent.memory_kib("VmHWM")?;
    ensure!(
        peak < memory_before + GROWTH_KIB,
        "{memory_before} KiB before the storm, {peak} KiB at most"
    );
    Ok(())
}
