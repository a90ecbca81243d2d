//! Part `traffic`: what a run of the programs takes when packets of a TCP connection come by, as
//! the kernel's own statistics of programs tell.
//!
//! Each packet is seen twice, once on each pod's device. Frames are those that a network device
//! would get (1500 bytes), or as large as the kernel makes them between namespaces.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::sys::{Stats, enable_stats};
use flow_observer::source::probes::{Aggregation, ProbeConfig};
use testbed::{Node, Pod, bind};

use crate::{
    cluster,
    figures::Figures,
    observer::Observer,
    programs::{Floor, attached},
    test_run::ratio,
};

const ROUNDS: usize = 5;
const FOR: Duration = Duration::from_secs(1);
const PORT: u16 = 5201;

/// What is attached.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    Nothing,
    LeastFlow,
    LeastRecord,
    Aggregated,
    Reported,
}

const KINDS: [Kind; 5] = [
    Kind::Nothing,
    Kind::LeastFlow,
    Kind::LeastRecord,
    Kind::Aggregated,
    Kind::Reported,
];

pub(crate) fn run() -> Result<()> {
    let cluster = cluster()?;
    let node = cluster.nodes().first().context("a cluster without nodes")?;
    let (client, server) = (cluster.pod("shop/web-0")?, cluster.pod("shop/cart-0")?);
    // Off again when the descriptor is closed, unless somebody else has them on.
    let _statistics = enable_stats(Stats::RunTime)?;
    for (frames, segments) in [("1500 bytes", 1u32), ("as the kernel likes", 65_535)] {
        for pod in [client, server] {
            set_segments(pod, segments)?;
        }
        let mut figures: BTreeMap<Kind, Figures> = BTreeMap::new();
        for _ in 0..ROUNDS {
            for kind in KINDS {
                figures
                    .entry(kind)
                    .or_default()
                    .add(measure(kind, node, client, server)?);
            }
        }
        println!("frames: {frames}; ns per run, median of {ROUNDS} rounds (smallest to largest)");
        let of = |kind| &figures[&kind];
        println!("  no program at all            {}", of(Kind::Nothing));
        println!("  least: flow table            {}", of(Kind::LeastFlow));
        println!("  least: flow table and record {}", of(Kind::LeastRecord));
        println!(
            "  aggregated packet            {}  {}",
            of(Kind::Aggregated),
            ratio(of(Kind::Aggregated), of(Kind::LeastFlow))
        );
        println!(
            "  reported packet              {}  {}",
            of(Kind::Reported),
            ratio(of(Kind::Reported), of(Kind::LeastRecord))
        );
    }
    Ok(())
}

/// Nanoseconds per run.
fn measure(kind: Kind, node: &Node, client: &Pod, server: &Pod) -> Result<f64> {
    let aggregation = match kind {
        Kind::Nothing => return floor("nothing", node, client, server),
        Kind::LeastFlow => return floor("flow", node, client, server),
        Kind::LeastRecord => return floor("record", node, client, server),
        Kind::Aggregated => Aggregation::Medium,
        Kind::Reported => Aggregation::None,
    };
    let config = ProbeConfig {
        aggregation,
        ..ProbeConfig::default()
    };
    let observer = Observer::start(node, &config, None)?;
    let cost = cost_of(node, client, server, || {});
    observer.end()?;
    cost
}

fn floor(name: &'static str, node: &Node, client: &Pod, server: &Pod) -> Result<f64> {
    let mut floor = Floor::load(name)?;
    let links = floor.attach(node)?;
    let cost = cost_of(node, client, server, || {
        floor.drain();
    });
    drop(links);
    cost
}

/// Lets a connection run, and tells what the programs took per run meanwhile.
fn cost_of(node: &Node, client: &Pod, server: &Pod, drain: impl FnMut()) -> Result<f64> {
    let before = totals(node)?;
    transfer(client, server, drain)?;
    let after = totals(node)?;
    let runs = after.1 - before.1;
    ensure!(runs > 1_000, "{runs} runs");
    Ok((after.0 - before.0).as_nanos() as f64 / runs as f64)
}

/// Time and runs of all programs on the pods' devices.
fn totals(node: &Node) -> Result<(Duration, u64)> {
    let programs = attached(node)?;
    Ok((
        programs.iter().map(|it| it.run_time()).sum(),
        programs.iter().map(|it| it.run_count()).sum(),
    ))
}

/// Sends for a while, as fast as it goes. What arrives is what was sent.
fn transfer(client: &Pod, server: &Pod, mut drain: impl FnMut()) -> Result<()> {
    const BLOCK: usize = 128 << 10;
    let to = SocketAddr::new(server.ipv4().into(), PORT);
    let listener = server.run(|| Ok(bind::tcp(to)?))?;
    let received = thread::spawn(move || -> Result<usize> {
        let (mut stream, _) = listener.accept()?;
        let (mut block, mut received) = (vec![0; BLOCK], 0);
        loop {
            match stream.read(&mut block)? {
                0 => return Ok(received),
                more => received += more,
            }
        }
    });
    let mut stream = client.run(|| Ok(TcpStream::connect(to)?))?;
    let sending = thread::spawn(move || -> Result<usize> {
        let (block, mut sent, began) = (vec![0x55; BLOCK], 0, Instant::now());
        while began.elapsed() < FOR {
            stream.write_all(&block)?;
            sent += BLOCK;
        }
        Ok(sent)
    });
    while !received.is_finished() {
        drain();
        thread::sleep(Duration::from_millis(2));
    }
    let panicked = |_| anyhow::anyhow!("a thread panicked");
    let sent = sending.join().map_err(panicked)??;
    let received = received.join().map_err(panicked)??;
    ensure!(sent == received, "sent {sent} bytes, received {received}");
    Ok(())
}

/// Limits how many segments the kernel hands over as one frame.
fn set_segments(pod: &Pod, segments: u32) -> Result<()> {
    let mut command = Command::new("ip");
    command
        .args(["link", "set", "dev", "eth0", "gso_max_segs"])
        .arg(segments.to_string());
    let status = pod.spawn(command)?.wait()?;
    ensure!(status.success(), "ip ended with {status}");
    Ok(())
}
