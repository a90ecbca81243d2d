//! Where packets are seen: the node's own traffic, its bridge, tunnels without a link layer.

use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket},
    process::Command,
};

use anyhow::{Result, ensure};
use flow_observer::{
    decode::Detail,
    source::probes::{Aggregation, ProbeConfig},
};
use probe_events::{FLAG_STARTS_AT_IP, TracePoint};
use testbed::{Cluster, Node, Spec, bind};

use crate::{
    Rule,
    watch::{self, Watch, on_node},
};

pub(crate) const RULES: &[Rule] = &[
    ("a_pods_own_gateway_is_the_host", gateway),
    ("a_tunnel_without_a_link_layer_is_seen", tun),
    ("loopback_is_watched_when_asked", loopback),
    ("what_has_no_connection_is_reported_each_time", arp),
    ("filters_of_clsact_see_the_same_and_leave_nothing", clsact),
];

const PORT: u16 = 7200;

fn medium() -> ProbeConfig {
    ProbeConfig {
        aggregation: Aggregation::Medium,
        ..ProbeConfig::default()
    }
}

fn counted(watch: &Watch, point: TracePoint, from: (IpAddr, u16), packets: u64) -> Result<()> {
    let (counted, _) = watch.counted(point, from.0, from.1);
    ensure!(
        counted == packets,
        "{counted} packets at {point:?}, expected {packets}"
    );
    Ok(())
}

/// Ten datagrams there, each with one back. Returns where they came from.
fn talk(client: impl FnOnce(Talk) -> Result<()>, server: &Node, address: Ipv4Addr) -> Result<()> {
    let socket = server.namespace().run(|| Ok(bind::udp((address, PORT))?))?;
    client(Talk { server: socket })
}

struct Talk {
    server: UdpSocket,
}

impl Talk {
    fn from(&self, client: &UdpSocket) -> Result<(IpAddr, u16)> {
        let to = self.server.local_addr()?;
        for _ in 0..10 {
            client.send_to(&[1; 8], to)?;
            let (_, from) = self.server.recv_from(&mut [0; 8])?;
            self.server.send_to(&[2; 8], from)?;
            client.recv_from(&mut [0; 8])?;
        }
        let local = client.local_addr()?;
        Ok((local.ip(), local.port()))
    }
}

fn gateway() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let pod = cluster.pod("shop/web-0")?;
    let node = cluster.node(pod.node())?;
    let mut watch = watch::start(node, &medium())?;
    let octets = pod.ipv4().octets();
    let gateway = Ipv4Addr::new(octets[0], octets[1], octets[2], 1);
    let mut from = None;
    talk(
        |talk| {
            let client = pod.run(|| Ok(UdpSocket::bind((pod.ipv4(), 0))?))?;
            from = Some(talk.from(&client)?);
            Ok(())
        },
        node,
        gateway,
    )?;
    let Some(from) = from else { return Ok(()) };
    watch.end()?;
    counted(&watch, TracePoint::FromEndpoint, from, 10)?;
    counted(&watch, TracePoint::ToHost, from, 10)?;
    counted(&watch, TracePoint::ToStack, from, 0)?;
    let back = (gateway.into(), PORT);
    counted(&watch, TracePoint::FromHost, back, 10)?;
    counted(&watch, TracePoint::ToEndpoint, back, 10)
}

