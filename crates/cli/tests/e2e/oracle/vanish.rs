//! Packets that vanish, each kind for a reason that is brought about on purpose.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket},
    os::fd::{AsFd as _, AsRawFd as _},
    time::Duration,
};

use anyhow::{Result, ensure};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use testbed::{
    Cluster, Pod,
    exchange::{self, Family},
    wait,
};

use super::{
    packet::{Device, Transport, Tuple, Way},
    prepare,
    raw::Packet,
    traffic,
};

/// Packets that are dropped for the same reason at the same place.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// The kernel's.
    pub(crate) reason: &'static str,
    /// Where.
    pub(crate) node: &'static str,
    /// How the packets get there.
    pub(crate) path: &'static [Hop<'static>],
    pub(crate) sent: Vec<Tuple>,
}

pub(crate) type Hop<'a> = (&'a str, Device, Way);

/// From the first pod to where its node routes.
const TO_FIRST_NODE: &[Hop<'_>] = &[
    ("node-1", Device::Pod, Way::In),
    ("node-1", Device::Bridge, Way::In),
];
/// On to where the other node routes.
const TO_SECOND_NODE: &[Hop<'_>] = &[
    ("node-1", Device::Pod, Way::In),
    ("node-1", Device::Bridge, Way::In),
    ("node-1", Device::Network, Way::Out),
    ("node-2", Device::Network, Way::In),
];
/// All the way to a pod there.
const TO_POD: &[Hop<'_>] = &[
    ("node-1", Device::Pod, Way::In),
    ("node-1", Device::Bridge, Way::In),
    ("node-1", Device::Network, Way::Out),
    ("node-2", Device::Network, Way::In),
    ("node-2", Device::Bridge, Way::Out),
    ("node-2", Device::Pod, Way::Out),
];

/// Packets of each kind.
const PACKETS: usize = 10;
/// A port that is refused by a rule, and one that nobody has.
const DENIED: u16 = 5432;
const CLOSED: u16 = 6000;
const FULL: u16 = 6001;
/// How long a search that was told to take a fifth of a second may take.
const NEIGHBOUR_TIMEOUT: Duration = Duration::from_secs(10);
/// Where crafted packets come from.
const CRAFTED: u16 = 20_000;

/// Sends what is dropped.
pub(crate) fn make(cluster: &Cluster) -> Result<Vec<Kind>> {
    let mut kinds = vec![denied(cluster)?];
    for family in [Family::V4, Family::V6] {
        kinds.push(closed_udp(cluster, family)?);
        kinds.push(closed_tcp(cluster, family)?);
        kinds.push(no_route(cluster, family)?);
    }
    kinds.push(full(cluster)?);
    kinds.push(no_neighbour(cluster)?);
    kinds.extend(crafted(cluster)?);
    Ok(kinds)
}

fn ends(cluster: &Cluster) -> Result<(&Pod, &Pod)> {
    Ok((cluster.pod("shop/web-0")?, cluster.pod("shop/api-0")?))
}

/// Sends one datagram from each of so many ports.
fn send(from: &Pod, to: SocketAddr, packets: usize) -> Result<Vec<Tuple>> {
    let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
    let local = SocketAddr::new(family.address(from), 0);
    // All stay open to the end, so that no port is given out twice.
    let sockets: Vec<UdpSocket> = (0..packets)
        .map(|_| traffic::udp_socket(from, local))
        .collect::<Result<_>>()?;
    sockets
        .iter()
        .map(|socket| {
            socket.send_to(&[0; 500], to)?;
            let local = socket.local_addr()?;
            Ok(Tuple {
                source: local.ip(),
                destination: to.ip(),
                transport: Transport::Udp(local.port(), to.port()),
            })
        })
        .collect()
}

