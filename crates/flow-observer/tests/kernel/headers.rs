//! Headers between the link layer and the ports: what is counted is the innermost connection.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use flow_observer::{
    decode::Detail,
    source::probes::{Aggregation, ProbeConfig},
};
use probe_events::{FLAG_FRAGMENT, TracePoint, TraceReason};
use testbed::{Cluster, Node, Pod, Spec, bind, exchange::Family};

use crate::{
    Rule, inject,
    watch::{self, Watch, ends, on_node},
};

pub(crate) const RULES: &[Rule] = &[
    ("later_fragments_have_the_ports_of_their_first", fragments),
    ("a_tagged_packet_tells_its_vlan_and_its_connection", vlan),
    (
        "the_connection_within_a_vxlan_tunnel_is_what_is_counted",
        vxlan,
    ),
    (
        "the_connection_within_a_geneve_tunnel_is_what_is_counted",
        geneve,
    ),
    ("extension_headers_are_stepped_over", extension_headers),
    ("an_icmp_error_is_related", icmp_error),
];

const PORT: u16 = 7100;

fn medium() -> ProbeConfig {
    ProbeConfig {
        aggregation: Aggregation::Medium,
        ..ProbeConfig::default()
    }
}

/// Sends `count` datagrams of `length` bytes from one pod to another. Returns where from.
fn send(
    from: &Pod,
    to: SocketAddr,
    length: usize,
    count: usize,
    prepare: impl FnOnce(&UdpSocket) -> Result<()> + Send,
) -> Result<SocketAddr> {
    from.run(|| {
        let any: IpAddr = match to {
            SocketAddr::V4(_) => [0; 4].into(),
            SocketAddr::V6(_) => [0; 16].into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        prepare(&socket)?;
        socket.connect(to)?;
        for _ in 0..count {
            // The second may be told that nobody listens: that is no matter here.
            socket.send(&vec![0; length]).ok();
        }
        Ok(socket.local_addr()?)
    })
}

fn fragments() -> Result<()> {
    let each = ProbeConfig {
        aggregation: Aggregation::None,
        ..ProbeConfig::default()
    };
    on_node(&each, |watch, client, server| {
        for family in [Family::V4, Family::V6] {
            let to = SocketAddr::new(family.address(server), PORT);
            let from = send(client, to, 4000, 1, |_| Ok(()))?;
            watch.settle()?;
            for point in [TracePoint::FromEndpoint, TracePoint::ToEndpoint] {
                let seen = watch.traces(point, from.ip(), from.port());
                ensure!(
                    seen.len() == 3,
                    "{} fragments of three at {point:?}",
                    seen.len()
                );
                let later = seen
                    .iter()
                    .filter(|it| it.header.flags & FLAG_FRAGMENT != 0);
                ensure!(later.count() == 2, "two later fragments at {point:?}");
            }
        }
        Ok(())
    })
}

/// Whom the frames made by hand are from and to.
const FROM: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 168, 5, 1), 4000);
const TO: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 168, 5, 2), PORT);
const IPV4: u16 = 0x0800;
const FRAMES: u64 = 10;

fn vlan() -> Result<()> {
    for (tags, vlan) in [
        (&[(0x8100, 0x2005)][..], 5),
        (&[(0x88a8, 7), (0x8100, 5)][..], 7),
    ] {
        on_node(&medium(), |watch, client, _| {
            let frame = inject::ethernet(tags, IPV4, &inject::udp(FROM, TO, b"tagged"));
            client.run(|| (0..FRAMES).try_for_each(|_| inject::send("eth0", &frame)))?;
            watch.end()?;
            let point = TracePoint::FromEndpoint;
            let seen = watch.traces(point, FROM.0.into(), FROM.1);
            ensure!(!seen.is_empty(), "nothing seen");
            for record in seen {
                ensure!(
                    record.packet.headers.vlan == Some(vlan),
                    "{:?}",
                    record.packet.headers.vlan
                );
            }
            let (packets, _) = watch.counted(point, FROM.0.into(), FROM.1);
            ensure!(packets == FRAMES, "{packets} packets");
            Ok(())
        })?;
    }
    Ok(())
}

