//! Packets with messages in them, and records around them.

use std::net::Ipv4Addr;

use probe_events::{KIND_DROP, RECORD_VERSION};

use crate::{
    node::DEVICES,
    support::{self, IPV4, ethernet, ipv4},
};

/// Where the resolver is.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

/// The device of a pod.
pub(crate) fn device(pod: Ipv4Addr) -> u32 {
    2 + pod.to_bits() % DEVICES
}

pub(crate) fn trace_record(packet: &[u8], ifindex: u32, time_ns: u64) -> Vec<u8> {
    let mut record = support::trace_record(packet);
    record[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    record[8..16].copy_from_slice(&time_ns.to_ne_bytes());
    record
}

pub(crate) fn drop_record(packet: &[u8], time_ns: u64) -> Vec<u8> {
    let mut record = vec![KIND_DROP, RECORD_VERSION, 0, 0];
    record.extend(2u32.to_ne_bytes());
    record.extend(time_ns.to_ne_bytes());
    record.extend((packet.len() as u32).to_ne_bytes());
    record.extend((packet.len() as u16).to_ne_bytes());
    record.extend([0; 2]);
    record.extend([8u32, 4_026_531_840].map(u32::to_ne_bytes).concat());
    record.extend(
        [5u64, 0xffff_8000_0000_1234, 0]
            .map(u64::to_ne_bytes)
            .concat(),
    );
    record.extend([0; 8]);
    record.extend(packet);
    record
}

fn between(mut packet: Vec<u8>, from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    packet[26..30].copy_from_slice(&from.octets());
    packet[30..34].copy_from_slice(&to.octets());
    packet
}

/// From port 40000 to port 80.
pub(crate) fn tcp(
    from: Ipv4Addr,
    to: Ipv4Addr,
    (sequence, acknowledgment): (u32, u32),
    payload: &[u8],
) -> Vec<u8> {
    let mut segment = support::tcp(80, 0x18, payload);
    segment[4..8].copy_from_slice(&sequence.to_be_bytes());
    segment[8..12].copy_from_slice(&acknowledgment.to_be_bytes());
    between(ethernet(IPV4, &ipv4(6, &segment)), from, to)
}

pub(crate) fn udp(
    (from, source_port): (Ipv4Addr, u16),
    (to, destination_port): (Ipv4Addr, u16),
    payload: &[u8],
) -> Vec<u8> {
    let mut datagram = support::udp(destination_port, payload);
    datagram[..2].copy_from_slice(&source_port.to_be_bytes());
    between(ethernet(IPV4, &ipv4(17, &datagram)), from, to)
}

/// The request of an exchange, or its response.
pub(crate) fn http(
    client: Ipv4Addr,
    server: Ipv4Addr,
    exchange: usize,
    is_response: bool,
) -> Vec<u8> {
    let request = format!(
        "GET /api/v1/items/{exchange}?page=2 HTTP/1.1\r\nHost: {server}\r\n\
         User-Agent: client/1.2\r\nAccept: */*\r\n\r\n"
    );
    let (asked, answered) = (exchange as u32 * 4_096, exchange as u32 * 8_192);
    let end = asked.wrapping_add(request.len() as u32);
    if !is_response {
        return tcp(client, server, (asked, answered), request.as_bytes());
    }
    let response =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    let mut packet = tcp(server, client, (answered, end), response);
    packet[34..36].copy_from_slice(&80u16.to_be_bytes());
    packet[36..38].copy_from_slice(&40_000u16.to_be_bytes());
    packet
}

/// A question for the address of a name, or its answer, which is `address`.
pub(crate) fn dns(
    client: Ipv4Addr,
    address: Ipv4Addr,
    exchange: usize,
    is_response: bool,
) -> Vec<u8> {
    const TYPE_A_CLASS_IN: [u8; 4] = [0, 1, 0, 1];
    let mut message = (exchange as u16).to_be_bytes().to_vec();
    message.extend(if is_response { [0x81, 0x80] } else { [0x01, 0] });
    message.extend([0, 1, 0, u8::from(is_response), 0, 0, 0, 0]);
    let host = format!("api-{}", address.to_bits() % 500);
    for label in [host.as_str(), "example", "com", ""] {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend(TYPE_A_CLASS_IN);
    if !is_response {
        return udp((client, 40_000), (RESOLVER, 53), &message);
    }
    message.extend([0xc0, 12]);
    message.extend(TYPE_A_CLASS_IN);
    message.extend(300u32.to_be_bytes());
    message.extend([0, 4]);
    message.extend(address.octets());
    udp((RESOLVER, 53), (client, 40_000), &message)
}
