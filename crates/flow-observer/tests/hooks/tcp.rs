//! Retransmissions and resets are counted, each once.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use flow_observer::source::probes::Probes;
use nix::sys::socket::{setsockopt, sockopt};
use testbed::{
    Cluster, Node, bind,
    exchange::Family::{V4, V6},
};

use crate::{
    Rule,
    observed::{must_be_on, said_of_tcp, with_probes},
    socket::{netns_cookie, retransmitted},
};

pub(crate) const RULES: &[Rule] = &[
    (
        "segments_that_are_sent_again_are_counted_as_the_kernel_does",
        || with_probes(lost_data),
    ),
    (
        "a_syn_that_is_sent_again_is_counted_as_the_kernel_does",
        || with_probes(lost_syn),
    ),
    ("a_reset_from_a_closed_port_is_counted_once", || {
        with_probes(closed_port)
    }),
    ("a_connection_that_is_reset_is_counted_once", || {
        with_probes(aborted)
    }),
];

const PORT: u16 = 7000;
const RETRANSMIT: u8 = 1;
const RESET: u8 = 2;

fn lost_data(cluster: &Cluster, probes: &mut Probes) -> Result<()> {
    must_be_on(probes, "tcp-retransmits")?;
    drop_first(cluster.node("node-1")?, "psh")?;
    let (web, api) = (cluster.pod("shop/web-0")?, cluster.pod("shop/api-0")?);
    let there = SocketAddr::new(V4.address(api), PORT);
    let listener = api.run(|| Ok(bind::tcp(there)?))?;
    let mut client = web.run(|| Ok(TcpStream::connect(there)?))?;
    let (mut server, _) = listener.accept()?;
    client.write_all(b"lost")?;
    server.read_exact(&mut [0; 4])?;
    let times = retransmitted(&client)?;
    ensure!(times > 0, "nothing was lost");
    told(probes, web, RETRANSMIT, client.local_addr()?, there, times)
}

fn lost_syn(cluster: &Cluster, probes: &mut Probes) -> Result<()> {
    must_be_on(probes, "tcp-retransmits")?;
    drop_first(cluster.node("node-1")?, "syn")?;
    let (web, api) = (cluster.pod("shop/web-0")?, cluster.pod("shop/api-0")?);
    let there = SocketAddr::new(V6.address(api), PORT);
    let _listener = api.run(|| Ok(bind::tcp(there)?))?;
    let client = web.run(|| Ok(TcpStream::connect(there)?))?;
    let times = retransmitted(&client)?;
    ensure!(times > 0, "nothing was lost");
    told(probes, web, RETRANSMIT, client.local_addr()?, there, times)
}

fn closed_port(cluster: &Cluster, probes: &mut Probes) -> Result<()> {
    must_be_on(probes, "tcp-resets")?;
    let (web, cart) = (cluster.pod("shop/web-0")?, cluster.pod("shop/cart-0")?);
    for family in [V4, V6] {
        let closed = cart.run(|| Ok(bind::free(family.address(cart))?))?;
        let refused = web.run(|| Ok(TcpStream::connect(closed)))?;
        ensure!(refused.is_err(), "somebody has the port {closed}");
        let events = said_of_tcp(probes, netns_cookie(cart)?, 1)?;
        let [event] = events[..] else {
            anyhow::bail!("told {events:?}, expected one reset from {closed}");
        };
        ensure!(
            event.trouble as u8 == RESET
                && event.source == closed
                && event.destination.ip() == family.address(web),
            "told {event:?}, expected a reset from {closed}"
        );
    }
    Ok(())
}

fn aborted(cluster: &Cluster, probes: &mut Probes) -> Result<()> {
    must_be_on(probes, "tcp-resets")?;
    let (web, api) = (cluster.pod("shop/web-0")?, cluster.pod("shop/api-0")?);
    for family in [V4, V6] {
        let there = SocketAddr::new(family.address(api), PORT);
        let listener = api.run(|| Ok(bind::tcp(there)?))?;
        let client = web.run(|| Ok(TcpStream::connect(there)?))?;
        let (mut server, _) = listener.accept()?;
        let local = client.local_addr()?;
        let at_once = nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        setsockopt(&client, sockopt::Linger, &at_once)?;
        drop(client);
        ensure!(
            server.read(&mut [0; 1]).is_err(),
            "closed in the ordinary way"
        );
        told(probes, web, RESET, local, there, 1)?;
    }
    Ok(())
}

/// Exactly so many events in the pod's namespace, and no others.
fn told(
    probes: &mut Probes,
    pod: &testbed::Pod,
    trouble: u8,
    source: SocketAddr,
    destination: SocketAddr,
    times: u32,
) -> Result<()> {
    let events = said_of_tcp(probes, netns_cookie(pod)?, times as usize)?;
    let found: Vec<_> = events
        .iter()
        .map(|event| (event.trouble as u8, event.source, event.destination))
        .collect();
    ensure!(
        found == vec![(trouble, source, destination); times as usize],
        "told {events:?}, expected trouble {trouble} {times} times from {source} to {destination}"
    );
    Ok(())
}

/// Makes the node drop the first segment with these flags that it forwards to [`PORT`].
pub(crate) fn drop_first(node: &Node, flag: &str) -> Result<()> {
    let rules = format!(
        "add table inet drops\n\
         add chain inet drops forward {{ type filter hook forward priority filter; }}\n\
         add rule inet drops forward tcp dport {PORT} tcp flags & {flag} == {flag} \
         numgen inc mod 1000000 0 drop\n"
    );
    nft(node, &rules)
}

/// Loads nftables rules in a node.
pub(crate) fn nft(node: &Node, rules: &str) -> Result<()> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("nft");
    command
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .args(["-f", "-"])
        .stdin(Stdio::piped());
    let mut nft = node.spawn(command)?;
    let mut input = nft.stdin.take().context("nft without standard input")?;
    input.write_all(rules.as_bytes())?;
    drop(input);
    ensure!(nft.wait()?.success(), "nft refused {rules}");
    Ok(())
}
