//! Capture files, with tshark as the judge: one flow for each packet that it calls IP or ARP, with
//! the same addresses, ports, flags and times.
//!
//! Where tshark is not installed, the tests are shown as ignored and the reason is printed; with
//! the environment variable `CI` set they fail instead.

mod files;
mod judge;
mod observed;
#[path = "../support/mod.rs"]
mod support;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use files::{Capture, Captured, Format};
use support::{
    ARP, IPV4, IPV6, ethernet, geneve, ipv4, ipv4_fragment, ipv6, ordinary, tag, tcp, udp, vxlan,
};
use testbed::{
    requirements,
    rules::{self, Rule},
};

const RULES: &[Rule] = &[
    (
        "every_layer_is_seen_as_tshark_sees_it",
        every_layer_is_seen_as_tshark_sees_it,
    ),
    (
        "every_link_type_and_format_is_read",
        every_link_type_and_format_is_read,
    ),
    (
        "packets_that_were_cut_tell_what_is_left_of_them",
        packets_that_were_cut_tell_what_is_left_of_them,
    ),
];

fn main() -> ExitCode {
    let missing = requirements::for_captures();
    rules::run(rules::trials("a test of capture files", RULES, &missing))
}

/// IP packets without a link layer.
fn ip_packets() -> Vec<Vec<u8>> {
    let mut packets: Vec<_> = ordinary()
        .into_iter()
        .map(|(_, packet, _)| packet[14..].to_vec())
        .collect();
    for flags in [0x02, 0x12, 0x11, 0x04, 0x1ff] {
        packets.push(ipv4(6, &tcp(443, flags, &[])));
    }
    let sctp = [0, 80, 0x9c, 0x40, 0, 0, 0, 1, 0, 0, 0, 0];
    packets.extend([
        ipv4(1, &[8, 0, 0, 0, 0, 1, 0, 1]),
        // Port unreachable, with the packet that it is about.
        ipv4(
            1,
            &[&[3, 3, 0, 0, 0, 0, 0, 0], &ipv4(17, &udp(53, &[]))[..]].concat(),
        ),
        ipv6(58, &[128, 0, 0, 0, 0, 1, 0, 1]),
        ipv4(132, &sctp),
        ipv6(132, &sctp),
        ipv4(2, &[0x16, 0, 0, 0, 224, 0, 0, 9]),
        ipv4(112, &[0x21, 7, 100, 1, 0, 1, 0, 0, 10, 0, 0, 9]),
        ipv4(50, &[0; 16]),
        ipv4(47, &[0; 16]),
        ipv4_fragment(17, 9, 0, true, &udp(53, &[0; 24])),
        ipv4_fragment(17, 9, 32, false, &[0; 24]),
    ]);
    packets
}

