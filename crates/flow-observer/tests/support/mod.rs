//! Packets built by hand, for the tests and benchmarks of this crate.
#![allow(dead_code, reason = "each test uses a part")]

use std::net::{Ipv4Addr, Ipv6Addr};

use probe_events::{KIND_TRACE, RECORD_VERSION, TracePoint, TraceReason};

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const ARP: u16 = 0x0806;
pub(crate) const IPV6: u16 = 0x86dd;

/// From 02:00:00:00:00:01 to 02:00:00:00:00:02.
pub(crate) fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    packet.extend(ethertype.to_be_bytes());
    packet.extend(payload);
    packet
}

/// What follows an EtherType of a VLAN.
pub(crate) fn tag(vlan: u16, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [
        &vlan.to_be_bytes()[..],
        &ethertype.to_be_bytes()[..],
        payload,
    ]
    .concat()
}

/// From 10.0.0.1 to 10.0.0.2.
pub(crate) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_fragment(protocol, 7, 0, false, payload)
}

/// As [`ipv4`]; `offset` in bytes.
pub(crate) fn ipv4_fragment(
    protocol: u8,
    id: u16,
    offset: u16,
    more: bool,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((20 + payload.len() as u16).to_be_bytes());
    packet.extend(id.to_be_bytes());
    packet.extend(((offset / 8) | (u16::from(more) << 13)).to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(Ipv4Addr::new(10, 0, 0, 1).octets());
    packet.extend(Ipv4Addr::new(10, 0, 0, 2).octets());
    let sum = checksum(&packet).to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    packet.extend(payload);
    packet
}

fn checksum(header: &[u8]) -> u16 {
    let mut sum: u32 = header
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// From fd00::1 to fd00::2.
pub(crate) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).octets());
    packet.extend(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2).octets());
    packet.extend(payload);
    packet
}

/// From port 40000.
pub(crate) fn udp(destination_port: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = 40_000u16.to_be_bytes().to_vec();
    packet.extend(destination_port.to_be_bytes());
    packet.extend((8 + payload.len() as u16).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}

/// From port 40000.
pub(crate) fn tcp(destination_port: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = 40_000u16.to_be_bytes().to_vec();
    packet.extend(destination_port.to_be_bytes());
    packet.extend([0, 0, 0, 1, 0, 0, 0, 0]);
    packet.extend((5 << 12 | flags).to_be_bytes());
    packet.extend([0xff, 0xff, 0, 0, 0, 0]);
    packet.extend(payload);
    packet
}

/// Network 77.
pub(crate) fn vxlan(inner: &[u8]) -> Vec<u8> {
    [&[8, 0, 0, 0, 0, 0, 77, 0], inner].concat()
}

/// Network 77, without options.
pub(crate) fn geneve(ethertype: u16, inner: &[u8]) -> Vec<u8> {
    let kind = ethertype.to_be_bytes();
    [&[0, 0, kind[0], kind[1], 0, 0, 77, 0], inner].concat()
}

/// A trace record of our probes around a packet that starts with Ethernet.
pub(crate) fn trace_record(packet: &[u8]) -> Vec<u8> {
    let point = TracePoint::FromEndpoint as u8;
    let mut record = vec![KIND_TRACE, RECORD_VERSION, 0, point];
    record.extend(7u32.to_ne_bytes());
    record.extend(1_000u64.to_ne_bytes());
    record.extend((packet.len() as u32).to_ne_bytes());
    record.extend((packet.len() as u16).to_ne_bytes());
    record.extend([0; 2]);
    record.extend([TraceReason::Established as u8, 0, 0, 0, 0, 0, 0, 0]);
    record.extend(99u64.to_ne_bytes());
    for count in [3u64, 4_500, 2, 120] {
        record.extend(count.to_ne_bytes());
    }
    record.extend(packet);
    record
}

/// The packets that a node sees most, each with a name and its UDP or TCP destination port.
pub(crate) fn ordinary() -> [(&'static str, Vec<u8>, u16); 5] {
    let payload = [0x55; 40];
    let inner = ethernet(IPV4, &ipv4(6, &tcp(80, 0x18, &payload[..8])));
    [
        (
            "TCP, IPv4",
            ethernet(IPV4, &ipv4(6, &tcp(80, 0x18, &payload))),
            80,
        ),
        (
            "TCP, IPv6",
            ethernet(IPV6, &ipv6(6, &tcp(80, 0x18, &payload))),
            80,
        ),
        (
            "UDP, IPv4",
            ethernet(IPV4, &ipv4(17, &udp(53, &payload))),
            53,
        ),
        (
            "UDP, IPv6",
            ethernet(IPV6, &ipv6(17, &udp(53, &payload))),
            53,
        ),
        (
            "TCP, IPv4, VXLAN, IPv4",
            ethernet(IPV4, &ipv4(17, &udp(8472, &vxlan(&inner)))),
            80,
        ),
    ]
}

/// What records of Cilium's datapath that carry a packet begin with.
fn cilium_header(kind: u8, subtype: u8, version: u8, packet: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, subtype];
    record.extend(77u16.to_ne_bytes());
    record.extend(0xa1b2_c3d4u32.to_ne_bytes());
    record.extend((packet.len() as u32).to_ne_bytes());
    record.extend((packet.len() as u16).to_ne_bytes());
    record.extend([version, 0]);
    record
}

/// A trace record of Cilium, version 2: to an endpoint, of a known connection.
pub(crate) fn cilium_trace(packet: &[u8]) -> Vec<u8> {
    const TO_ENDPOINT: u8 = 0;
    const ESTABLISHED: u8 = 1;
    let mut record = cilium_header(4, TO_ENDPOINT, 2, packet);
    record.extend(25_001u32.to_ne_bytes());
    record.extend(25_002u32.to_ne_bytes());
    record.extend(77u16.to_ne_bytes());
    record.extend([ESTABLISHED, 0]);
    record.extend(7u32.to_ne_bytes());
    record.extend([0; 24]);
    record.extend(packet);
    record
}

/// A drop record of Cilium, version 3: denied by a policy.
pub(crate) fn cilium_drop(packet: &[u8]) -> Vec<u8> {
    const POLICY_DENIED: u8 = 133;
    let mut record = cilium_header(1, POLICY_DENIED, 3, packet);
    record.extend(25_001u32.to_ne_bytes());
    record.extend(25_002u32.to_ne_bytes());
    record.extend(77u32.to_ne_bytes());
    record.extend(640u16.to_ne_bytes());
    record.extend([2, 0]);
    record.extend(7u32.to_ne_bytes());
    record.extend([0; 12]);
    record.extend(packet);
    record
}

/// A policy verdict of Cilium: allowed at ingress.
pub(crate) fn cilium_policy_verdict(packet: &[u8]) -> Vec<u8> {
    const L3_L4_AT_INGRESS: u8 = 0x11;
    let mut record = cilium_header(5, 0, 0, packet);
    record.extend(25_001u32.to_ne_bytes());
    record.extend([0; 4]);
    record.extend(80u16.to_ne_bytes());
    record.extend([6, L3_L4_AT_INGRESS, 0, 0, 0, 0]);
    record.extend([0; 8]);
    record.extend(packet);
    record
}

/// [`ethernet`] and IPv4, TCP with a payload, between two addresses of choice.
pub(crate) fn tcp_between(source: Ipv4Addr, destination: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let mut packet = ethernet(IPV4, &ipv4(6, &tcp(80, 0x18, payload)));
    packet[26..30].copy_from_slice(&source.octets());
    packet[30..34].copy_from_slice(&destination.octets());
    packet
}
