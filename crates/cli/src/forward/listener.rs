//! A port of this machine that leads to the relay, for other programs, as long as the command runs.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tracing::{debug, warn};

use super::{Forward, error::ForwardError};

/// Connections that are passed on at the same time; further ones wait. Each is a WebSocket to the API
/// server, and a client of gRPC needs one.
const MAX_CONNECTIONS: usize = 64;

/// How long to wait where no connection can be taken, as when files run out: others may go meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the port, on this machine only, and serves it until the runtime ends.
pub(super) async fn listen(forward: Forward, port: u16) -> Result<(), ForwardError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| ForwardError::Listen {
            port,
            cause: crate::source::reason(&error),
        })?;
    debug!(port, "listening for others");
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    tokio::spawn(async move {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let Ok((connection, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let forward = forward.clone();
            tokio::spawn(async move {
                pass_on(&forward, connection).await;
                drop(place);
            });
        }
    });
    Ok(())
}

async fn pass_on(forward: &Forward, mut connection: TcpStream) {
    let passed = match forward.open().await {
        Ok(mut pod) => copy_bidirectional(&mut connection, &mut pod)
            .await
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = passed {
        warn!(error, "a connection at the forwarded port ended");
    }
}
