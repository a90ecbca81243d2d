//! Capture files with requests and responses: each message becomes one flow beside those of its
//! packets, in the file's order.

#[path = "captures/files.rs"]
mod files;
#[path = "support/mod.rs"]
mod support;

use anyhow::Result;
use files::{Capture, Format, with_link_header};
use flow_api::{
    extension::flow_detail,
    flow::{Flow, TrafficDirection},
    observer::get_flows_response::ResponseTypes,
};
use flow_observer::{
    enrich::Inventory,
    offline::Offline,
    source::{SourceOptions, SourceSpec},
};
use support::{ipv4, tcp, udp};

const SYN: u16 = 0x02;
const SYN_ACK: u16 = 0x12;
const ACK: u16 = 0x10;
const PSH_ACK: u16 = 0x18;

/// Raw IP, and Linux's cooked header.
const LINK_TYPES: [u16; 2] = [101, 113];

const GET: &[u8] = b"GET /a?key=s3cret HTTP/1.1\r\nHost: example.com\r\nCookie: s3cret\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const HEAD: &[u8] = b"HEAD /b HTTP/1.1\r\nHost: example.com\r\n\r\n";
const GONE: &[u8] = b"HTTP/1.1 410 Gone\r\nContent-Length: 99\r\n\r\n";

/// A segment from the client at a place of the stream, with what it has received.
fn ask(flags: u16, sequence: u32, acknowledgment: u32, payload: &[u8]) -> Vec<u8> {
    let mut segment = tcp(8080, flags, payload);
    segment[4..8].copy_from_slice(&sequence.to_be_bytes());
    segment[8..12].copy_from_slice(&acknowledgment.to_be_bytes());
    ipv4(6, &segment)
}

/// The same from the server.
fn answer(flags: u16, sequence: u32, acknowledgment: u32, payload: &[u8]) -> Vec<u8> {
    back(ask(flags, sequence, acknowledgment, payload))
}

/// The other way: addresses and ports change places.
fn back(mut packet: Vec<u8>) -> Vec<u8> {
    for at in 12..16 {
        packet.swap(at, at + 4);
    }
    for at in 20..22 {
        packet.swap(at, at + 2);
    }
    packet
}

/// A connection from its beginning on, with a segment that is sent twice, and a DNS exchange.
fn packets() -> Vec<Vec<u8>> {
    const QUESTION: &[u8] = b"\x03www\x07Example\x03com\0\0\x1c\0\x01";
    let query = [&b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0"[..], QUESTION].concat();
    let failed = [&b"\x12\x34\x81\x83\0\x01\0\0\0\0\0\0"[..], QUESTION].concat();
    let (get, ok, head) = (GET.len() as u32, OK.len() as u32, HEAD.len() as u32);
    vec![
        ipv4(17, &udp(53, &query)),
        back(ipv4(17, &udp(53, &failed))),
        ask(SYN, 99, 0, b""),
        answer(SYN_ACK, 499, 100, b""),
        ask(ACK, 100, 500, b""),
        ask(PSH_ACK, 100, 500, GET),
        ask(PSH_ACK, 100, 500, GET),
        answer(PSH_ACK, 500, 100 + get, OK),
        ask(PSH_ACK, 100 + get, 500 + ok, HEAD),
        answer(PSH_ACK, 500 + ok, 100 + get + head, GONE),
    ]
}

fn flows(capture: &Capture) -> Result<Vec<Flow>> {
    flows_with(capture, false)
}

fn flows_with(capture: &Capture, with_detail: bool) -> Result<Vec<Flow>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("capture");
    std::fs::write(&path, capture.file())?;
    let options = SourceOptions::from(SourceSpec::Pcap(path));
    let mut offline = Offline::open(&options, "node", Inventory::default(), with_detail)?;
    let mut flows = Vec::new();
    while let Some(batch) = offline.next_batch()? {
        flows.extend(batch.into_iter().filter_map(|it| match it.response_types {
            Some(ResponseTypes::Flow(flow)) => Some(flow),
            _ => None,
        }));
    }
    Ok(flows)
}

#[expect(deprecated, reason = "the field is still served")]
fn line(flow: &Flow) -> &str {
    &flow.summary
}

