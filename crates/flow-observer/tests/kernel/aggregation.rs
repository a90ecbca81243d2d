//! Fewer records, the same sums.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use flow_observer::source::probes::{Aggregation, ProbeConfig};
use probe_events::{Counter, TracePoint};
use testbed::bind;
use testbed::exchange::{self, Exchange, Family};

use crate::{Rule, watch::on_node};

pub(crate) const RULES: &[Rule] = &[
    ("without_aggregation_each_packet_is_reported", none),
    ("aggregated_reports_sum_up_to_what_passed", || {
        sums(Aggregation::Medium)
    }),
    ("maximum_aggregation_sums_up_too", || {
        sums(Aggregation::Maximum)
    }),
    ("counts_are_exact_when_cpus_share_a_connection", crowd),
    ("low_aggregation_reports_each_packet_where_it_leaves", low),
    (
        "a_connection_that_goes_on_is_reported_once_per_interval",
        interval,
    ),
    ("each_tcp_flag_is_reported_when_it_is_new", flags),
    (
        "a_full_flow_table_reports_packets_by_themselves",
        full_table,
    ),
];

const PORT: u16 = 7000;
const ROUNDS: usize = 500;

fn config(aggregation: Aggregation) -> ProbeConfig {
    ProbeConfig {
        aggregation,
        ..ProbeConfig::default()
    }
}

/// Each side of an exchange at the points where it passes.
fn sides(exchange: &Exchange) -> [(TracePoint, std::net::SocketAddr); 4] {
    [
        (TracePoint::FromEndpoint, exchange.client),
        (TracePoint::ToEndpoint, exchange.client),
        (TracePoint::FromEndpoint, exchange.server),
        (TracePoint::ToEndpoint, exchange.server),
    ]
}

fn none() -> Result<()> {
    on_node(&config(Aggregation::None), |watch, client, server| {
        let exchange = exchange::udp(client, server, Family::V4, PORT, ROUNDS)?;
        watch.settle()?;
        for (point, end) in sides(&exchange) {
            let traces = watch.traces(point, end.ip(), end.port());
            ensure!(traces.len() == ROUNDS, "{} at {point:?}", traces.len());
            let counted = watch.counted(point, end.ip(), end.port()).0;
            ensure!(counted == ROUNDS as u64, "counted {counted} at {point:?}");
        }
        Ok(())
    })
}

fn sums(aggregation: Aggregation) -> Result<()> {
    let config = ProbeConfig {
        interval: Duration::from_millis(5),
        ..config(aggregation)
    };
    on_node(&config, |watch, client, server| {
        let mut exchanges = Vec::new();
        for family in [Family::V4, Family::V6] {
            exchanges.push(exchange::udp(client, server, family, PORT, ROUNDS)?);
        }
        watch.end()?;
        for (point, end) in exchanges.iter().flat_map(sides) {
            let (packets, bytes) = watch.counted(point, end.ip(), end.port());
            ensure!(
                packets == ROUNDS as u64,
                "{packets} packets from {end} at {point:?}, expected {ROUNDS}"
            );
            // Ethernet, IP, UDP and one message of eight bytes.
            let length = 14 + if end.is_ipv4() { 20 } else { 40 } + 8 + 8;
            ensure!(
                bytes == packets * length,
                "{bytes} bytes from {end} at {point:?}"
            );
            let reports = watch.traces(point, end.ip(), end.port()).len();
            ensure!(reports > 0 && reports < ROUNDS / 2, "{reports} reports");
            if aggregation == Aggregation::Maximum {
                ensure!(reports == 1, "{reports} reports from {end} at {point:?}");
            }
        }
        ensure!(watch.lost == 0, "{} records lost", watch.lost);
        Ok(())
    })
}

