//! The process behind a socket is found.

use std::net::{TcpStream, UdpSocket};

use anyhow::{Result, ensure};
use flow_observer::source::{
    HostFacts as _,
    probes::{ProbeConfig, Probes},
};
use testbed::{
    Cluster, bind,
    exchange::Family::{V4, V6},
};

use crate::{
    Rule,
    observed::{must_be_on, with_probes, with_some},
    socket::{cookie, this_process},
};

pub(crate) const RULES: &[Rule] = &[
    (
        "the_process_that_connected_a_socket_is_found_by_its_cookie",
        || with_probes(connected),
    ),
    (
        "the_process_that_sends_datagrams_is_found_by_its_sockets_cookie",
        || with_probes(sending),
    ),
    (
        "processes_are_found_where_translations_cannot_be_seen",
        || with_some(without_translations(), connected_and_sending),
    ),
    (
        "the_process_that_listens_is_found_by_the_cookie_of_an_accepted_socket",
        || with_probes(accepted),
    ),
    (
        "the_process_behind_a_port_is_found_by_address_and_port",
        || with_probes(listening),
    ),
];

/// As on a kernel that cannot order programs.
fn without_translations() -> ProbeConfig {
    ProbeConfig {
        translations: false,
        tcp: false,
        ..ProbeConfig::default()
    }
}

const PORT: u16 = 7000;
const TCP: u8 = 6;
const UDP: u8 = 17;

fn connected(cluster: &Cluster, probes: &mut Probes) -> Result<()> {
    must_be_on(probes, "sockets")?;
    let (web, api) = (cluster.pod("shop/web-0")?, cluster.pod("shop/api-0")?);
    for family in [V4, V6] {
        let there = (family.address(api), PORT);
        let _listener = api.run(|| Ok(bind::tcp(there)?))?;
        let (socket, process) = web.run(|| Ok((TcpStream::connect(there)?, this_process()?)))?;
        let found = probes.names.process_of_socket(cookie(&socket)?);
        ensure!(
            found.as_deref() == Some(&process),
            "{family:?}: found {found:?}, expected {process:?}"
        );
    }
    Ok(())
}

fn connected_and_sending(cluster: &Cluster, probes: &mut Probes) -> Result<()> {
    let off: Vec<_> = probes
        .hooks
        .iter()
        .filter(|hook| hook.off.is_some())
        .map(|hook| hook.name)
        .collect();
    let expected = ["socket-translation", "tcp-retransmits", "tcp-resets"];
    ensure!(off == expected, "off are {off:?}, expected {expected:?}");
    connected(cluster, probes)?;
    sending(cluster, probes)
}

fn sending(cluster: &Cluster, probes: &mut Probes) -> Result<()> {
    must_be_on(probes, "sockets")?;
    let (web, api) = (cluster.pod("shop/web-0")?, cluster.pod("shop/api-0")?);
    for family in [V4, V6] {
        let (socket, process) = web.run(|| {
            let socket = UdpSocket::bind((family.address(web), 0))?;
            socket.send_to(b"anybody there?", (family.address(api), PORT))?;
            Ok((socket, this_process()?))
        })?;
        let found = probes.names.process_of_socket(cookie(&socket)?);
        ensure!(
            found.as_deref() == Some(&process),
            "{family:?}: found {found:?}, expected {process:?}"
        );
    }
    Ok(())
}

fn accepted(cluster: &Cluster, probes: &mut Probes) -> Result<()> {
    must_be_on(probes, "sockets-accepted")?;
    let (web, cart) = (cluster.pod("shop/web-0")?, cluster.pod("shop/cart-0")?);
    for (family, port) in [(V4, PORT), (V6, PORT + 1)] {
        let here = (family.address(cart), port);
        let (listener, process) = cart.run(|| Ok((bind::tcp(here)?, this_process()?)))?;
        let _client = web.run(|| Ok(TcpStream::connect(here)?))?;
        let (socket, _) = listener.accept()?;
        let found = probes.names.process_of_socket(cookie(&socket)?);
        ensure!(
            found.as_deref() == Some(&process),
            "{family:?}: found {found:?}, expected {process:?}"
        );
    }
    Ok(())
}

fn listening(cluster: &Cluster, probes: &mut Probes) -> Result<()> {
    must_be_on(probes, "sockets")?;
    let cart = cluster.pod("shop/cart-0")?;
    for (family, port) in [(V4, PORT), (V6, PORT + 1)] {
        let here = (family.address(cart), port);
        let (_tcp, _udp, process) = cart.run(|| {
            let (tcp, udp) = (bind::tcp(here)?, bind::udp(here)?);
            Ok((tcp, udp, this_process()?))
        })?;
        for protocol in [TCP, UDP] {
            let found = probes.names.process_of_listener(here.0, protocol, port);
            ensure!(
                found.as_deref() == Some(&process),
                "{family:?} protocol {protocol}: found {found:?}, expected {process:?}"
            );
        }
    }
    for elsewhere in ["shop/web-0", "shop/api-0"] {
        let elsewhere = V4.address(cluster.pod(elsewhere)?);
        let found = probes.names.process_of_listener(elsewhere, TCP, PORT);
        ensure!(found.is_none(), "the listener of {elsewhere} is {found:?}");
    }
    Ok(())
}