#[test]
fn each_message_of_a_capture_is_told_once_behind_its_packet() {
    for format in Format::ALL {
        for link_type in LINK_TYPES {
            let packets = packets()
                .into_iter()
                .filter_map(|ip| with_link_header(link_type, ip))
                .collect();
            let capture = Capture::new(format, link_type, packets);
            let flows = flows(&capture).unwrap();
            let told: Vec<_> = flows.iter().filter(|it| it.l7.is_some()).collect();
            let lines: Vec<_> = told.iter().map(|flow| line(flow)).collect();
            assert_eq!(
                lines,
                [
                    "DNS Query www.example.com. AAAA",
                    "DNS Answer RCode: Non-Existent Domain TTL: 0 (Query www.example.com. AAAA)",
                    "HTTP/1.1 GET http://example.com/a?key=HUBBLE_REDACTED",
                    "HTTP/1.1 200 2000ms (GET http://example.com/a?key=HUBBLE_REDACTED)",
                    "HTTP/1.1 HEAD http://example.com/b",
                    "HTTP/1.1 410 1000ms (HEAD http://example.com/b)",
                ],
                "{format:?}, link type {link_type}"
            );
            for flow in &told {
                assert_eq!(flow.traffic_direction(), TrafficDirection::Unknown);
            }
            // Behind its packet's flow, at the same time.
            for (packet, message) in flows.iter().zip(&flows[1..]) {
                if message.l7.is_some() {
                    assert!(packet.l7.is_none());
                    assert_eq!(packet.time, message.time);
                    assert_eq!(packet.ip, message.ip);
                }
            }
            assert!(!format!("{told:?}").contains("s3cret"));
        }
    }
}

#[test]
fn a_packet_that_was_captured_twice_brings_its_message_once() {
    let twice = packets()
        .into_iter()
        .flat_map(|it| [it.clone(), it])
        .collect();
    // A second later: too late for the same question of DNS.
    let flows = flows(&Capture::new(Format::Pcap, 101, twice)).unwrap();
    let http = flows.iter().filter(|it| line(it).starts_with("HTTP/"));
    assert_eq!(http.count(), 4);
}

/// The request in pieces, one of them sent twice and the first two in the wrong order, and its answer
/// in two.
fn pieces() -> Vec<Vec<u8>> {
    let (get, ok) = (GET.len() as u32, OK.len() as u32);
    let part = |from: usize, to: usize| ask(PSH_ACK, 100 + from as u32, 500, &GET[from..to]);
    vec![
        ask(SYN, 99, 0, b""),
        answer(SYN_ACK, 499, 100, b""),
        ask(ACK, 100, 500, b""),
        part(20, 40),
        part(0, 20),
        part(20, 40),
        part(40, GET.len()),
        answer(PSH_ACK, 500, 100 + get, &OK[..20]),
        answer(PSH_ACK, 520, 100 + get, &OK[20..]),
        ask(ACK, 100 + get, 500 + ok, b""),
    ]
}

#[test]
fn heads_over_several_packets_are_told_once_with_the_time_of_their_first() {
    let flows = flows(&Capture::new(Format::Pcap, 101, pieces())).unwrap();
    let told: Vec<_> = flows.iter().filter(|it| it.l7.is_some()).collect();
    let lines: Vec<_> = told.iter().map(|flow| line(flow)).collect();
    assert_eq!(
        lines,
        [
            "HTTP/1.1 GET http://example.com/a?key=HUBBLE_REDACTED",
            "HTTP/1.1 200 3000ms (GET http://example.com/a?key=HUBBLE_REDACTED)",
        ]
    );
    // Packets are a second apart.
    let packets: Vec<_> = flows.iter().filter(|it| it.l7.is_none()).collect();
    assert_eq!(told[0].time, packets[4].time);
    assert_eq!(told[1].time, packets[7].time);
    assert!(!format!("{told:?}").contains("s3cret"));
}

#[test]
fn messages_have_the_detail_of_their_connection_for_those_who_ask() {
    let capture = Capture::new(Format::Pcap, 101, packets());
    assert!(
        flows(&capture)
            .unwrap()
            .iter()
            .all(|it| it.extensions.is_none())
    );
    let flows = flows_with(&capture, true).unwrap();
    let detail = |flow: &Flow| flow_detail(flow.extensions.as_ref()).unwrap();
    let request = flows.iter().find(|it| line(it).contains(" GET ")).unwrap();
    let names = detail(request).destination_names;
    assert_eq!(
        (&*names[0].name, &*names[0].origin),
        ("example.com", "http")
    );
    let response = flows.iter().find(|it| line(it).contains(" 200 ")).unwrap();
    let of_response = detail(response).source_names;
    assert_eq!(
        (&of_response[0].name, of_response.len()),
        (&names[0].name, 1)
    );
    // The packet's flow counts it.
    for flow in flows.iter().filter(|it| it.l7.is_some()) {
        assert_eq!((detail(flow).forward, detail(flow).backward), (None, None));
    }
}

#[test]
fn heads_that_the_capture_cut_tell_what_is_left_of_them() {
    let mut capture = Capture::new(Format::Pcap, 101, packets());
    let head = b"GET /a?key=s3cret HTTP/1.1\r\nHost: example.com\r\nCoo";
    for packet in &mut capture.packets {
        packet.bytes.truncate(40 + head.len());
    }
    let flows = flows(&capture).unwrap();
    let request = flows.iter().find(|it| line(it).contains(" GET ")).unwrap();
    assert_eq!(
        line(request),
        "HTTP/1.1 GET http://example.com/a?key=HUBBLE_REDACTED"
    );
}