fn denied(cluster: &Cluster) -> Result<Kind> {
    let (web, api) = ends(cluster)?;
    cluster.node("node-1")?.drop_traffic(web, api, DENIED)?;
    let mut sent = Vec::new();
    for family in [Family::V4, Family::V6] {
        for exchange in exchange::drops(web, api, family, DENIED, PACKETS)? {
            sent.push(Tuple {
                source: exchange.client.ip(),
                destination: exchange.server.ip(),
                transport: Transport::Udp(exchange.client.port(), DENIED),
            });
        }
    }
    Ok(Kind {
        name: "a rule on the way",
        reason: "NETFILTER_DROP",
        node: "node-1",
        path: TO_FIRST_NODE,
        sent,
    })
}

fn closed_udp(cluster: &Cluster, family: Family) -> Result<Kind> {
    let (web, api) = ends(cluster)?;
    let to = SocketAddr::new(family.address(api), CLOSED);
    Ok(Kind {
        name: "a UDP port that nobody has",
        reason: "NO_SOCKET",
        node: "node-2",
        path: TO_POD,
        sent: send(web, to, PACKETS)?,
    })
}

fn closed_tcp(cluster: &Cluster, family: Family) -> Result<Kind> {
    let (web, api) = ends(cluster)?;
    let to = SocketAddr::new(family.address(api), CLOSED);
    let domain = match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    let sent = web.run(|| {
        (0..PACKETS)
            .map(|_| {
                // Bound before, for a connection that does not come about tells no address.
                let socket = socket(domain, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
                let any = SocketAddr::new(family.address(web), 0);
                bind(socket.as_raw_fd(), &SockaddrStorage::from(any))?;
                let refused = connect(socket.as_raw_fd(), &SockaddrStorage::from(to));
                ensure!(refused.is_err(), "somebody has the port {CLOSED}");
                let local = TcpStream::from(socket).local_addr()?;
                Ok(Tuple {
                    source: local.ip(),
                    destination: to.ip(),
                    transport: Transport::Tcp(local.port(), CLOSED),
                })
            })
            .collect::<Result<Vec<_>>>()
    })?;
    Ok(Kind {
        name: "a TCP port that nobody has",
        reason: "NO_SOCKET",
        node: "node-2",
        path: TO_POD,
        sent,
    })
}

fn no_route(cluster: &Cluster, family: Family) -> Result<Kind> {
    let (web, _) = ends(cluster)?;
    let nowhere: IpAddr = match family {
        Family::V4 => "198.51.100.7".parse()?,
        Family::V6 => "2001:db8::7".parse()?,
    };
    Ok(Kind {
        name: "an address without a route",
        reason: "IP_INNOROUTES",
        node: "node-1",
        path: TO_FIRST_NODE,
        sent: send(web, SocketAddr::new(nowhere, CLOSED), PACKETS)?,
    })
}

/// More than the socket has room for; dropped is what nobody can read later.
fn full(cluster: &Cluster) -> Result<Kind> {
    let (web, api) = ends(cluster)?;
    let to = SocketAddr::new(api.ipv4().into(), FULL);
    let socket = traffic::udp_socket(api, to)?;
    setsockopt(&socket.as_fd(), sockopt::RcvBuf, &1)?;
    let mut sent = send(web, to, 3 * PACKETS)?;
    // All have come when one from another socket, which goes the same way, has.
    let last = SocketAddr::new(to.ip(), FULL + 1);
    let waiting = traffic::udp_socket(api, last)?;
    send(web, last, 1)?;
    waiting.recv(&mut [0; 500])?;
    socket.set_nonblocking(true)?;
    let mut received = 0;
    while let Ok((_, from)) = socket.recv_from(&mut [0; 500]) {
        let got = Transport::Udp(from.port(), FULL);
        sent.retain(|tuple| tuple.transport != got);
        received += 1;
    }
    ensure!(received > 0 && !sent.is_empty(), "{received} received");
    Ok(Kind {
        name: "a full socket buffer",
        reason: "SOCKET_RCVBUFF",
        node: "node-2",
        path: TO_POD,
        sent,
    })
}

/// Nobody has the address in the other node's network. It asks once, and not for long.
fn no_neighbour(cluster: &Cluster) -> Result<Kind> {
    let (web, api) = ends(cluster)?;
    let node = cluster.node("node-2")?;
    prepare::set(
        node.namespace(),
        &[
            ("ipv4/neigh/cni0/mcast_solicit", "1"),
            ("ipv4/neigh/cni0/retrans_time_ms", "200"),
        ],
    )?;
    let [a, b, c, _] = api.ipv4().octets();
    let nobody = Ipv4Addr::new(a, b, c, 99);
    let sent = send(web, SocketAddr::from((nobody, CLOSED)), PACKETS)?;
    wait::until(
        "the end of the search for a neighbour",
        NEIGHBOUR_TIMEOUT,
        || {
            let table = prepare::ip(node.namespace(), &format!("neigh show to {nobody}\n"))?;
            Ok(table.contains("FAILED").then_some(()))
        },
    )?;
    Ok(Kind {
        name: "a neighbour that does not answer",
        reason: "NEIGH_FAILED",
        node: "node-2",
        path: TO_SECOND_NODE,
        sent,
    })
}

/// Packets made by hand.
fn crafted(cluster: &Cluster) -> Result<Vec<Kind>> {
    let (web, api) = ends(cluster)?;
    let first = cluster.node("node-1")?.namespace();
    prepare::ip(first, "link set eth0 mtu 1400\n")?;
    prepare::set(first, &[("ipv4/conf/cni0/rp_filter", "1")])?;
    let to = |port| SocketAddrV4::new(api.ipv4(), port);
    let foreign = Ipv4Addr::new(198, 51, 100, 7);
    let loopback = Ipv4Addr::new(127, 0, 0, 9);
    type Make<'a> = Box<dyn Fn(SocketAddrV4) -> Packet + Send + Sync + 'a>;
    let all: [(_, _, _, _, Make<'_>); 7] = [
        (
            "a wrong UDP checksum",
            "UDP_CSUM",
            TO_POD,
            web.ipv4(),
            Box::new(|from| Packet::bad_udp(from, to(CLOSED))),
        ),
        (
            "a wrong TCP checksum",
            "TCP_CSUM",
            TO_POD,
            web.ipv4(),
            Box::new(|from| Packet::bad_tcp(from, to(CLOSED))),
        ),
        (
            "a protocol that nobody speaks",
            "IP_NOPROTO",
            TO_POD,
            web.ipv4(),
            Box::new(|from| Packet::new(*from.ip(), api.ipv4(), 253, vec![0; 8])),
        ),
        (
            "a packet that is too big and not to be cut",
            "PKT_TOO_BIG",
            TO_FIRST_NODE,
            web.ipv4(),
            Box::new(|from| {
                let big = Packet::udp(from, to(CLOSED), 1422);
                Packet {
                    dont_fragment: true,
                    ..big
                }
            }),
        ),
        (
            "a time to live that is over",
            "IP_INHDR",
            TO_FIRST_NODE,
            web.ipv4(),
            Box::new(|from| Packet {
                time_to_live: 1,
                ..Packet::udp(from, to(CLOSED), 8)
            }),
        ),
        (
            "a source that is not where it comes from",
            "IP_RPFILTER",
            TO_FIRST_NODE,
            foreign,
            Box::new(|from| Packet::udp(from, to(CLOSED), 8)),
        ),
        (
            "a loopback address on the wire",
            "IP_LOCALNET",
            TO_FIRST_NODE,
            loopback,
            Box::new(|from| Packet::udp(from, to(CLOSED), 8)),
        ),
    ];
    let mut kinds = Vec::new();
    let mut port = CRAFTED;
    for (name, reason, path, source, packet) in all {
        let mut sent = Vec::new();
        for _ in 0..PACKETS {
            port += 1;
            let packet = packet(SocketAddrV4::new(source, port));
            web.run(|| packet.send())?;
            sent.push(Tuple {
                source: packet.source.into(),
                destination: packet.destination.into(),
                transport: match packet.protocol {
                    6 => Transport::Tcp(port, CLOSED),
                    17 => Transport::Udp(port, CLOSED),
                    _ => Transport::Other,
                },
            });
        }
        kinds.push(Kind {
            name,
            reason,
            node: if path.len() == TO_POD.len() {
                "node-2"
            } else {
                "node-1"
            },
            path,
            sent,
        });
    }
    Ok(kinds)
}
