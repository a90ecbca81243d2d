//! Exchanges whose packets are known exactly, for tests that count them.
//!
//! Each exchange has client ports of its own, chosen by the kernel, by which its flows are told
//! from all others.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    sync::mpsc::sync_channel,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::{Pod, bind};

/// How long one message may take. Nothing is lost between namespaces, so only a stopped machine
/// can need it; an exchange that meets it has failed and is never repeated, which keeps it exact.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The IP version of an exchange.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The address of `pod` in this family.
    pub fn address(self, pod: &Pod) -> IpAddr {
        match self {
            Self::V4 => pod.ipv4().into(),
            Self::V6 => pod.ipv6().into(),
        }
    }
}

/// What passed between a client and a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Exchange {
    /// Where the requests came from.
    pub client: SocketAddr,
    /// Where they went to.
    pub server: SocketAddr,
    /// How many requests were sent and, except where they were dropped, answered.
    pub rounds: usize,
}

/// `rounds` times a UDP datagram to `port` of `server` and a datagram back, one after the other,
/// all from one client port: exactly `rounds` packets in each direction.
///
/// # Errors
/// When a port is taken or a message does not arrive.
pub fn udp(
    client: &Pod,
    server: &Pod,
    family: Family,
    port: u16,
    rounds: usize,
) -> Result<Exchange> {
    udp_paced(client, server, family, port, rounds, Duration::ZERO)
}

/// [`udp`] with a pause after each round.
///
/// # Errors
/// As [`udp`].
pub fn udp_paced(
    client: &Pod,
    server: &Pod,
    family: Family,
    port: u16,
    rounds: usize,
    pause: Duration,
) -> Result<Exchange> {
    let there = SocketAddr::new(family.address(server), port);
    let local = SocketAddr::new(family.address(client), 0);
    with_server(
        server,
        || bind::udp(there),
        |socket| {
            socket.set_read_timeout(Some(TIMEOUT))?;
            for _ in 0..rounds {
                let (message, from) = receive(&socket)?;
                socket.send_to(&message.to_ne_bytes(), from)?;
            }
            Ok(())
        },
        || {
            client.run(|| {
                let socket = UdpSocket::bind(local)?;
                socket.set_read_timeout(Some(TIMEOUT))?;
                for round in 0..rounds {
                    socket.send_to(&round.to_ne_bytes(), there)?;
                    let (answer, from) = receive(&socket)?;
                    ensure!(
                        from == there,
                        "an answer from {from}, expected one from {there}"
                    );
                    ensure!(answer == round, "answer {answer}, expected {round}");
                    thread::sleep(pause);
                }
                Ok(Exchange {
                    client: socket.local_addr()?,
                    server: there,
                    rounds,
                })
            })
        },
    )
    .with_context(|| {
        format!(
            "udp exchange from {} to {} port {port}",
            client.name(),
            server.name()
        )
    })
}

/// One TCP connection on which `rounds` times a request passes and then its reply, each a segment
/// with PSH set; then the client closes, and the server after it. So there is one SYN and one FIN
/// in each direction, and `rounds` segments with PSH; how many bare ACKs there are is the kernel's
/// choice.
///
/// # Errors
/// When a port is taken, the connection fails or a message does not arrive.
pub fn tcp(
    client: &Pod,
    server: &Pod,
    family: Family,
    port: u16,
    rounds: usize,
) -> Result<Exchange> {
    let there = SocketAddr::new(family.address(server), port);
    with_server(
        server,
        || bind::tcp(there),
        |listener| {
            let (stream, _) = listener.accept()?;
            prepare(&stream)?;
            for _ in 0..rounds {
                let message = read_message(&stream)?;
                (&stream).write_all(&message.to_ne_bytes())?;
            }
            read_to_end(&stream)
        },
        || {
            client.run(|| {
                let stream = TcpStream::connect_timeout(&there, TIMEOUT)?;
                prepare(&stream)?;
                let local = stream.local_addr()?;
                for round in 0..rounds {
                    (&stream).write_all(&round.to_ne_bytes())?;
                    let answer = read_message(&stream)?;
                    ensure!(answer == round, "answer {answer}, expected {round}");
                }
                stream.shutdown(std::net::Shutdown::Write)?;
                read_to_end(&stream)?;
                Ok(Exchange {
                    client: local,
                    server: there,
                    rounds,
                })
            })
        },
    )
    .with_context(|| {
        format!(
            "tcp exchange from {} to {} port {port}",
            client.name(),
            server.name()
        )
    })
}

