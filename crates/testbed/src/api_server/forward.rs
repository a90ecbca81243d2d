//! Ports of pods: a WebSocket of the API server whose bytes go to a port of loopback, in the protocol
//! that kubelets speak (`v4.channel.k8s.io`).
//!
//! Each binary message begins with the number of a channel. Channel 0 carries the bytes of the port,
//! channel 1 what went wrong with it. Each begins with the number of the port, low byte first.

use std::{io, net::SocketAddr, net::TcpStream, time::Duration};

use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

use super::store::Store;

/// The only protocol that kubelets speak for ports; clients offer newer ones first.
const PROTOCOL: &str = "v4.channel.k8s.io";

/// The channel of the port's bytes, and the one of what went wrong.
const DATA: u8 = 0;
const ERROR: u8 = 1;

/// How often to look whether the pod is still there.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// How long a client may take to end a connection that the server has closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that are passed on at once, as kubelets do.
const PIECE_BYTES: usize = 32 * 1024;

/// Headers of a request for a WebSocket.
#[derive(Debug, Default)]
pub(super) struct Upgrade {
    is_websocket: bool,
    key: Option<String>,
    protocols: Vec<String>,
}

impl Upgrade {
    /// Takes notice of a header line.
    pub(super) fn header(&mut self, line: &str) {
        let Some((name, value)) = line.split_once(':') else {
            return;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "upgrade" => self.is_websocket = value.eq_ignore_ascii_case("websocket"),
            "sec-websocket-key" => self.key = Some(value.to_owned()),
            "sec-websocket-protocol" => {
                self.protocols = value.split(',').map(|it| it.trim().to_owned()).collect();
            }
            _ => {}
        }
    }
}

/// The head of the answer with which the WebSocket begins.
pub(super) fn accept(upgrade: &Upgrade, ports: &[u16]) -> Result<String, &'static str> {
    let key = upgrade.key.as_ref().filter(|_| upgrade.is_websocket);
    let key = key.ok_or("Upgrade request required")?;
    if !upgrade.protocols.iter().any(|it| it == PROTOCOL) {
        return Err("unable to negotiate a protocol");
    }
    if ports.len() != 1 {
        return Err("one port is all that anybody asks for here");
    }
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {}\r\nsec-websocket-protocol: {PROTOCOL}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    ))
}

/// Passes bytes on until either side ends, or the pod is gone.
pub(super) fn serve(
    connection: TcpStream,
    store: &Store,
    life: u64,
    pod: &(String, String),
    port: u16,
) -> io::Result<()> {
    connection.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let connection = tokio::net::TcpStream::from_std(connection)?;
        let socket = WebSocketStream::from_raw_socket(connection, Role::Server, None).await;
        let number = store.forward_begins();
        let target = store.target(pod, port);
        let passed = pass(socket, store, life, number, pod, (port, target)).await;
        store.forward_ends();
        passed.map_err(io::Error::other)
    })
}

async fn pass(
    mut socket: WebSocketStream<tokio::net::TcpStream>,
    store: &Store,
    life: u64,
    number: u64,
    pod: &(String, String),
    (port, target): (u16, Option<SocketAddr>),
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let message = |channel: u8, bytes: &[u8]| {
        let mut message = vec![channel];
        message.extend_from_slice(bytes);
        Message::binary(message)
    };
    for channel in [DATA, ERROR] {
        socket.send(message(channel, &port.to_le_bytes())).await?;
    }
    let opened = match target {
        Some(target) => tokio::net::TcpStream::connect(target).await.ok(),
        None => None,
    };
    let Some(mut listener) = opened else {
        let why = format!(
            "error forwarding port {port} to pod {}, uid : failed to connect to localhost:{port} inside \
             namespace: connection refused",
            pod.1
        );
        socket.send(message(ERROR, why.as_bytes())).await?;
        socket.close(None).await?;
        // What the client still sends is read, or the message would be lost with the connection.
        let client_ends = async { while let Some(Ok(_)) = socket.next().await {} };
        drop(tokio::time::timeout(CLOSE_TIMEOUT, client_ends).await);
        return Ok(());
    };
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        tokio::select! {
            read = listener.read(&mut piece) => match read? {
                0 => break,
                len => socket.send(message(DATA, &piece[..len])).await?,
            },
            received = socket.next() => match received.transpose()? {
                Some(Message::Binary(bytes)) if bytes.first() == Some(&DATA) => {
                    listener.write_all(&bytes[1..]).await?;
                }
                Some(Message::Close(_)) | None => break,
                Some(_) => {}
            },
            _ = look.tick() => {
                if store.life() != life || store.forward_is_cut(number) {
                    // In the middle, as when a machine dies.
                    return Ok(());
                }
                if store.get("pods", &pod.0, &pod.1).is_none() {
                    break;
                }
            }
        }
    }
    socket.close(None).await?;
    Ok(())
}