/// Geneve with four bytes of options, and an Ethernet frame or an IP packet in it.
fn geneve() -> Result<()> {
    let inner = inject::udp(FROM, TO, b"inner");
    for (protocol, payload) in [
        (0x6558u16, inject::ethernet(&[], IPV4, &inner)),
        (IPV4, inner.clone()),
    ] {
        let cluster = Cluster::start(&Spec::two_nodes())?;
        let [first, second] = [cluster.node("node-1")?, cluster.node("node-2")?];
        let mut watch = watch::start(first, &medium())?;
        let mut tunnelled = vec![0x01, 0];
        tunnelled.extend(protocol.to_be_bytes());
        tunnelled.extend([0, 0, 7, 0, 0, 0, 0, 0]);
        tunnelled.extend(&payload);
        let ends = [Ipv4Addr::new(172, 16, 0, 2), Ipv4Addr::new(172, 16, 0, 1)];
        let outer = inject::udp((ends[0], 5000), (ends[1], 6081), &tunnelled);
        let frame = inject::ethernet(&[], IPV4, &outer);
        second
            .namespace()
            .run(|| (0..FRAMES).try_for_each(|_| inject::send("eth0", &frame)))?;
        std::thread::sleep(Duration::from_millis(50));
        watch.end()?;
        let (packets, _) = watch.counted(TracePoint::FromNetwork, FROM.0.into(), FROM.1);
        ensure!(packets == FRAMES, "{packets} packets within {protocol:#x}");
    }
    Ok(())
}

fn on(node: &Node, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(arguments);
    let status = node.spawn(command)?.wait()?;
    ensure!(status.success(), "ip {arguments:?} ended with {status}");
    Ok(())
}

fn vxlan() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let [first, second] = [cluster.node("node-1")?, cluster.node("node-2")?];
    for (node, other, address) in [
        (first, second, "192.168.7.1/24"),
        (second, first, "192.168.7.2/24"),
    ] {
        let peer = other.ips()[0].to_string();
        let kind = "link add tunnel0 type vxlan id 7 dstport 4789 remote";
        let mut add: Vec<&str> = kind.split(' ').collect();
        add.push(&peer);
        on(node, &add)?;
        on(node, &["addr", "add", address, "dev", "tunnel0"])?;
        on(node, &["link", "set", "tunnel0", "up"])?;
    }
    let mut here = watch::start(first, &medium())?;
    let mut there = watch::start(second, &medium())?;
    let from = first.namespace().run(|| {
        let socket = UdpSocket::bind((Ipv4Addr::new(192, 168, 7, 1), 0))?;
        for _ in 0..10 {
            socket.send_to(&[0; 8], (Ipv4Addr::new(192, 168, 7, 2), PORT))?;
        }
        Ok(socket.local_addr()?)
    })?;
    std::thread::sleep(Duration::from_millis(100));
    here.end()?;
    there.end()?;
    let passed = |watch: &Watch, point| {
        let (packets, _) = watch.counted(point, from.ip(), from.port());
        ensure!(packets == 10, "{packets} packets at {point:?}");
        let record = watch.traces(point, from.ip(), from.port());
        let record = record.first().context("no record")?;
        Ok(record.packet.tunnel.is_some())
    };
    ensure!(!passed(&here, TracePoint::ToOverlay)?);
    ensure!(passed(&here, TracePoint::ToNetwork)?, "the tunnel is shown");
    ensure!(
        passed(&there, TracePoint::FromNetwork)?,
        "the tunnel is shown"
    );
    ensure!(!passed(&there, TracePoint::FromOverlay)?);
    Ok(())
}

fn extension_headers() -> Result<()> {
    on_node(&medium(), |watch, client, server| {
        let to = SocketAddr::new(Family::V6.address(server), PORT);
        // Somebody listens, so that no errors come back.
        let _listener = server.run(|| Ok(bind::udp(to)?))?;
        let from = send(client, to, 8, 10, with_destination_options)?;
        watch.end()?;
        for point in [TracePoint::FromEndpoint, TracePoint::ToEndpoint] {
            let (packets, _) = watch.counted(point, from.ip(), from.port());
            ensure!(packets == 10, "{packets} packets at {point:?}");
        }
        Ok(())
    })
}

/// Puts a header with nothing but padding in front of each datagram.
#[expect(unsafe_code, reason = "no library wraps this socket option")]
fn with_destination_options(socket: &UdpSocket) -> Result<()> {
    const IPV6_DSTOPTS: i32 = 59;
    let header = [0u8, 0, 1, 4, 0, 0, 0, 0];
    // SAFETY: the kernel reads as many bytes as it is told there are.
    let result = unsafe {
        nix::libc::setsockopt(
            socket.as_raw_fd(),
            nix::libc::IPPROTO_IPV6,
            IPV6_DSTOPTS,
            header.as_ptr().cast(),
            header.len() as u32,
        )
    };
    ensure!(result == 0, "cannot set IPV6_DSTOPTS");
    Ok(())
}

fn icmp_error() -> Result<()> {
    on_node(&medium(), |watch, client, server| {
        let to = SocketAddr::new(Family::V4.address(server), PORT);
        send(client, to, 8, 1, |_| Ok(()))?;
        watch.settle()?;
        let related = watch.seen.iter().filter(|record| {
            matches!(
                record.detail,
                Detail::Trace {
                    point: TracePoint::ToEndpoint,
                    reason: TraceReason::Related,
                    ..
                }
            ) && ends(record).is_some_and(|(source, _)| source.0 == to.ip())
        });
        ensure!(related.count() == 1, "one port unreachable");
        Ok(())
    })
}