/// Two CPUs send on one connection, in turns too short for either to be alone with its entry.
fn crowd() -> Result<()> {
    let config = ProbeConfig {
        interval: Duration::from_millis(1),
        ..config(Aggregation::Medium)
    };
    on_node(&config, |watch, client, server| {
        const THREADS: usize = 4;
        const EACH: usize = 20_000;
        let to = SocketAddr::new(server.ipv4().into(), PORT);
        // Somebody listens, so that no errors come back.
        let _listener = server.run(|| Ok(bind::udp(to)?))?;
        let socket = client.run(|| Ok(UdpSocket::bind((client.ipv4(), 0))?))?;
        let ended = AtomicUsize::new(0);
        std::thread::scope(|scope| -> Result<()> {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let sent = (0..EACH).filter(|_| socket.send_to(&[0; 8], to).is_ok());
                    let sent = sent.count();
                    ended.fetch_add(1, Ordering::Relaxed);
                    sent
                });
            }
            while ended.load(Ordering::Relaxed) < THREADS {
                watch.poll()?;
            }
            Ok(())
        })?;
        watch.end()?;
        let from = socket.local_addr()?;
        for point in [TracePoint::FromEndpoint, TracePoint::ToEndpoint] {
            let (packets, bytes) = watch.counted(point, from.ip(), from.port());
            ensure!(packets == (THREADS * EACH) as u64, "{packets} at {point:?}");
            ensure!(bytes == packets * (14 + 20 + 8 + 8), "{bytes} bytes");
        }
        ensure!(watch.lost == 0, "{} records lost", watch.lost);
        Ok(())
    })
}

fn low() -> Result<()> {
    on_node(&config(Aggregation::Low), |watch, client, server| {
        let exchange = exchange::udp(client, server, Family::V4, PORT, ROUNDS)?;
        watch.end()?;
        for (point, end) in sides(&exchange) {
            let expected = if point == TracePoint::ToEndpoint {
                ROUNDS
            } else {
                0
            };
            let reports = watch.traces(point, end.ip(), end.port()).len();
            ensure!(
                reports == expected,
                "{reports} at {point:?}, expected {expected}"
            );
            let packets = watch.counted(point, end.ip(), end.port()).0;
            ensure!(packets == ROUNDS as u64, "{packets} packets at {point:?}");
        }
        Ok(())
    })
}

fn interval() -> Result<()> {
    let config = ProbeConfig {
        interval: Duration::from_millis(300),
        ..config(Aggregation::Medium)
    };
    on_node(&config, |watch, client, server| {
        let exchange = exchange::udp_paced(
            client,
            server,
            Family::V4,
            PORT,
            100,
            Duration::from_millis(10),
        )?;
        watch.end()?;
        for (point, end) in sides(&exchange) {
            let reports = watch.traces(point, end.ip(), end.port()).len();
            // A second and some, so three or four intervals after the first; more on a slow day.
            ensure!((3..=8).contains(&reports), "{reports} reports at {point:?}");
        }
        Ok(())
    })
}

fn flags() -> Result<()> {
    on_node(&config(Aggregation::Maximum), |watch, client, server| {
        let exchange = exchange::tcp(client, server, Family::V4, PORT, 50)?;
        watch.end()?;
        for (point, end) in sides(&exchange) {
            // The client: SYN, ACK, PSH, FIN. The server's SYN has ACK with it.
            let expected = if end == exchange.client { 4 } else { 3 };
            let reports = watch.traces(point, end.ip(), end.port()).len();
            ensure!(
                reports == expected,
                "{reports} of {end} at {point:?}, expected {expected}"
            );
        }
        Ok(())
    })
}

fn full_table() -> Result<()> {
    let config = ProbeConfig {
        flow_table_entries: 16,
        ..config(Aggregation::Medium)
    };
    on_node(&config, |watch, client, server| {
        let exchanges = exchange::drops(client, server, Family::V4, PORT, 200)?;
        watch.end()?;
        for exchange in &exchanges {
            let end = exchange.client;
            let packets = watch
                .counted(TracePoint::FromEndpoint, end.ip(), end.port())
                .0;
            ensure!(packets == 1, "{packets} packets from {end}");
        }
        std::thread::sleep(Duration::from_millis(600));
        watch.settle()?;
        let snapshot = watch.probes.statistics.snapshot();
        let alone = snapshot.count(Counter::FlowTableFull);
        ensure!(alone > 100, "{alone} packets found the table full");
        Ok(())
    })
    .context("a table of sixteen entries")
}
