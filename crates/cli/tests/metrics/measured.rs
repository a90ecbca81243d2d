//! Flows that an agent makes itself, which it counts in a form of their own, are counted as what it
//! then tells of them.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::Command,
};

use crate::{
    agent::{Agent, BINARY, wait_for},
    judge::{compare, expected},
};

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
const ICMPV4: u8 = 1;
const ICMPV6: u8 = 58;

/// The link type of packets that begin with their IP header.
const RAW_IP: u32 = 101;

const INVENTORY: &str = "\
endpoints:
  - {pod: web-7d9f8b6c5b-x2x4z, namespace: shop, ips: [10.0.0.1, 'fd00::1'], labels: {app: web}}
  - {pod: db-0, namespace: shop, ips: [10.0.0.2, 'fd00::2'], labels: {k8s-app: db}}
";

/// An IP packet between two of these addresses.
fn packet([from, to]: [IpAddr; 2], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u16;
    let mut packet = Vec::new();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet.extend([0x45, 0]);
            packet.extend((len + 20).to_be_bytes());
            packet.extend([0, 1, 0, 0, 64, protocol, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(len.to_be_bytes());
            packet.extend([protocol, 64]);
            packet.extend(from.octets());
            packet.extend(to.octets());
        }
        _ => panic!("both are of one family"),
    }
    packet.extend(payload);
    packet
}

fn tcp(ports: [u16; 2], seq: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut segment = ports.map(u16::to_be_bytes).concat();
    segment.extend(seq.to_be_bytes());
    segment.extend([0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(data);
    segment
}

fn udp(ports: [u16; 2], data: &[u8]) -> Vec<u8> {
    let mut datagram = ports.map(u16::to_be_bytes).concat();
    datagram.extend((data.len() as u16 + 8).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(data);
    datagram
}

/// A question for an address of `a.example`, and the answer to it.
fn dns() -> [Vec<u8>; 2] {
    let question = b"\x01a\x07example\0\0\x01\0\x01";
    let mut asked = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    asked.extend(question);
    let mut answered = b"\0\x07\x81\x80\0\x01\0\x01\0\0\0\0".to_vec();
    answered.extend(question);
    answered.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01");
    [asked, answered]
}

/// What goes on between two hosts of each family.
fn packets() -> Vec<Vec<u8>> {
    let ends: [[IpAddr; 2]; 2] = [
        [
            Ipv4Addr::new(10, 0, 0, 1).into(),
            Ipv4Addr::new(10, 0, 0, 2).into(),
        ],
        [
            Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into(),
            Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2).into(),
        ],
    ];
    let world: [IpAddr; 2] = [
        Ipv4Addr::new(10, 0, 0, 1).into(),
        Ipv4Addr::new(192, 0, 2, 1).into(),
    ];
    let mut packets = Vec::new();
    for there in ends {
        let back = [there[1], there[0]];
        let (out, home) = ([40_000, 80], [80, 40_000]);
        let request = b"GET /x HTTP/1.1\r\nhost: db\r\n\r\n";
        let response = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        packets.extend([
            packet(there, TCP, &tcp(out, 0, 0x02, b"")),
            packet(back, TCP, &tcp(home, 0, 0x12, b"")),
            packet(there, TCP, &tcp(out, 1, 0x18, request)),
            packet(back, TCP, &tcp(home, 1, 0x18, response)),
            packet(there, TCP, &tcp(out, 1 + request.len() as u32, 0x11, b"")),
            packet(back, TCP, &tcp(home, 1 + response.len() as u32, 0x14, b"")),
        ]);
        let [asked, answered] = dns();
        packets.push(packet(there, UDP, &udp([50_000, 53], &asked)));
        packets.push(packet(back, UDP, &udp([53, 50_000], &answered)));
        packets.push(packet(
            there,
            SCTP,
            b"\x9c\x40\x0b\x59\0\0\0\0\0\0\0\0\x01\0\0\x04",
        ));
        let (protocol, echo) = if there[0].is_ipv4() {
            (ICMPV4, [8, 0])
        } else {
            (ICMPV6, [128, 128])
        };
        packets.push(packet(there, protocol, &[echo[0], 0, 0, 0, 0, 1, 0, 1]));
        packets.push(packet(
            back,
            protocol,
            &[if echo[0] == 8 { 0 } else { 129 }, 0, 0, 0, 0, 1, 0, 1],
        ));
    }
    packets.push(packet(world, TCP, &tcp([40_001, 443], 0, 0x02, b"")));
    packets.push(packet(world, 2, &[0x16, 0, 0, 0, 224, 0, 0, 1]));
    packets
}

fn capture() -> Vec<u8> {
    let mut file = Vec::new();
    for number in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, RAW_IP] {
        file.extend(u32::to_le_bytes(number));
    }
    for (index, bytes) in packets().iter().enumerate() {
        let len = bytes.len() as u32;
        let microseconds = index as u32 * 1_000;
        for number in [1_700_000_000, microseconds, len, len] {
            file.extend(u32::to_le_bytes(number));
        }
        file.extend(bytes);
    }
    file
}

#[test]
fn own_flows_are_counted_as_they_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("packets.pcap"), capture()).unwrap();
    fs::write(at("inventory.yaml"), INVENTORY).unwrap();
    let source = format!("pcap:{}", at("packets.pcap").display());
    let list = "dns:query;sourceContext=pod|reserved-identity|ip;destinationContext=dns|pod \
                drop flow:labelsContext=source_ip,destination_app,traffic_direction,source_namespace \
                flows-to-world:port;sourceContext=pod-short httpV2:destinationContext=pod;sourceContext=app \
                icmp:sourceContext=identity policy port-distribution:destinationContext=identity|ip \
                tcp:sourceContext=workload|pod-name;destinationContext=namespace|reserved-identity";
    let inventory = at("inventory.yaml");
    let flags = [
        "--inventory",
        inventory.to_str().unwrap(),
        "--metrics",
        list,
    ];
    let agent = Agent::start(&source, &flags);
    wait_for("all is read", || {
        agent.log().contains("everything was read")
    });
    let server = format!(
        "unix://{}",
        agent.folder.path().join("observer.sock").display()
    );
    let told = Command::new(BINARY)
        .args([
            "observe", "--first", "1000", "-o", "json", "--server", &server,
        ])
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.lines().count() >= packets().len(), "{told}");
    for part in [
        "\"dns\":",
        "\"http\":",
        "\"SCTP\":",
        "\"ICMPv6\":",
        "web-7d9f8b6c5b-x2x4z",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    fs::write(at("flows.jsonl"), told).unwrap();
    compare(&agent, list, &expected(&at("flows.jsonl"), list));
}

#[test]
fn chunks_of_sctp_are_known_of_own_flows_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packets.pcap");
    fs::write(&path, capture()).unwrap();
    let source = format!("pcap:{}", path.display());
    let agent = Agent::start(&source, &["--metrics", "sctp:labelsContext=source_ip"]);
    for line in [
        r#"hubble_sctp_chunk_types_total{source_ip="10.0.0.1",chunk_type="INIT",family="IPv4"} 1"#,
        r#"hubble_sctp_chunk_types_total{source_ip="fd00::1",chunk_type="INIT",family="IPv6"} 1"#,
    ] {
        agent.wait_for_line(line);
    }
    assert_eq!(agent.lines("hubble_sctp_chunk_types_total").len(), 2);
}
