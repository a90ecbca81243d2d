//! Whether somebody listens on a TCP port.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Duration,
};

use tokio::net::TcpStream;

use super::report::{Failure, Step};
use crate::source::reason;

/// Connects to the first address that answers; each has the whole time.
pub(super) async fn open(
    addresses: &[SocketAddr],
    patience: Duration,
) -> Result<(SocketAddr, TcpStream), Failure> {
    let mut first = None;
    for address in addresses {
        match connect(*address, patience).await {
            Ok(stream) => return Ok((*address, stream)),
            Err(error) => {
                first.get_or_insert_with(|| failure(*address, &error, patience));
            }
        }
    }
    Err(first.unwrap_or_else(|| Failure::new(Step::Port, "no address to connect to")))
}

/// Connects to one address.
pub(super) async fn connect(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    tokio::time::timeout(patience, TcpStream::connect(address))
        .await
        .unwrap_or_else(|_elapsed| Err(ErrorKind::TimedOut.into()))
}

fn failure(address: SocketAddr, error: &io::Error, patience: Duration) -> Failure {
    let failed = |cause| Failure::new(Step::Port, cause);
    match error.kind() {
        ErrorKind::ConnectionRefused => failed(format!("nobody listens on {address}"))
            .next("start the agent or relay there, or check the port"),
        ErrorKind::TimedOut => failed(format!("no answer from {address} within {patience:?}"))
            .next("is the host up, or does a firewall drop the packets?"),
        ErrorKind::ConnectionReset => failed(format!("{address} reset the connection"))
            .next("a firewall or a proxy may stand in between"),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            failed(format!("{address} cannot be reached: {}", reason(error)))
                .next("is the host up, and is its network?")
        }
        _ => failed(format!("cannot connect to {address}: {}", reason(error))),
    }
}