/// `packets` UDP datagrams to `port` of `server`, each from a source port of its own, nobody
/// listening and nobody answering: for a port that
/// [`Node::drop_traffic`](crate::Node::drop_traffic) drops on the way. Returns one exchange of one
/// round for each.
///
/// # Errors
/// When a socket cannot be opened or a datagram cannot be sent.
pub fn drops(
    client: &Pod,
    server: &Pod,
    family: Family,
    port: u16,
    packets: usize,
) -> Result<Vec<Exchange>> {
    let there = SocketAddr::new(family.address(server), port);
    let local = SocketAddr::new(family.address(client), 0);
    client.run(|| {
        // All stay open to the end, so that no port is given out twice.
        let sockets: Vec<UdpSocket> = (0..packets)
            .map(|_| UdpSocket::bind(local))
            .collect::<Result<_, _>>()?;
        sockets
            .iter()
            .map(|socket| {
                socket.send_to(b"to be dropped", there)?;
                Ok(Exchange {
                    client: socket.local_addr()?,
                    server: there,
                    rounds: 1,
                })
            })
            .collect()
    })
}

/// Runs `serve` in the pod `server` beside `ask`, which starts once `bind` has returned.
fn with_server<S: Send, T: Send>(
    server: &Pod,
    bind: impl FnOnce() -> std::io::Result<S> + Send,
    serve: impl FnOnce(S) -> Result<()> + Send,
    ask: impl FnOnce() -> Result<T>,
) -> Result<T> {
    thread::scope(|scope| {
        let (bound, wait) = sync_channel(1);
        let serving = scope.spawn(move || {
            server.run(move || {
                let socket = bind().context("cannot bind")?;
                // The receiver waits for this and nothing else.
                bound.send(()).ok();
                serve(socket)
            })
        });
        // An error here means that the server has ended; what it returned says why.
        let asked = wait.recv().is_ok().then(ask);
        let served = serving
            .join()
            .map_err(|_| anyhow::anyhow!("the server panicked"))?;
        // The client's complaint comes first: it knows which message failed.
        let asked = asked.transpose()?;
        served?;
        asked.context("the server ended before it began")
    })
}

/// A message is one native integer: client and server are the same program.
const MESSAGE_BYTES: usize = size_of::<usize>();

fn receive(socket: &UdpSocket) -> Result<(usize, SocketAddr)> {
    let mut message = [0; MESSAGE_BYTES];
    let (len, from) = socket
        .recv_from(&mut message)
        .context("no datagram arrived")?;
    ensure!(
        len == MESSAGE_BYTES,
        "datagram of {len} bytes, expected {MESSAGE_BYTES}"
    );
    Ok((usize::from_ne_bytes(message), from))
}

fn prepare(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(())
}

fn read_message(mut stream: &TcpStream) -> Result<usize> {
    let mut message = [0; MESSAGE_BYTES];
    stream
        .read_exact(&mut message)
        .context("no message arrived")?;
    Ok(usize::from_ne_bytes(message))
}

fn read_to_end(mut stream: &TcpStream) -> Result<()> {
    let mut rest = Vec::new();
    stream
        .read_to_end(&mut rest)
        .context("the connection did not end")?;
    ensure!(rest.is_empty(), "{} bytes too many", rest.len());
    Ok(())
}
