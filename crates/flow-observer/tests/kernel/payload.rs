//! Packets that begin a message are captured longer, and reported whatever is aggregated.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::mpsc::sync_channel,
    thread,
};

use anyhow::{Context as _, Result, ensure};
use flow_observer::source::probes::{Aggregation, ProbeConfig};
use probe_events::{FLAG_PAYLOAD, TracePoint};
use testbed::{Pod, bind};

use crate::{
    Rule,
    watch::{Watch, on_node},
};

pub(crate) const RULES: &[Rule] = &[
    (
        "what_begins_a_message_is_captured_and_never_aggregated",
        begins,
    ),
    (
        "the_rest_of_a_client_hello_is_captured_up_to_its_end",
        continues,
    ),
    ("a_long_client_hello_is_captured_whole", long),
    ("what_does_not_is_aggregated", ordinary),
    (
        "a_long_body_is_not_looked_at_and_the_next_head_is_reported",
        bodies,
    ),
    ("capturing_payload_can_be_turned_off", off),
];

const ROUNDS: usize = 5;

fn config() -> ProbeConfig {
    ProbeConfig {
        aggregation: Aggregation::Maximum,
        ..ProbeConfig::default()
    }
}

/// A message of 900 bytes that begins in this way.
fn message(beginning: &[u8]) -> Vec<u8> {
    let mut message = beginning.to_vec();
    message.resize(900, 0xaa);
    message
}

const QUIC: &[u8] = &[0xc3, 0, 0, 0, 1, 8];
const QUIC_2: &[u8] = &[0xd3, 0x6b, 0x33, 0x43, 0xcf, 8];
const TLS: &[u8] = &[0x16, 3, 1, 3, 0x7f, 1];

fn datagrams(client: &Pod, server: &Pod, port: u16, beginning: &[u8]) -> Result<SocketAddr> {
    let to = SocketAddr::from((server.ipv4(), port));
    // Somebody listens, so that no errors come back.
    let _listener = server.run(|| Ok(bind::udp(to)?))?;
    client.run(|| {
        let socket = UdpSocket::bind((client.ipv4(), 0))?;
        for _ in 0..ROUNDS {
            socket.send_to(&message(beginning), to)?;
        }
        Ok(socket.local_addr()?)
    })
}

fn segments(client: &Pod, server: &Pod, port: u16, beginning: &[u8]) -> Result<SocketAddr> {
    let messages = vec![message(beginning); ROUNDS];
    conversation(client, server, port, &messages)
}

/// Each message on its own way, answered by a byte, so that each is a packet.
fn conversation(client: &Pod, server: &Pod, port: u16, messages: &[Vec<u8>]) -> Result<SocketAddr> {
    answered(client, server, port, messages, b"!")
}

/// Each message on its own way, and then its answer.
fn answered(
    client: &Pod,
    server: &Pod,
    port: u16,
    messages: &[Vec<u8>],
    answer: &[u8],
) -> Result<SocketAddr> {
    let to = SocketAddr::from((server.ipv4(), port));
    thread::scope(|scope| {
        let (bound, wait) = sync_channel(1);
        scope.spawn(move || {
            server.run(move || {
                let listener = bind::tcp(to)?;
                bound.send(()).ok();
                let (mut stream, _) = listener.accept()?;
                for message in messages {
                    stream.read_exact(&mut vec![0; message.len()])?;
                    stream.write_all(answer)?;
                }
                Ok(())
            })
        });
        wait.recv().context("the server did not begin")?;
        client.run(|| {
            let mut stream = TcpStream::connect(to)?;
            for message in messages {
                stream.write_all(message)?;
                stream.read_exact(&mut vec![0; answer.len()])?;
            }
            Ok(stream.local_addr()?)
        })
    })
}

/// Records of `from` with payload at both points; each must hold all of the packet.
fn captured(watch: &Watch, from: SocketAddr) -> Result<[usize; 2]> {
    let mut counts = [0; 2];
    for (count, point) in counts
        .iter_mut()
        .zip([TracePoint::FromEndpoint, TracePoint::ToEndpoint])
    {
        for record in watch.traces(point, from.ip(), from.port()) {
            if record.header.flags & FLAG_PAYLOAD != 0 {
                *count += 1;
                ensure!(
                    u32::from(record.header.captured_len) == record.header.packet_len,
                    "{} bytes of {}",
                    record.header.captured_len,
                    record.header.packet_len
                );
            }
        }
    }
    Ok(counts)
}