/// Packets with everything between Ethernet and the transport that we know.
fn ethernet_packets() -> Vec<Vec<u8>> {
    let inner = ipv4(6, &tcp(80, 0x18, b"GET /"));
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
    arp.extend([2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &inner].concat();
    let pppoe_len = (inner.len() + 2) as u8;
    let mut packets: Vec<_> = ip_packets()
        .into_iter()
        .map(|ip| ethernet(if ip[0] >> 4 == 4 { IPV4 } else { IPV6 }, &ip))
        .collect();
    packets.extend([
        ethernet(ARP, &arp),
        ethernet(0x8100, &tag(5, ARP, &arp)),
        ethernet(0x8100, &tag(5, IPV4, &inner)),
        ethernet(0x88a8, &tag(7, 0x8100, &tag(5, IPV4, &inner))),
        ethernet(snap.len() as u16, &snap),
        ethernet(0x8847, &[&[0, 1, 0x01, 64][..], &inner].concat()),
        ethernet(
            0x8864,
            &[&[0x11, 0, 0, 1, 0, pppoe_len, 0, 0x21][..], &inner].concat(),
        ),
        // Neither IP nor ARP: LLDP, and a spanning tree frame.
        ethernet(0x88cc, &[2, 7, 4, 2, 0, 0, 0, 0, 1, 0, 0]),
        ethernet(38, &[0x42; 38]),
    ]);
    for (port, payload) in [
        (4789, vxlan(&ethernet(IPV4, &inner))),
        (4789, vxlan(&ethernet(IPV6, &ipv6(17, &udp(53, &[1; 9]))))),
        (4789, vxlan(&ethernet(ARP, &arp))),
        (6081, geneve(0x6558, &ethernet(IPV4, &inner))),
        (6081, geneve(IPV4, &inner)),
    ] {
        packets.push(ethernet(IPV4, &ipv4(17, &udp(port, &payload))));
        packets.push(ethernet(IPV6, &ipv6(17, &udp(port, &payload))));
    }
    let segment = tcp(80, 0x10, &[0; 8]);
    for headers in [
        &[6, 0, 5, 2, 0, 0, 1, 0][..],
        &[60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0],
        &[44, 0, 1, 4, 0, 0, 0, 0, 6, 0, 0, 1, 0, 0, 0, 9],
        &[44, 0, 1, 4, 0, 0, 0, 0, 6, 0, 0, 0x28, 0, 0, 0, 9],
    ] {
        packets.push(ethernet(IPV6, &ipv6(0, &[headers, &segment].concat())));
    }
    let authentication = [&[6, 4, 0, 0][..], &[0; 20], &segment].concat();
    packets.push(ethernet(IPV4, &ipv4(51, &authentication)));
    packets.push(ethernet(IPV6, &ipv6(51, &authentication)));
    packets
}

fn every_layer_is_seen_as_tshark_sees_it() -> Result<()> {
    compare(&Capture::new(Format::Pcap, 1, ethernet_packets()))
}

fn every_link_type_and_format_is_read() -> Result<()> {
    for format in Format::ALL {
        compare(&Capture::new(format, 1, ethernet_packets()))?;
        for link_type in [0, 101, 108, 113, 276, 228, 229] {
            let packets = ip_packets()
                .into_iter()
                .filter_map(|ip| files::with_link_header(link_type, ip))
                .collect();
            compare(&Capture::new(format, link_type, packets))?;
        }
    }
    Ok(())
}

fn packets_that_were_cut_tell_what_is_left_of_them() -> Result<()> {
    // From the end of an IP header on: of half an address nobody can tell anything.
    for snap_len in [34, 38, 42, 54, 58, 62, 68, 74, 96] {
        let mut capture = Capture::new(Format::Pcap, 1, ethernet_packets());
        for packet in &mut capture.packets {
            packet.bytes.truncate(snap_len);
        }
        compare(&capture).with_context(|| format!("cut to {snap_len} bytes"))?;
    }
    Ok(())
}

/// Reads a capture with tshark and with the observer.
fn compare(capture: &Capture) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path: PathBuf = directory.path().join("capture");
    std::fs::write(&path, capture.file())?;
    let name = format!("{:?}, link type {}", capture.format, capture.link_type);
    let expected = judge::read(&path).context(name.clone())?;
    let found = observed::read(&path).context(name.clone())?;
    ensure!(
        expected.iter().flatten().count() > 0,
        "{name}: tshark calls nothing IP or ARP"
    );
    let mut found = found.into_iter();
    for (number, expected) in expected.into_iter().enumerate() {
        let Some(expected) = expected else { continue };
        let bytes = &capture
            .packets
            .get(number)
            .map(|Captured { bytes, .. }| bytes);
        let found = found
            .next()
            .with_context(|| format!("{name}: no flow for packet {number}: {expected:?}"))?;
        ensure!(
            expected.is_told_by(&found),
            "{name}: packet {number}: {bytes:02x?}\ntshark: {expected:?}\n found: {found:?}"
        );
    }
    let rest: Vec<_> = found.collect();
    ensure!(rest.is_empty(), "{name}: flows for nothing: {rest:?}");
    Ok(())
}
