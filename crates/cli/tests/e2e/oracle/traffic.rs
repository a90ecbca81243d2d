//! The scripted exchange: every kind of packet that the probes and the capture are to agree on.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use testbed::{
    Cluster, Pod, bind,
    exchange::{self, Family},
};

use super::{prepare::nft, raw};

/// How long one message may take. Only a stopped machine can need it.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Within a node, and between nodes.
const PATHS: [(&str, &str); 2] = [("shop/web-0", "shop/cart-0"), ("shop/web-0", "shop/api-0")];
/// Between nodes through the tunnel.
const TUNNELLED: (&str, &str) = ("shop/cart-0", "shop/db-0");

const UDP: u16 = 7000;
const FRAGMENTED: u16 = 7001;
const TCP: u16 = 7002;
const BULK: u16 = 7003;
/// Of each connection to here, the first segment with data is lost.
pub(crate) const LOSSY: u16 = 7004;

/// All ports of the exchange: the sums of connections with these are compared.
pub(crate) const PORTS: [u16; 5] = [UDP, FRAGMENTED, TCP, BULK, LOSSY];

const ROUNDS: usize = 20;
const PINGS: u16 = 10;
/// Three fragments.
const FRAGMENTED_BYTES: usize = 4000;
const BULK_BYTES: usize = 200_000;
/// A capture that shows fewer packets than this, at all devices together, was not of this exchange.
pub(crate) const AT_LEAST: usize = 5000;

/// Makes the traffic.
pub(crate) fn run(cluster: &Cluster) -> Result<()> {
    lose_first_data(cluster)?;
    for family in [Family::V4, Family::V6] {
        for (client, server) in PATHS {
            let (client, server) = (cluster.pod(client)?, cluster.pod(server)?);
            datagrams(client, server, family, UDP, 8)?;
            datagrams(client, server, family, FRAGMENTED, FRAGMENTED_BYTES)?;
            exchange::tcp(client, server, family, TCP, ROUNDS)?;
            bulk(client, server, family)?;
            pings(client, server, family)?;
        }
        let (client, server) = (cluster.pod("shop/web-0")?, cluster.pod("shop/api-0")?);
        exchange::tcp(client, server, family, LOSSY, ROUNDS)?;
    }
    let (client, server) = (cluster.pod(TUNNELLED.0)?, cluster.pod(TUNNELLED.1)?);
    datagrams(client, server, Family::V4, UDP, 8)?;
    exchange::tcp(client, server, Family::V4, TCP, ROUNDS)?;
    pings(client, server, Family::V4)
}

/// On the first node, once for each IP version.
fn lose_first_data(cluster: &Cluster) -> Result<()> {
    let rule = |version: &str| {
        format!(
            "add rule inet oracle forward meta nfproto {version} tcp dport {LOSSY} \
             tcp flags & psh == psh numgen inc mod 1000000 0 drop\n"
        )
    };
    let table = "add table inet oracle\n\
         add chain inet oracle forward { type filter hook forward priority filter; }\n";
    let rules = [table, &rule("ipv4"), &rule("ipv6")].concat();
    nft(cluster.node("node-1")?, &rules)
}

/// So many bytes there and back, again and again.
fn datagrams(client: &Pod, server: &Pod, family: Family, port: u16, length: usize) -> Result<()> {
    let there = SocketAddr::new(family.address(server), port);
    let asked = udp_socket(server, there)?;
    let asking = udp_socket(client, SocketAddr::new(family.address(client), 0))?;
    let mut message = vec![0; length];
    for _ in 0..ROUNDS {
        asking.send_to(&message, there)?;
        let (received, from) = asked.recv_from(&mut message).context("no datagram")?;
        ensure!(received == length, "{received} bytes of {length}");
        asked.send_to(&message, from)?;
        asking.recv_from(&mut message).context("no answer")?;
    }
    Ok(())
}

/// A socket of the pod; sockets keep their namespace wherever they are used.
pub(crate) fn udp_socket(pod: &Pod, local: SocketAddr) -> Result<UdpSocket> {
    pod.run(|| {
        let socket = bind::udp(local)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        Ok(socket)
    })
}

/// One connection that carries full segments one way.
fn bulk(client: &Pod, server: &Pod, family: Family) -> Result<()> {
    let there = SocketAddr::new(family.address(server), BULK);
    let listener = server.run(|| Ok(bind::tcp(there)?))?;
    let mut asking = client.run(|| Ok(TcpStream::connect_timeout(&there, TIMEOUT)?))?;
    let (mut asked, _) = listener.accept()?;
    asked.set_read_timeout(Some(TIMEOUT))?;
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut all = Vec::new();
            asked.read_to_end(&mut all).map(|_| all.len())
        });
        asking.write_all(&vec![0; BULK_BYTES])?;
        asking.shutdown(std::net::Shutdown::Write)?;
        let end = asking.read(&mut [0])?;
        ensure!(end == 0, "an answer");
        let read = reading
            .join()
            .map_err(|_| anyhow!("the reader panicked"))??;
        ensure!(read == BULK_BYTES, "{read} bytes of {BULK_BYTES}");
        Ok(())
    })
}

fn pings(client: &Pod, server: &Pod, family: Family) -> Result<()> {
    let to = family.address(server);
    client.run(|| {
        let socket = raw::Echo::open(to.is_ipv4(), TIMEOUT)?;
        (0..PINGS).try_for_each(|number| socket.ask(to, number))
    })
}

/// A datagram with `text` between all pairs of pods that together use all devices both ways, and
/// its echo. Returns how many frames that makes on each node.
pub(crate) fn mark(cluster: &Cluster, port: u16, text: &str, has_tunnel: bool) -> Result<usize> {
    let within = [("shop/web-0", "shop/cart-0"), ("shop/api-0", "shop/db-0")];
    let between = [("shop/web-0", "shop/api-0"), TUNNELLED];
    for (client, server) in within.into_iter().chain(between) {
        let (client, server) = (cluster.pod(client)?, cluster.pod(server)?);
        let there = SocketAddr::new(server.ipv4().into(), port);
        let local = SocketAddr::new(IpAddr::V4(client.ipv4()), 0);
        let asked = udp_socket(server, there)?;
        let asking = udp_socket(client, local)?;
        asking.send_to(text.as_bytes(), there)?;
        let mut received = vec![0; text.len()];
        let (_, from) = asked.recv_from(&mut received).context("no mark")?;
        asked.send_to(text.as_bytes(), from)?;
        asking.recv_from(&mut received).context("no mark back")?;
    }
    // Both pods' devices; one pod's, the bridge and the network; the same with the tunnel.
    let there = 2 + 3 + if has_tunnel { 4 } else { 3 };
    Ok(2 * there)
}
