//! What drops tell, and how many of them are told.

use std::{net::UdpSocket, time::Duration};

use anyhow::{Result, ensure};
use flow_observer::{
    decode::{Decoded, Detail},
    source::{
        HostFacts as _,
        probes::{Aggregation, ProbeConfig},
    },
};
use probe_events::{Counter, DropDetail, FLAG_FRAGMENT};
use testbed::exchange::{self, Family};

use crate::{
    Rule,
    watch::{Watch, ends, on_node, run},
};

pub(crate) const RULES: &[Rule] = &[
    ("drops_are_never_aggregated", never_aggregated),
    ("drops_beyond_the_rate_are_counted_by_reason", rate),
    ("the_drop_of_a_later_fragment_has_ports", fragment),
    ("the_drop_of_something_else_than_ip_is_a_drop", arp),
    ("a_drop_names_the_socket_that_was_asked", socket),
];

const PORT: u16 = 7300;
const PACKETS: usize = 100;

fn maximum() -> ProbeConfig {
    ProbeConfig {
        aggregation: Aggregation::Maximum,
        ..ProbeConfig::default()
    }
}

/// Drops with this reason.
fn drops<'a>(watch: &'a mut Watch, reason: &str) -> Vec<(&'a Decoded, DropDetail)> {
    let Watch { probes, seen, .. } = watch;
    seen.iter()
        .filter_map(|record| match record.detail {
            Detail::Drop(detail) => Some((record, detail)),
            _ => None,
        })
        .filter(|(_, detail)| {
            let names = &mut probes.names;
            &*names.drop_reason(detail.reason) == reason
                && names.namespace(detail.netns_cookie).is_some()
        })
        .collect()
}

fn never_aggregated() -> Result<()> {
    on_node(&maximum(), |watch, client, server| {
        let rule = "add table ip t; add chain ip t i { type filter hook input priority 0; }; \
                    add rule ip t i udp dport 7300 drop";
        run(server, "nft", &[rule])?;
        client.run(|| {
            let socket = UdpSocket::bind((client.ipv4(), 0))?;
            for _ in 0..PACKETS {
                socket.send_to(&[0; 8], (server.ipv4(), PORT))?;
            }
            Ok(())
        })?;
        watch.end()?;
        let dropped = drops(watch, "NETFILTER_DROP");
        let dropped = dropped
            .iter()
            .filter(|(record, _)| ends(record).is_some_and(|(_, to)| to.1 == PORT));
        ensure!(dropped.count() == PACKETS);
        Ok(())
    })
}

fn rate() -> Result<()> {
    let config = ProbeConfig {
        drop_rate_limit: 10,
        ..maximum()
    };
    on_node(&config, |watch, client, server| {
        let rule = "add table ip t; add chain ip t i { type filter hook input priority 0; }; \
                    add rule ip t i udp dport 7300 drop";
        run(server, "nft", &[rule])?;
        exchange::drops(client, server, Family::V4, PORT, PACKETS)?;
        watch.settle()?;
        std::thread::sleep(Duration::from_millis(600));
        watch.settle()?;
        let reported = drops(watch, "NETFILTER_DROP").len();
        // The second may have changed on the way.
        ensure!((1..=30).contains(&reported), "{reported} reported");
        let snapshot = watch.probes.statistics.snapshot();
        let suppressed = snapshot.rate_limited.get("NETFILTER_DROP").copied();
        let suppressed = suppressed.unwrap_or(0);
        ensure!(
            reported as u64 + suppressed >= PACKETS as u64,
            "{reported} reported, {suppressed} suppressed of {PACKETS}"
        );
        ensure!(snapshot.count(Counter::RateLimited) >= suppressed);
        Ok(())
    })
}

fn fragment() -> Result<()> {
    on_node(&maximum(), |watch, client, server| {
        // Before fragments are put together again.
        let rule = "add table ip t; add chain ip t i { type filter hook prerouting priority -450; }; \
                    add rule ip t i ip frag-off & 0x1fff != 0 drop";
        run(server, "nft", &[rule])?;
        let from = client.run(|| {
            let socket = UdpSocket::bind((client.ipv4(), 0))?;
            socket.send_to(&[0; 4000], (server.ipv4(), PORT))?;
            Ok(socket.local_addr()?)
        })?;
        watch.settle()?;
        let dropped = drops(watch, "NETFILTER_DROP");
        ensure!(dropped.len() == 2, "{} drops", dropped.len());
        for (record, detail) in dropped {
            ensure!(record.header.flags & FLAG_FRAGMENT != 0);
            ensure!((detail.source_port, detail.destination_port) == (from.port(), PORT));
        }
        Ok(())
    })
}

fn arp() -> Result<()> {
    on_node(&maximum(), |watch, client, server| {
        let rule = "add table arp t; add chain arp t i { type filter hook input priority 0; policy drop; }";
        run(server, "nft", &[rule])?;
        run(client, "ip", &["neigh", "flush", "dev", "eth0"])?;
        client.run(|| {
            let socket = UdpSocket::bind((client.ipv4(), 0))?;
            Ok(socket.send_to(&[0; 8], (server.ipv4(), PORT))?)
        })?;
        watch.settle()?;
        let dropped = drops(watch, "NETFILTER_DROP");
        let asked = dropped
            .iter()
            .filter(|(record, _)| record.packet.headers.arp.is_some());
        ensure!(asked.count() >= 1, "no ARP among {} drops", dropped.len());
        Ok(())
    })
}

fn socket() -> Result<()> {
    on_node(&maximum(), |watch, client, server| {
        // What the sender's own rules drop still has its socket.
        let rule = "add table ip t; add chain ip t o { type filter hook output priority 0; }; \
                    add rule ip t o udp dport 7300 drop";
        run(client, "nft", &[rule])?;
        client.run(|| {
            let socket = UdpSocket::bind((client.ipv4(), 0))?;
            // Seen by a classifier first, which asks for the cookie.
            socket.send_to(&[0; 8], (server.ipv4(), PORT + 1))?;
            socket.send_to(&[0; 8], (server.ipv4(), PORT)).ok();
            Ok(())
        })?;
        watch.settle()?;
        let dropped = drops(watch, "NETFILTER_DROP");
        ensure!(dropped.len() == 1, "{} drops", dropped.len());
        ensure!(dropped.iter().all(|(_, detail)| detail.socket_cookie != 0));
        Ok(())
    })
}
