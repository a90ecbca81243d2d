//! From the ring to a client of `GetFlows`: what the server's processor time is per flow.
//!
//! A ring of 65,535 flows (see [`flows`]) is served over a Unix socket to a client in a process of its own,
//! which counts what it gets and throws it away. The time is that of the whole serving process, all
//! threads: of the first client, which has the flows encoded, of those that come later, of one with
//! a field mask, and of filters that match nothing, where only the scan is left. The floor is writing the
//! same bytes to a socket, without HTTP; that of scans is to look at nothing but the time of each flow.
//! Scans are also measured by the clock, with all processors and with one.

mod client;
mod flows;

use std::{
    hint::black_box,
    io::Write as _,
    os::unix::net::UnixListener,
    path::Path,
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use flow_api::server::{Listener, SocketAccess};
use flow_observer::{
    ring::{FlowRing, Read},
    serve_ring,
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use tokio_util::sync::CancellationToken;

use client::{Answer, Client};
use flows::FLOWS;

/// Rounds of everything; each has a ring of its own.
const ROUNDS: usize = 5;
/// Times that later clients come in a round.
const REPEATS: usize = 3;
/// Hubble's server, us of processor time per flow sent (Cilium 1.19's hot path, typed again).
const HUBBLE_US: f64 = 5.6;
/// The same of a scan with one selective filter, where it is quickest: us per flow held.
const HUBBLE_SCAN_US: f64 = 0.3;
const WALK: &str = "floor: a bare walk over the flows";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|it| it == client::ARGUMENT) {
        return client::run();
    }
    let mut figures = Figures::default();
    for _ in 0..ROUNDS {
        round(&mut figures)?;
    }
    let cores = available_parallelism()?;
    // Threads that are made from now on stay there as well.
    let mut one = CpuSet::new();
    one.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &one)?;
    let mut on_one = Figures::default();
    for _ in 0..ROUNDS {
        round(&mut on_one)?;
    }
    figures.print();
    println!("{:36} {HUBBLE_US:8.3}", "for comparison: Hubble");
    println!(
        "\n{:36} {:>9} {:>12} {:>12}",
        "M flows/s",
        "per core",
        "on one core",
        format!("on {cores} cores"),
    );
    for (scan, on_one) in figures.scans().zip(on_one.scans()) {
        println!(
            "{:36} {:9.1} {:12.1} {:12.1}",
            scan.name,
            1.0 / scan.median(|it| it.cpu_us),
            1.0 / on_one.median(|it| it.us),
            1.0 / scan.median(|it| it.us),
        );
    }
    println!(
        "{:36} {:9.1}",
        "for comparison: Hubble, one entry",
        1.0 / HUBBLE_SCAN_US
    );
    Ok(())
}

/// What something took for each flow.
#[derive(Clone, Copy)]
struct Cost {
    /// Of all threads of this process together.
    cpu_us: f64,
    /// By the clock.
    us: f64,
}

struct Figure {
    name: &'static str,
    costs: Vec<Cost>,
}

impl Figure {
    fn median(&self, of: impl Fn(&Cost) -> f64) -> f64 {
        let values = self.sorted(of);
        values[values.len() / 2]
    }

    fn sorted(&self, of: impl Fn(&Cost) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> = self.costs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    }
}

#[derive(Default)]
struct Figures(Vec<Figure>);

impl Figures {
    fn add(&mut self, name: &'static str, cost: Cost) {
        match self.0.iter_mut().find(|it| it.name == name) {
            Some(figure) => figure.costs.push(cost),
            None => self.0.push(Figure {
                name,
                costs: vec![cost],
            }),
        }
    }

    fn scans(&self) -> impl Iterator<Item = &Figure> {
        self.0
            .iter()
            .filter(|it| it.name.starts_with("scan") || it.name == WALK)
    }

    fn print(&self) {
        println!(
            "\n{:36} {:>8} {:>8} {:>8}",
            "us per flow", "median", "min", "max"
        );
        for figure in &self.0 {
            let values = figure.sorted(|it| it.cpu_us);
            let (median, last) = (values[values.len() / 2], values[values.len() - 1]);
            println!(
                "{:36} {median:8.3} {:8.3} {last:8.3}",
                figure.name, values[0]
            );
        }
    }
}

/// One ring from the first client on.
fn round(figures: &mut Figures) -> Result<()> {
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

    let (first, cost) = timed(|| client.ask("whole", &path))?;
    ensure!(first.flows == FLOWS as u64, "{first:?}");
    figures.add("first time", cost);
    for _ in 0..REPEATS {
        let (again, cost) = timed(|| client.ask("whole", &path))?;
        ensure!(again == first, "{again:?} after {first:?}");
        figures.add("once encoded", cost);
    }
    let encoded = resident_bytes()?;
    let (masked, cost) = timed(|| client.ask("masked", &path))?;
    ensure!(
        masked.flows == first.flows && masked.bytes < first.bytes / 2,
        "{masked:?}"
    );
    figures.add("masked", cost);
    for (request, name) in client::SCANS {
        let (none, cost) = timed(|| client.ask(request, &path))?;
        ensure!(none.flows == 0, "{request}: {none:?}");
        figures.add(name, cost);
    }
    figures.add(WALK, timed(|| walk(&ring))?.1);
    figures.add(
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

/// What something costs that is done with all flows.
fn timed<T>(what: impl FnOnce() -> Result<T>) -> Result<(T, Cost)> {
    let us_per_flow = |taken: Duration| taken.as_secs_f64() * 1e6 / FLOWS as f64;
    let begin = Instant::now();
    let before = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    let result = what()?;
    let after = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    let cost = Cost {
        cpu_us: us_per_flow(Duration::from(after) - Duration::from(before)),
        us: us_per_flow(begin.elapsed()),
    };
    Ok((result, cost))
}

/// Looks at the time of every flow, and at nothing else.
fn walk(ring: &FlowRing) -> Result<()> {
    let (mut position, mut flows, mut newest_ns) = (ring.oldest(), 0, 0);
    while let Read::Batch(batch) = ring.read(position) {
        for slot in batch.from(position) {
            newest_ns = newest_ns.max(black_box(slot).event.time_ns());
            flows += 1;
        }
        position = batch.end();
    }
    ensure!(flows == FLOWS && newest_ns > 0, "{flows} flows");
    Ok(())
}

/// As many bytes in large writes.
fn floor(client: &mut Client, first: &Answer, path: &Path) -> Result<Cost> {
    const WRITE: usize = 64 * 1024;
    let listener = UnixListener::bind(path)?;
    let bytes = vec![7; first.bytes as usize];
    let (drained, cost) = timed(|| {
        client.begin("floor", path)?;
        let (mut socket, _) = listener.accept()?;
        for part in bytes.chunks(WRITE) {
            socket.write_all(part)?;
        }
        drop(socket);
        client.answer()
    })?;
    ensure!(drained.bytes == first.bytes, "{drained:?}");
    Ok(cost)
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