fn begins() -> Result<()> {
    on_node(&config(), |watch, client, server| {
        let all = [
            datagrams(client, server, 53, b"dns")?,
            datagrams(client, server, 443, QUIC)?,
            datagrams(client, server, 444, QUIC_2)?,
            segments(client, server, 53, b"dns")?,
            segments(client, server, 80, b"GET / HTTP/1.1")?,
            segments(client, server, 81, b"HTTP/1.1 200 OK")?,
            segments(client, server, 445, TLS)?,
        ];
        watch.end()?;
        for (index, from) in all.into_iter().enumerate() {
            let counts = captured(watch, from)?;
            ensure!(counts == [ROUNDS; 2], "case {index}: {counts:?}");
            let (packets, _) = watch.counted(TracePoint::FromEndpoint, from.ip(), from.port());
            ensure!(packets >= ROUNDS as u64, "case {index}: {packets} counted");
        }
        Ok(())
    })
}

fn continues() -> Result<()> {
    on_node(&config(), |watch, client, server| {
        // A record of 2,000 bytes: two segments and a bit.
        let hello = b"\x16\x03\x01\x07\xd0\x01";
        let rest = message(b"rest");
        let messages = [message(hello), rest.clone(), rest.clone(), rest];
        let from = conversation(client, server, 443, &messages)?;
        watch.end()?;
        let counts = captured(watch, from)?;
        ensure!(counts == [3; 2], "{counts:?}");
        Ok(())
    })
}

fn long() -> Result<()> {
    on_node(&config(), |watch, client, server| {
        // Longer than a frame: what is to cut it into frames is not in a cluster of namespaces.
        let mut hello = b"\x16\x03\x01\x0b\xb8\x01".to_vec();
        hello.resize(3_005, 0xaa);
        let from = conversation(client, server, 443, &[hello])?;
        watch.end()?;
        let counts = captured(watch, from)?;
        ensure!(counts.iter().all(|&count| count > 0), "{counts:?}");
        Ok(())
    })
}

fn ordinary() -> Result<()> {
    on_node(&config(), |watch, client, server| {
        let all = [
            datagrams(client, server, 4433, b"GET / HTTP/1.1")?,
            segments(client, server, 4434, QUIC)?,
            segments(client, server, 4435, b"\x16\x03\x01\x00\x10\x02")?,
        ];
        watch.end()?;
        for from in all {
            ensure!(captured(watch, from)? == [0; 2], "{from}");
        }
        Ok(())
    })
}

/// A head with a body that far more packets carry than are looked at. From its middle on it is full
/// of what would be taken for heads, wherever a packet begins.
fn with_long_body(head: &[u8]) -> Vec<u8> {
    const HALF: usize = 4 << 20;
    let mut message = message(head);
    message.resize(message.len() + HALF, 0xaa);
    message.extend(b"GET ".repeat(HALF / 4));
    message
}

fn bodies() -> Result<()> {
    let config = ProbeConfig {
        aggregation: Aggregation::Medium,
        ..ProbeConfig::default()
    };
    on_node(&config, |watch, client, server| {
        let requests = vec![with_long_body(b"POST / HTTP/1.1"); ROUNDS];
        let answer = with_long_body(b"HTTP/1.1 200 OK");
        let from = answered(client, server, 80, &requests, &answer)?;
        watch.end()?;
        let to = SocketAddr::from((server.ipv4(), 80));
        for end in [from, to] {
            for point in [TracePoint::FromEndpoint, TracePoint::ToEndpoint] {
                let heads = watch
                    .traces(point, end.ip(), end.port())
                    .into_iter()
                    .filter(|record| record.header.flags & FLAG_PAYLOAD != 0)
                    .count();
                ensure!(heads == ROUNDS, "{heads} heads of {end} at {point:?}");
                let (_, bytes) = watch.counted(point, end.ip(), end.port());
                let sent = ROUNDS * answer.len();
                ensure!(bytes > sent as u64, "{bytes} bytes of {sent} at {point:?}");
            }
        }
        Ok(())
    })
}

fn off() -> Result<()> {
    let config = ProbeConfig {
        payload_bytes: 0,
        ..config()
    };
    on_node(&config, |watch, client, server| {
        let from = datagrams(client, server, 53, b"dns")?;
        watch.end()?;
        ensure!(captured(watch, from)? == [0; 2]);
        let reports = watch.traces(TracePoint::FromEndpoint, from.ip(), from.port());
        ensure!(reports.len() == 1, "{} reports", reports.len());
        Ok(())
    })
}
