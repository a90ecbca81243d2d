//! Clients: one that resolves a name and calls the service behind it, and one whose packets never
//! arrive.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustls::ClientConfig;

use super::{Workload, dns, http, tls};
use crate::Place;

/// How long the blocked client tries. Below the second after which the kernel would send the SYN
/// again, so that each try is one packet.
const BLOCKED_TIMEOUT: Duration = Duration::from_millis(300);

/// What a client calls.
#[derive(Clone, Debug)]
pub struct Call {
    /// The DNS servers to ask in turn: by IPv4 for an IPv4 address, by IPv6 for an IPv6 one.
    pub dns: Vec<SocketAddr>,
    /// The name to resolve.
    pub host: String,
    /// How to call: by HTTPS, trusting what this trusts, or by HTTP.
    pub tls: Option<Arc<ClientConfig>>,
    /// The port of what answers to the name.
    pub port: u16,
    /// The path to get.
    pub path: String,
}

/// Every `interval` resolves a name from `place` and gets a page from the address that came back.
///
/// # Errors
/// When the place is gone.
pub fn call(place: &impl Place, call: Call, interval: Duration) -> Result<Workload> {
    Workload::start(place, "http client", move |state| {
        for dns in call.dns.iter().cycle() {
            state.count("call", resolve_and_get(*dns, &call));
            if !state.pause(interval) {
                break;
            }
        }
    })
}

fn resolve_and_get(dns: SocketAddr, call: &Call) -> Result<()> {
    let address =
        dns::resolve(dns, &call.host)?.with_context(|| format!("{} does not exist", call.host))?;
    let server = SocketAddr::new(address, call.port);
    match &call.tls {
        Some(config) => tls::get(server, &call.host, &call.path, config),
        None => http::get(server, &call.host, &call.path),
    }
}

/// Every `interval` tries to connect from `place` to one of `servers` in turn, where a rule drops it:
/// not getting through is what counts as done.
///
/// # Errors
/// When the place is gone.
pub fn call_blocked(
    place: &impl Place,
    servers: Vec<SocketAddr>,
    interval: Duration,
) -> Result<Workload> {
    Workload::start(place, "blocked client", move |state| {
        for server in servers.iter().cycle() {
            let blocked = match TcpStream::connect_timeout(server, BLOCKED_TIMEOUT) {
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Ok(()),
                Err(error) => Err(error.into()),
                Ok(_) => refuse(*server),
            };
            state.count("be blocked", blocked);
            if !state.pause(interval) {
                break;
            }
        }
    })
}

fn refuse(server: SocketAddr) -> Result<()> {
    bail!("connected to {server}, expected the connection to be dropped")
}

/// The address to bind for talking to `server`: any, with a port of the kernel's choice.
pub(super) fn any_address(server: SocketAddr) -> SocketAddr {
    match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}
