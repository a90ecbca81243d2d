//! A UDP service that sends back what it gets, and a client of it.

use std::{
    net::{Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Result, ensure};

use super::{Workload, serve_datagrams};
use crate::Place;

/// How long the client waits for its datagram to come back.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Sends every datagram that arrives on `port` of `place` back to where it came from.
///
/// # Errors
/// When the port is taken.
pub fn serve_udp(place: &impl Place, port: u16) -> Result<Workload> {
    let socket = place.run(|| Ok(UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))?))?;
    Workload::start(place, "udp server", move |state| {
        serve_datagrams(state, &socket, |datagram| Ok(datagram.to_vec()));
    })
}

/// Every `interval` sends a datagram from `place` to one of `servers` in turn and waits for it to
/// come back.
///
/// # Errors
/// When the place is gone.
pub fn send_datagrams(
    place: &impl Place,
    servers: Vec<SocketAddr>,
    interval: Duration,
) -> Result<Workload> {
    Workload::start(place, "udp client", move |state| {
        for server in servers.iter().cycle() {
            state.count("send", there_and_back(*server));
            if !state.pause(interval) {
                break;
            }
        }
    })
}

fn there_and_back(server: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind(super::client::any_address(server))?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.connect(server)?;
    socket.send(b"set basket 7")?;
    let mut buffer = [0; 64];
    let len = socket.recv(&mut buffer)?;
    ensure!(
        &buffer[..len] == b"set basket 7",
        "another datagram came back"
    );
    Ok(())
}
