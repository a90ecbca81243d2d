//! From the ring to a client of `GetFlows`: what the server's processor time is per flow.
//!
//! A ring of 65,535 flows (see [`flows`]) is served over a Unix socket to a client in a process of its own,
//! which counts what it gets and throws it away. The time is that of the whole serving process, all
//! threads: of the first client, which has the flows encoded, of those that come later, of one with
//! a field mask, and of filters that match nothing, where only the scan is left. The floor is writing the
//! same bytes to a socket, without HTTP.

mod client;
mod flows;

use std::{io::Write as _, os::unix::net::UnixListener, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use flow_api::server::{Listener, SocketAccess};
use flow_observer::{ring::FlowRing, serve_ring};
use nix::time::{ClockId, clock_gettime};
use tokio_util::sync::CancellationToken;

use client::{Answer, Client};
use flows::FLOWS;

/// Rounds of everything; each has a ring of its own.
const ROUNDS: usize = 5;
/// Times that later clients come in a round.
const REPEATS: usize = 3;
/// Hubble's server, us of processor time per flow sent (Cilium 1.19's hot path, typed again).
const HUBBLE_US: f64 = 5.6;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|it| it == client::ARGUMENT) {
        return client::run();
    }
    let mut figures: Vec<(&str, Vec<f64>)> = Vec::new();
    for _ in 0..ROUNDS {
        round(
            &mut |name, us| match figures.iter_mut().find(|it| it.0 == name) {
                Some((_, values)) => values.push(us),
                None => figures.push((name, vec![us])),
            },
        )?;
    }
    println!(
        "\n{:36} {:>8} {:>8} {:>8}",
        "us per flow", "median", "min", "max"
    );
    for (name, values) in &mut figures {
        values.sort_by(f64::total_cmp);
        let (median, last) = (values[values.len() / 2], values[values.len() - 1]);
        print!("{name:36} {median:8.3} {:8.3} {last:8.3}", values[0]);
        let rate = if name.starts_with("scan") {
            1.0 / median
        } else {
            0.0
        };
        println!(
            "{}",
            if rate > 0.0 {
                format!("  {rate:6.1} M flows/s per core")
            } else {
                String::new()
            }
        );
    }
    println!("{:36} {HUBBLE_US:8.3}", "for comparison: Hubble");
    Ok(())
}

/// One ring from the first client on.
fn round(figure: &mut impl FnMut(&'static str, f64)) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("observer.sock");
    let empty = resident_bytes()?;
    let ring = Arc::new(FlowRing::new(FLOWS));
    let metadata = flows::fill(&ring);
    let filled = resident_bytes()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let closing = CancellationToken::new();
    let listener = runtime.block_on(Listener::unix(&path, &SocketAccess::default()))?;
    let (served, token) = (Arc::clone(&ring), closing.clone());
    let server = runtime.spawn(async move { serve_ring(listener, served, "node-1", token).await });
    let mut client = Client::start()?;

    let (first, us) = timed(|| client.ask("whole", &path))?;
    ensure!(first.flows == FLOWS as u64, "{first:?}");
    figure("first time", us);
    for _ in 0..REPEATS {
        let (again, us) = timed(|| client.ask("whole", &path))?;
        ensure!(again == first, "{again:?} after {first:?}");
        figure("once encoded", us);
    }
    let encoded = resident_bytes()?;
    let (masked, us) = timed(|| client.ask("masked", &path))?;
    ensure!(
        masked.flows == first.flows && masked.bytes < first.bytes / 2,
        "{masked:?}"
    );
    figure("masked", us);
    for (request, name) in client::SCANS {
        let (none, us) = timed(|| client.ask(request, &path))?;
        ensure!(none.flows == 0, "{request}: {none:?}");
        figure(name, us);
    }
    figure(
        "floor: the bytes to a socket",
        floor(&mut client, &first, &directory.path().join("floor"))?,
    );
    closing.cancel();
    drop(client);
    runtime.block_on(server)??;
    runtime.shutdown_timeout(Duration::from_secs(5));

    let each = |bytes: u64| bytes / FLOWS as u64;
    println!(
        "per flow: {} bytes in the ring, {} with the encoded form, of which {} are the responses; \
         {} bytes of shared metadata in all",
        each(filled.saturating_sub(empty)),
        each(encoded.saturating_sub(empty)),
        each(first.bytes),
        metadata,
    );
    Ok(())
}

/// Processor time of this process while something is done, in us per flow.
fn timed<T>(what: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let before = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    let result = what()?;
    let after = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    let taken = Duration::from(after) - Duration::from(before);
    Ok((result, taken.as_secs_f64() * 1e6 / FLOWS as f64))
}

/// As many bytes in large writes.
fn floor(client: &mut Client, first: &Answer, path: &Path) -> Result<f64> {
    const WRITE: usize = 64 * 1024;
    let listener = UnixListener::bind(path)?;
    let bytes = vec![7; first.bytes as usize];
    let (drained, us) = timed(|| {
        client.begin("floor", path)?;
        let (mut socket, _) = listener.accept()?;
        for part in bytes.chunks(WRITE) {
            socket.write_all(part)?;
        }
        drop(socket);
        client.answer()
    })?;
    ensure!(drained.bytes == first.bytes, "{drained:?}");
    Ok(us)
}

fn resident_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes
        .context("no VmRSS in /proc/self/status")?
        .parse::<u64>()?
        * 1024)
}