/// A device of this kind needs nobody at its other end for packets to leave through it.
fn tun() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let node = cluster.node("node-1")?;
    for arguments in [
        "tuntap add dev flat0 mode tun",
        "addr add 192.168.8.1/24 dev flat0",
        "link set flat0 up",
    ] {
        let mut command = Command::new("ip");
        command.args(arguments.split(' '));
        let status = node.spawn(command)?.wait()?;
        ensure!(status.success(), "ip {arguments} ended with {status}");
    }
    let mut watch = watch::start(node, &medium())?;
    let from = node.namespace().run(|| {
        let socket = UdpSocket::bind((Ipv4Addr::new(192, 168, 8, 1), 0))?;
        for _ in 0..10 {
            socket.send_to(&[1; 8], (Ipv4Addr::new(192, 168, 8, 2), PORT))?;
        }
        Ok(socket.local_addr()?)
    })?;
    watch.end()?;
    counted(&watch, TracePoint::ToOverlay, (from.ip(), from.port()), 10)?;
    let flat = watch.traces(TracePoint::ToOverlay, from.ip(), from.port());
    ensure!(
        flat.iter()
            .all(|it| it.header.flags & FLAG_STARTS_AT_IP != 0)
    );
    Ok(())
}

fn loopback() -> Result<()> {
    for watch_loopback in [true, false] {
        let cluster = Cluster::start(&Spec::two_nodes())?;
        let node = cluster.node("node-1")?;
        let config = ProbeConfig {
            watch_loopback,
            ..medium()
        };
        let mut watch = watch::start(node, &config)?;
        let mut from = None;
        let home = Ipv4Addr::new(127, 0, 0, 5);
        talk(
            |talk| {
                let client = node.namespace().run(|| Ok(UdpSocket::bind((home, 0))?))?;
                from = Some(talk.from(&client)?);
                Ok(())
            },
            node,
            home,
        )?;
        let Some(from) = from else { return Ok(()) };
        watch.end()?;
        let expected = if watch_loopback { 10 } else { 0 };
        counted(&watch, TracePoint::FromHost, from, expected)?;
        counted(&watch, TracePoint::ToHost, from, expected)?;
    }
    Ok(())
}

fn arp() -> Result<()> {
    let config = ProbeConfig {
        aggregation: Aggregation::Maximum,
        ..medium()
    };
    on_node(&config, |watch, client, server| {
        for _ in 0..3 {
            watch::run(client, "ip", &["neigh", "flush", "dev", "eth0"])?;
            client.run(|| {
                let socket = UdpSocket::bind((client.ipv4(), 0))?;
                Ok(socket.send_to(&[0; 8], (server.ipv4(), PORT))?)
            })?;
            watch.settle()?;
        }
        let asked = watch.seen.iter().filter(|record| {
            record
                .packet
                .headers
                .arp
                .is_some_and(|arp| arp.operation == 1)
                && record
                    .packet
                    .headers
                    .ip
                    .is_some_and(|ip| ip.source == client.ipv4())
                && matches!(
                    record.detail,
                    Detail::Trace {
                        point: TracePoint::FromEndpoint,
                        ..
                    }
                )
        });
        let asked = asked.count();
        ensure!(asked >= 3, "{asked} questions");
        Ok(())
    })
}

fn clsact() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let (client, server) = (cluster.pod("shop/web-0")?, cluster.pod("shop/cart-0")?);
    let node = cluster.node(client.node())?;
    let config = ProbeConfig {
        force_clsact: true,
        ..medium()
    };
    let filters = || -> Result<String> {
        let mut shown = String::new();
        for direction in ["ingress", "egress"] {
            let output = Command::new("tc")
                .args([
                    "-n",
                    node.namespace().name(),
                    "filter",
                    "show",
                    "dev",
                    "eth0",
                    direction,
                ])
                .output()?;
            shown += &String::from_utf8_lossy(&output.stdout);
        }
        Ok(shown)
    };
    let mut watch = watch::start(node, &config)?;
    let attached = filters()?;
    ensure!(attached.contains("bpf"), "no filters: {attached:?}");
    let exchange = testbed::exchange::udp(client, server, testbed::exchange::Family::V4, PORT, 10)?;
    watch.end()?;
    let from = (exchange.client.ip(), exchange.client.port());
    counted(&watch, TracePoint::FromEndpoint, from, 10)?;
    counted(&watch, TracePoint::ToEndpoint, from, 10)?;
    let left = filters()?;
    ensure!(!left.contains("bpf"), "left: {left:?}");
    Ok(())
}
