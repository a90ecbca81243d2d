//! Packets built by hand, layer by layer.

mod tunnels;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow_filter::TcpFlags;

use super::*;
use crate::record::{Arp, Fragment, Ip, Transport, Tunnel};

/// An Ethernet header from 02:..:01 to 02:..:02.
fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    packet.extend(ethertype.to_be_bytes());
    packet.extend(payload);
    packet
}

/// IPv4 from 10.0.0.1 to 10.0.0.2.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((20 + payload.len() as u16).to_be_bytes());
    packet.extend([0, 7, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(payload);
    packet
}

/// IPv6 from fd00::1 to fd00::2.
fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend("fd00::1".parse::<Ipv6Addr>().unwrap().octets());
    packet.extend("fd00::2".parse::<Ipv6Addr>().unwrap().octets());
    packet.extend(payload);
    packet
}

fn udp(destination_port: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![3, 232];
    packet.extend(destination_port.to_be_bytes());
    packet.extend((8 + payload.len() as u16).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}

/// From port 80 to 40000, SYN and ACK.
fn tcp(payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![
        0, 80, 0x9c, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x12, 0, 0, 0, 0, 0, 0,
    ];
    packet.extend(payload);
    packet
}

/// Ethernet, IPv4, UDP from 10.0.0.1:1000 to 10.0.0.2:53, no payload.
pub(crate) fn udp_packet() -> Vec<u8> {
    ethernet(0x0800, &ipv4(17, &udp(53, &[])))
}

/// Ethernet, IPv6, TCP SYN+ACK from fd00::1:80 to fd00::2:40000.
fn tcp6_packet() -> Vec<u8> {
    ethernet(0x86dd, &ipv6(6, &tcp(&[])))
}

fn vxlan(inner: &[u8]) -> Vec<u8> {
    let mut packet = vec![8, 0, 0, 0, 0, 1, 2, 0];
    packet.extend(inner);
    packet
}

/// With one option of four bytes.
fn geneve(ethertype: u16, inner: &[u8]) -> Vec<u8> {
    let mut packet = vec![1, 0];
    packet.extend(ethertype.to_be_bytes());
    packet.extend([0, 1, 2, 0, 0xff, 0xff, 0, 0]);
    packet.extend(inner);
    packet
}

fn own(packet: &[u8]) -> Dissected {
    dissect(packet, false, Start::Ethernet)
}

fn hubble(packet: &[u8]) -> Result<Dissected, PacketError> {
    dissect_as_hubble(packet, Start::Ethernet, None)
}

fn udp_to(destination_port: u16) -> Option<Transport> {
    Some(Transport::Udp {
        source_port: 1000,
        destination_port,
    })
}

fn tcp_syn_ack() -> Option<Transport> {
    Some(Transport::Tcp {
        source_port: 80,
        destination_port: 40000,
        flags: TcpFlags::from_bits(0x12),
    })
}

fn ipv4_ends() -> Option<Ip> {
    Some(Ip {
        source: IpAddr::from([10, 0, 0, 1]),
        destination: IpAddr::from([10, 0, 0, 2]),
    })
}

#[test]
fn udp_over_ipv4_shows_addresses_and_ports_in_both_dialects() {
    for dissected in [own(&udp_packet()), hubble(&udp_packet()).unwrap()] {
        let headers = dissected.headers;
        assert_eq!(headers.ethernet.unwrap().source, [2, 0, 0, 0, 0, 1]);
        assert_eq!(headers.ip, ipv4_ends());
        assert_eq!(headers.transport, udp_to(53));
        assert_eq!(dissected.fault, None);
    }
}

#[test]
fn tcp_over_ipv6_shows_its_flags() {
    let headers = own(&tcp6_packet()).headers;
    assert_eq!(headers.transport, tcp_syn_ack());
    assert_eq!(headers.ip.unwrap().destination.to_string(), "fd00::2");
}

#[test]
fn a_packet_may_start_at_any_header() {
    for (packet, start) in [
        (udp_packet(), Start::Ipv4),
        (tcp6_packet(), Start::Ipv6),
        (udp_packet(), Start::Ip),
        (tcp6_packet(), Start::Ip),
        (udp_packet(), Start::EtherType(0x0800)),
        (tcp6_packet(), Start::EtherType(0x86dd)),
    ] {
        let with = own(&packet).headers;
        let without = dissect(&packet[14..], false, start);
        let without = without.headers;
        assert_eq!((with.ip, with.transport), (without.ip, without.transport));
        assert_eq!(without.ethernet, None);
    }
}

#[test]
fn no_bytes_are_no_headers_and_no_error() {
    assert_eq!(own(&[]), Dissected::default());
    assert_eq!(hubble(&[]), Ok(Dissected::default()));
}

#[test]
fn every_shim_leads_to_the_packet_in_our_dialect_and_ends_it_in_hubbles() {
    let ip = ipv4(17, &udp(53, &[]));
    let mut snap = vec![0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    snap.extend(&ip);
    let snap_len = snap.len() as u16;
    let tagged = |head: &[u8]| [head, &ip].concat();
    for (ethertype, payload, vlan) in [
        (0x8100, tagged(&[0xe0, 5, 8, 0]), Some(5)),
        (0x88a8, tagged(&[0, 7, 0x81, 0, 0, 5, 8, 0]), Some(7)),
        (0x8847, tagged(&[0, 1, 0, 64, 0, 2, 1, 64]), None),
        (0x8864, tagged(&[0x11, 0, 0, 1, 0, 30, 0, 0x21]), None),
        (snap_len, snap, None),
    ] {
        let packet = ethernet(ethertype, &payload);
        let headers = own(&packet).headers;
        assert_eq!(headers.transport, udp_to(53), "{ethertype:x}");
        assert_eq!(headers.vlan, vlan, "{ethertype:x}");
        let headers = hubble(&packet).unwrap().headers;
        assert!(headers.ethernet.is_some());
        assert_eq!((headers.ip, headers.vlan), (None, None));
    }
}

#[test]
fn tags_without_end_are_given_up() {
    let packet = ethernet(0x8100, &[0x81, 0].repeat(100));
    let dissected = own(&packet);
    assert_eq!((dissected.headers.ip, dissected.fault), (None, None));
}

#[test]
fn arp_shows_its_addresses_as_those_of_the_packet() {
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 2];
    arp.extend([2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2]);
    let packet = ethernet(0x0806, &arp);
    let headers = own(&packet).headers;
    assert_eq!(headers.arp, Some(Arp { operation: 2 }));
    assert_eq!(headers.ip, ipv4_ends());
    let headers = hubble(&packet).unwrap().headers;
    assert_eq!((headers.arp, headers.ip), (None, None));
}

#[test]
fn fragments_of_ipv4_are_noted_and_only_the_first_has_ports() {
    let mut packet = udp_packet();
    packet[14 + 6] = 0x20;
    let headers = own(&packet).headers;
    let first = Fragment {
        id: 7,
        offset: 0,
        more: true,
        protocol: 17,
    };
    assert_eq!(headers.fragment, Some(first));
    assert_eq!(headers.transport, udp_to(53));
    packet[14 + 6] = 0;
    packet[14 + 7] = 185;
    let headers = own(&packet).headers;
    let last = Fragment {
        offset: 1480,
        more: false,
        ..first
    };
    assert_eq!(headers.fragment, Some(last));
    assert_eq!((headers.ip, headers.transport), (ipv4_ends(), None));
}

#[test]
fn hubble_stops_at_every_fragment() {
    for (high, low) in [(0x20, 0), (0, 185)] {
        let mut packet = udp_packet();
        (packet[14 + 6], packet[14 + 7]) = (high, low);
        let headers = hubble(&packet).unwrap().headers;
        assert_eq!((headers.ip, headers.transport), (ipv4_ends(), None));
        assert_eq!(headers.fragment, None);
    }
}

/// IPv6 with one extension header of each kind, and UDP behind them.
fn extended(fragment: [u8; 4]) -> Vec<u8> {
    let mut chain = vec![43, 0, 0, 0, 0, 0, 0, 0];
    chain.extend([60, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    chain.extend([51, 0, 0, 0, 0, 0, 0, 0]);
    chain.extend([44, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    chain.extend([
        17,
        0,
        fragment[0],
        fragment[1],
        0,
        0,
        fragment[2],
        fragment[3],
    ]);
    chain.extend(udp(53, &[]));
    ethernet(0x86dd, &ipv6(0, &chain))
}

#[test]
fn extension_headers_of_ipv6_are_gone_over() {
    let whole = own(&extended([0, 0, 0, 9])).headers;
    assert_eq!((whole.transport, whole.fragment), (udp_to(53), None));
    let first = own(&extended([0, 1, 0, 9])).headers;
    assert_eq!(first.transport, udp_to(53));
    let later = own(&extended([0, 8, 0, 9])).headers;
    assert_eq!(later.transport, None);
    let expected = Fragment {
        id: 9,
        offset: 8,
        more: false,
        protocol: 17,
    };
    assert_eq!(later.fragment, Some(expected));
    let headers = hubble(&extended([0, 0, 0, 9])).unwrap().headers;
    assert!(headers.ip.is_some() && headers.transport.is_none());
}

#[test]
fn hubble_goes_over_hop_by_hop_only() {
    let mut report = vec![58, 0, 5, 2, 0, 0, 1, 0];
    report.extend([143, 0, 0, 0]);
    let packet = ethernet(0x86dd, &ipv6(0, &report));
    for dissected in [own(&packet), hubble(&packet).unwrap()] {
        let expected = Transport::Icmpv6 { kind: 143, code: 0 };
        assert_eq!(dissected.headers.transport, Some(expected));
    }
}

#[test]
fn extension_headers_without_end_are_given_up() {
    let packet = ethernet(0x86dd, &ipv6(60, &[60, 0, 0, 0, 0, 0, 0, 0].repeat(50)));
    let dissected = own(&packet);
    assert_eq!((dissected.headers.transport, dissected.fault), (None, None));
}

#[test]
fn every_transport_shows_what_it_has() {
    let sctp = [0, 80, 0x9c, 0x40, 0, 0, 0, 0, 0, 0, 0, 0];
    let vrrp = [0x21, 7, 100, 1, 0, 1, 0, 0, 10, 0, 0, 9];
    for (protocol, payload, expected) in [
        (6, tcp(&[]), tcp_syn_ack()),
        (17, udp(53, &[]), udp_to(53)),
        (
            132,
            sctp.to_vec(),
            Some(Transport::Sctp {
                source_port: 80,
                destination_port: 40000,
                chunk: None,
            }),
        ),
        (
            132,
            [&sctp[..], &[14, 0, 0, 4]].concat(),
            Some(Transport::Sctp {
                source_port: 80,
                destination_port: 40000,
                chunk: Some(14),
            }),
        ),
        (
            1,
            vec![8, 0, 0, 0, 0, 0, 0, 0],
            Some(Transport::Icmpv4 { kind: 8, code: 0 }),
        ),
        (
            58,
            vec![128, 1, 0, 0],
            Some(Transport::Icmpv6 { kind: 128, code: 1 }),
        ),
        (
            112,
            vrrp.to_vec(),
            Some(Transport::Vrrp {
                version: 2,
                kind: 1,
                id: 7,
                priority: 100,
            }),
        ),
        (
            2,
            vec![0x16, 0, 0, 0, 224, 0, 0, 9],
            Some(Transport::Igmp {
                kind: 0x16,
                group: Ipv4Addr::new(224, 0, 0, 9),
            }),
        ),
        (47, vec![0; 8], None),
        (50, vec![0; 8], None),
    ] {
        let packet = ethernet(0x0800, &ipv4(protocol, &payload));
        assert_eq!(own(&packet).headers.transport, expected, "{protocol}");
        let headers = hubble(&packet).unwrap().headers;
        assert_eq!(headers.transport, expected, "{protocol}");
    }
}

#[test]
fn vrrp_of_version_3_is_told_apart_in_our_dialect_only() {
    let vrrp = ipv4(112, &[0x31, 7, 100, 1, 0, 1, 0, 0, 10, 0, 0, 9]);
    let version = |dissected: Dissected| match dissected.headers.transport {
        Some(Transport::Vrrp { version, .. }) => version,
        other => panic!("{other:?}"),
    };
    let packet = ethernet(0x0800, &vrrp);
    assert_eq!(version(own(&packet)), 3);
    assert_eq!(version(hubble(&packet).unwrap()), 2);
}

#[test]
fn hubble_refuses_vrrp_that_is_no_advertisement_or_has_no_address() {
    for head in [[0x22, 7, 100, 1], [0x21, 7, 100, 0]] {
        let packet = ethernet(0x0800, &ipv4(112, &[&head[..], &[0; 8]].concat()));
        let error = PacketError::Impossible { layer: "VRRP" };
        assert_eq!(hubble(&packet), Err(error));
        assert!(own(&packet).headers.transport.is_some());
    }
}

#[test]
fn a_report_of_igmp_version_3_shows_its_first_group() {
    let report = [0x22, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 239, 1, 2, 3];
    let headers = own(&ethernet(0x0800, &ipv4(2, &report))).headers;
    let expected = Transport::Igmp {
        kind: 0x22,
        group: Ipv4Addr::new(239, 1, 2, 3),
    };
    assert_eq!(headers.transport, Some(expected));
}

#[test]
fn payload_is_what_the_transport_carries_without_padding() {
    let mut options = tcp(b"GET /");
    options[12] = 0x60;
    options.splice(20..20, [1, 1, 1, 1]);
    for ip in [
        ipv4(17, &udp(53, b"GET /")),
        ipv4(6, &tcp(b"GET /")),
        ipv4(6, &options),
        ipv6(6, &tcp(b"GET /")),
    ] {
        let ethertype = if ip[0] == 0x45 { 0x0800 } else { 0x86dd };
        let mut packet = ethernet(ethertype, &ip);
        packet.extend([0; 20]);
        for dissected in [own(&packet), hubble(&packet).unwrap()] {
            assert_eq!(&packet[dissected.payload], b"GET /");
        }
    }
}

#[test]
fn a_header_that_the_packet_ends_in_is_a_fault_unless_the_capture_ended_there() {
    for packet in [udp_packet(), tcp6_packet(), extended([0, 0, 0, 9])] {
        for len in 1..packet.len() {
            let whole = own(&packet[..len]);
            assert!(
                matches!(whole.fault, Some(PacketError::Short { .. })),
                "{len}: {whole:?}"
            );
            let cut = dissect(&packet[..len], true, Start::Ethernet);
            assert_eq!((cut.fault, cut.headers), (None, whole.headers));
        }
    }
}

#[test]
fn hubble_refuses_a_short_header_but_not_one_that_is_missing_whole() {
    for packet in [udp_packet(), tcp6_packet()] {
        let borders = [14, packet.len() - if packet[12] == 8 { 8 } else { 20 }];
        for len in 1..packet.len() {
            let result = hubble(&packet[..len]);
            if borders.contains(&len) {
                assert!(result.is_ok(), "{len}: {result:?}");
            } else {
                let is_short = matches!(result, Err(PacketError::Short { .. }));
                assert!(is_short, "{len}: {result:?}");
            }
        }
    }
}

#[test]
fn ports_are_told_of_a_header_that_is_cut_behind_them() {
    let packet = tcp6_packet();
    let cut = dissect(&packet[..54 + 4], true, Start::Ethernet);
    let Some(Transport::Tcp {
        source_port, flags, ..
    }) = cut.headers.transport
    else {
        panic!("{cut:?}");
    };
    assert_eq!((source_port, flags.bits()), (80, 0));
    let cut = dissect(&packet[..54 + 14], true, Start::Ethernet);
    assert_eq!(cut.headers.transport, tcp_syn_ack());
}

#[test]
fn an_impossible_header_is_a_fault_and_what_came_before_is_told() {
    let mut no_header_len = udp_packet();
    no_header_len[14] = 0x44;
    let mut short_total = udp_packet();
    short_total[14 + 3] = 19;
    let mut tcp_offset = tcp6_packet();
    tcp_offset[54 + 12] = 0x40;
    let mut udp_len = udp_packet();
    udp_len[34 + 5] = 7;
    for (packet, layer) in [
        (no_header_len, "IPv4"),
        (short_total, "IPv4"),
        (tcp_offset, "TCP"),
        (udp_len, "UDP"),
    ] {
        let fault = PacketError::Impossible { layer };
        let dissected = own(&packet);
        assert_eq!(dissected.fault, Some(fault));
        assert!(dissected.headers.ethernet.is_some());
        assert_eq!(hubble(&packet), Err(fault));
    }
}

#[test]
fn padding_after_the_ip_packet_is_no_payload() {
    let mut packet = udp_packet();
    packet[14 + 3] = 24;
    packet.extend([0; 30]);
    let fault = PacketError::Short { layer: "UDP" };
    // The packet says itself that it ends there: not the capture's doing.
    for cut in [false, true] {
        let dissected = dissect(&packet, cut, Start::Ethernet);
        assert_eq!(dissected.fault, Some(fault));
    }
    assert_eq!(hubble(&packet), Err(fault));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_walk_panic_and_payload_is_within_them(
        at in 0usize..200, damage: [u8; 4], cut: bool, len in 0usize..200, which in 0usize..5,
    ) {
        let mut packet = [
            udp_packet(),
            extended([0, 1, 0, 0]),
            ethernet(0x0800, &ipv4(17, &udp(8472, &vxlan(&tcp6_packet())))),
            ethernet(0x0800, &ipv4(17, &udp(6081, &geneve(0x6558, &udp_packet())))),
            ethernet(0x8100, &[0, 1, 0x88, 0x47, 0, 0, 1, 1, 0x45]),
        ][which].clone();
        for (damaged, byte) in packet.iter_mut().skip(at).zip(damage) {
            *damaged = byte;
        }
        packet.truncate(len);
        for overlay in [None, Some(TunnelProtocol::Vxlan), Some(TunnelProtocol::Geneve)] {
            drop(dissect_as_hubble(&packet, Start::Ethernet, overlay));
        }
        for start in [Start::Ethernet, Start::Ip, Start::Ipv4, Start::Ipv6, Start::EtherType(4)] {
            let dissected = dissect(&packet, cut, start);
            assert!(packet.get(dissected.payload).is_some());
        }
    }
}
