//! Each layout and version, byte for byte; and each of them cut at every length.

use std::net::IpAddr;

use super::*;

/// What every record with a capture header begins with: type, subtype, source 0x1234, hash,
/// original length 1500, captured length 4, version, extension.
pub(crate) fn capture_header(kind: u8, subtype: u8, version: u8) -> Vec<u8> {
    let mut bytes = vec![kind, subtype];
    bytes.extend(0x1234u16.to_ne_bytes());
    bytes.extend(0xa1b2_c3d4u32.to_ne_bytes());
    bytes.extend(1500u32.to_ne_bytes());
    bytes.extend(4u16.to_ne_bytes());
    bytes.extend([version, 0]);
    bytes
}

const PACKET: [u8; 4] = [0xde, 0xad, 0xbe, 0xef];

fn expected_header(subtype: u8, version: u8) -> CaptureHeader {
    CaptureHeader {
        subtype,
        source: 0x1234,
        hash: 0xa1b2_c3d4,
        original_len: 1500,
        captured_len: 4,
        version,
        ext_version: 0,
    }
}

/// A drop (reason 181) of the given version: IPv6 from an L3 device in VXLAN where it can say so.
pub(crate) fn drop_record(version: u8) -> Vec<u8> {
    let mut bytes = capture_header(TYPE_DROP, 181, version);
    bytes.extend(25_001u32.to_ne_bytes());
    bytes.extend(25_002u32.to_ne_bytes());
    bytes.extend(77u32.to_ne_bytes());
    bytes.extend(640u16.to_ne_bytes());
    bytes.extend([2, -5i8 as u8]);
    bytes.extend(9u32.to_ne_bytes());
    if version >= 2 {
        bytes.extend([0x07, 0, 0, 0]);
    }
    if version >= 3 {
        bytes.extend(0x1122_3344_5566_7788u64.to_ne_bytes());
    }
    bytes.extend(PACKET);
    bytes
}

/// A trace (to-endpoint, encrypted reply) of the given version, 192.0.2.1 before translation.
pub(crate) fn trace_record(version: u8) -> Vec<u8> {
    let mut bytes = capture_header(TYPE_TRACE, 0, version);
    bytes.extend(25_001u32.to_ne_bytes());
    bytes.extend(2u32.to_ne_bytes());
    bytes.extend(77u16.to_ne_bytes());
    bytes.extend([0x82, 0x08]);
    bytes.extend(9u32.to_ne_bytes());
    if version >= 1 {
        bytes.extend([192, 0, 2, 1]);
        bytes.extend([0; 12]);
    }
    if version >= 2 {
        bytes.extend(5u64.to_ne_bytes());
    }
    bytes.extend(PACKET);
    bytes
}

/// A verdict at ingress: the policy matched L3 and L4, and only audits.
pub(crate) fn policy_verdict_record(verdict: i32) -> Vec<u8> {
    let mut bytes = capture_header(TYPE_POLICY_VERDICT, 0, 0);
    bytes.extend(2u32.to_ne_bytes());
    bytes.extend(verdict.to_ne_bytes());
    bytes.extend(443u16.to_ne_bytes());
    bytes.extend([6, 0x51, 1, 0, 0, 0]);
    bytes.extend(99u32.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(PACKET);
    bytes
}

/// A capture at the given point, with the given argument.
pub(crate) fn debug_capture_record(point: u8, argument: u32) -> Vec<u8> {
    let mut bytes = vec![TYPE_CAPTURE, point];
    bytes.extend(0x1234u16.to_ne_bytes());
    for number in [0xa1b2_c3d4u32, 4, 1500, argument, 8] {
        bytes.extend(number.to_ne_bytes());
    }
    bytes.extend(PACKET);
    bytes
}

fn debug_record() -> Vec<u8> {
    let mut bytes = vec![TYPE_DEBUG, 40];
    bytes.extend(7u16.to_ne_bytes());
    for number in [0xa1b2_c3d4u32, 1, 2, 3] {
        bytes.extend(number.to_ne_bytes());
    }
    bytes
}

/// The current layout: TCP to 10.96.0.10:80.
pub(crate) fn socket_record() -> Vec<u8> {
    let mut bytes = vec![TYPE_TRACE_SOCK, 1, 1, 0];
    bytes.extend(80u16.to_ne_bytes());
    bytes.extend([0; 2]);
    bytes.extend(0xc00c1eu64.to_ne_bytes());
    bytes.extend(4096u64.to_ne_bytes());
    bytes.extend([10, 96, 0, 10]);
    bytes.extend([0; 12]);
    bytes
}

/// The same in the layout before.
fn old_socket_record() -> Vec<u8> {
    let mut bytes = vec![TYPE_TRACE_SOCK, 1, 10, 96, 0, 10];
    bytes.extend([0; 12]);
    bytes.extend(80u16.to_ne_bytes());
    bytes.extend(0xc00c1eu64.to_ne_bytes());
    bytes.extend(4096u64.to_ne_bytes());
    bytes.extend([1, 0]);
    bytes
}

#[test]
fn each_version_of_a_drop_tells_what_it_has() {
    for version in 0..=3 {
        let record = drop_record(version);
        let flags = PacketFlags(if version >= 2 { 0x07 } else { 0 });
        let notify = DropNotify {
            header: expected_header(181, version),
            source_identity: 25_001,
            destination_identity: 25_002,
            destination_endpoint: 77,
            line: 640,
            file: 2,
            ext_error: -5,
            ifindex: 9,
            flags,
            ip_trace_id: if version >= 3 {
                0x1122_3344_5566_7788
            } else {
                0
            },
        };
        let packet = Packet {
            bytes: &PACKET,
            original_len: 1500,
            start: if version >= 2 {
                PacketStart::Ipv6
            } else {
                PacketStart::Ethernet
            },
            overlay: (version >= 2).then_some(Overlay::Vxlan),
        };
        assert_eq!(decode(&record), Ok(Record::Drop(notify, packet)));
    }
}

#[test]
fn each_version_of_a_trace_tells_what_it_has() {
    for version in 0..=2 {
        let record = trace_record(version);
        let notify = TraceNotify {
            header: expected_header(0, version),
            source_identity: 25_001,
            destination_identity: 2,
            destination_endpoint: 77,
            reason: 2,
            encrypted: true,
            flags: PacketFlags(0x08),
            ifindex: 9,
            original_source: (version >= 1).then(|| IpAddr::from([192, 0, 2, 1])),
            ip_trace_id: if version >= 2 { 5 } else { 0 },
        };
        let packet = Packet {
            bytes: &PACKET,
            original_len: 1500,
            start: PacketStart::Ethernet,
            overlay: Some(Overlay::Geneve),
        };
        assert_eq!(decode(&record), Ok(Record::Trace(notify, packet)));
    }
}

#[test]
fn the_flag_and_not_the_packet_tells_the_family_of_the_original_source() {
    let mut record = trace_record(1);
    record[27] = 0x01;
    let Ok(Record::Trace(notify, _)) = decode(&record) else {
        panic!("no trace");
    };
    assert_eq!(notify.original_source, Some("c000:201::".parse().unwrap()));
    record[32..36].fill(0);
    let Ok(Record::Trace(notify, _)) = decode(&record) else {
        panic!("no trace");
    };
    assert_eq!(notify.original_source, None);
}

#[test]
fn a_policy_verdict_tells_direction_match_and_verdict() {
    let record = policy_verdict_record(-133);
    let notify = PolicyVerdictNotify {
        header: expected_header(0, 0),
        remote_identity: 2,
        verdict: -133,
        destination_port: 443,
        protocol: 6,
        is_ingress: true,
        is_ipv6: false,
        match_type: 2,
        audited: true,
        auth_type: 1,
        cookie: 99,
    };
    let packet = Packet {
        bytes: &PACKET,
        original_len: 1500,
        start: PacketStart::Ethernet,
        overlay: None,
    };
    assert_eq!(decode(&record), Ok(Record::PolicyVerdict(notify, packet)));
}

#[test]
fn a_policy_verdict_is_egress_unless_its_direction_is_exactly_one() {
    for (direction, is_ingress) in [(0, false), (1, true), (2, false), (3, false)] {
        let mut record = policy_verdict_record(0);
        record[27] = direction | 0x84;
        let Ok(Record::PolicyVerdict(notify, packet)) = decode(&record) else {
            panic!("no verdict");
        };
        assert_eq!(notify.is_ingress, is_ingress);
        assert_eq!(packet.start, PacketStart::Ipv6);
    }
}

#[test]
fn debug_messages_and_captures_have_layouts_of_their_own() {
    assert_eq!(
        decode(&debug_record()),
        Ok(Record::Debug(DebugMessage {
            subtype: 40,
            source: 7,
            hash: 0xa1b2_c3d4,
            arguments: [1, 2, 3],
        }))
    );
    let capture = DebugCapture {
        point: 4,
        source: 0x1234,
        hash: 0xa1b2_c3d4,
        captured_len: 4,
        original_len: 1500,
        argument1: 7,
        argument2: 8,
    };
    let packet = Packet {
        bytes: &PACKET,
        original_len: 1500,
        start: PacketStart::Ethernet,
        overlay: None,
    };
    assert_eq!(
        decode(&debug_capture_record(4, 7)),
        Ok(Record::Capture(capture, packet))
    );
}

#[test]
fn both_layouts_of_a_socket_record_are_told_apart_by_their_length() {
    let expected = TraceSockNotify {
        point: 1,
        protocol: SocketProtocol::Tcp,
        is_ipv6: false,
        destination_port: 80,
        cookie: 0x00c0_0c1e,
        cgroup_id: 4096,
        destination: Some([10, 96, 0, 10].into()),
    };
    let (current, old) = (socket_record(), old_socket_record());
    assert_eq!((current.len(), old.len()), (40, 38));
    assert_eq!(decode(&current), Ok(Record::Socket(expected)));
    assert_eq!(decode(&old), Ok(Record::Socket(expected)));
}

#[test]
fn a_padded_socket_record_has_the_layout_that_is_possible() {
    for mut record in [socket_record(), old_socket_record()] {
        let Ok(Record::Socket(exact)) = decode(&record) else {
            panic!("no socket record");
        };
        record.resize(44, 0);
        assert_eq!(decode(&record), Ok(Record::Socket(exact)));
    }
}

#[test]
fn a_record_cut_within_its_header_is_refused_and_within_its_packet_is_not() {
    let policy = policy_verdict_record(0);
    let cases = (0..=3)
        .map(|version| (drop_record(version), [36, 36, 40, 48][usize::from(version)]))
        .chain((0..=2).map(|version| (trace_record(version), [32, 48, 56][usize::from(version)])))
        .chain([
            (policy, 40),
            (debug_record(), 20),
            (debug_capture_record(4, 7), 24),
            (old_socket_record(), 38),
        ]);
    for (record, header) in cases {
        for cut in 1..record.len() {
            let result = decode(&record[..cut]);
            if cut < header {
                assert!(
                    matches!(result, Err(CiliumError::Truncated { len, .. }) if len == cut),
                    "type {} cut at {cut}: {result:?}",
                    record[0]
                );
            } else {
                assert!(
                    result.is_ok(),
                    "type {} cut at {cut}: {result:?}",
                    record[0]
                );
            }
        }
    }
}

#[test]
fn what_this_build_does_not_know_is_named() {
    assert_eq!(decode(&[]), Err(CiliumError::Empty));
    for kind in [0, 6, 8, 128, 131, 255] {
        let error = decode(&[kind; 100]).unwrap_err();
        assert_eq!(error, CiliumError::UnknownType(kind));
        assert_eq!(error.reason(), "unknown_type");
    }
    let newer = |kind, version, newest| CiliumError::UnknownVersion {
        kind,
        version,
        newest,
    };
    assert_eq!(decode(&drop_record(4)), Err(newer("drop", 4, 3)));
    assert_eq!(decode(&trace_record(3)), Err(newer("trace", 3, 2)));
}

#[test]
fn an_extension_that_nobody_registered_takes_no_room() {
    let mut record = trace_record(2);
    record[15] = 9;
    let Ok(Record::Trace(notify, packet)) = decode(&record) else {
        panic!("no trace");
    };
    assert_eq!((notify.header.ext_version, packet.bytes), (9, &PACKET[..]));
}

#[test]
fn padding_of_a_sample_is_no_part_of_the_record() {
    for record in [
        drop_record(1),
        drop_record(3),
        trace_record(0),
        trace_record(2),
        policy_verdict_record(0),
        debug_capture_record(4, 7),
        debug_record(),
    ] {
        let mut sample = record.clone();
        sample.extend([0; 6]);
        assert_eq!(record_length(&sample), record.len(), "type {}", record[0]);
        assert!(record_length(&sample[..10]) <= 10);
    }
    assert_eq!(record_length(&socket_record()), 40);
    assert_eq!(record_length(&[]), 0);
}

macro_rules! gob {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/data/gob/",
            $name,
            ".gob"
        ))
    };
}
pub(crate) use gob;

pub(crate) fn access_log(record: &[u8]) -> AccessLog {
    match decode(record) {
        Ok(Record::AccessLog(log)) => *log,
        other => panic!("no access log: {other:?}"),
    }
}

#[test]
fn an_access_log_tells_who_spoke_and_what_was_said() {
    let log = access_log(gob!("http_request"));
    assert_eq!(log.kind, "Request");
    assert_eq!(log.timestamp, "2026-03-01T10:20:30.123456789Z");
    assert_eq!(log.observation_point, "Ingress");
    assert_eq!(log.verdict, "Forwarded");
    assert_eq!((log.transport, log.ip_version), (6, 0));
    assert_eq!((log.source.id, log.source.port), (4242, 40112));
    assert_eq!(log.source.ipv4, "10.0.1.7");
    assert_eq!(log.source.labels.len(), 3);
    assert_eq!(log.destination.ipv6, "fd00::9");
    assert_eq!(log.destination.identity, 25002);
    let mut http = log.http.unwrap();
    assert_eq!((http.code, &*http.method), (0, "GET"));
    assert_eq!(
        http.url,
        "http://user:secret@api.shop:8080/cart/7?item=3#top"
    );
    http.headers.sort();
    let accept = (
        "Accept".to_owned(),
        vec!["text/html".to_owned(), "text/plain".to_owned()],
    );
    assert_eq!((http.headers.len(), &http.headers[0]), (3, &accept));
    assert!(log.dns.is_none() && log.kafka.is_none() && log.generic.is_none());
}

#[test]
fn an_access_log_of_dns_kafka_or_anything_else_tells_its_own_fields() {
    let dns = access_log(gob!("dns_answer")).dns.unwrap();
    assert_eq!(dns.query, "www.example.org.");
    let ips: Vec<String> = dns.ips.iter().map(ToString::to_string).collect();
    assert_eq!(ips, ["192.0.2.80", "192.0.2.81", "2001:db8::80"]);
    assert_eq!((dns.ttl, dns.rcode), (300, 0));
    assert_eq!(dns.cnames, ["edge.example.net."]);
    assert_eq!(dns.observation_source, "proxy");
    assert_eq!(
        (dns.question_types, dns.answer_types),
        (vec![1], vec![5, 1])
    );
    let kafka = access_log(gob!("kafka_request")).kafka.unwrap();
    assert_eq!((&*kafka.api_key, &*kafka.topic), ("produce", "orders"));
    assert_eq!((kafka.api_version, kafka.correlation_id), (2, -5));
    let mut generic = access_log(gob!("generic")).generic.unwrap();
    generic.fields.sort();
    assert_eq!(generic.protocol, "cassandra");
    assert_eq!(generic.fields[0], ("query_action".into(), "select".into()));
}

#[test]
fn an_agents_notification_is_a_number_and_a_text() {
    let expected = AgentNotification {
        kind: 6,
        text: r#"{"labels":["k8s:name=allow-web"],"revision":13,"rule_count":1}"#.to_owned(),
    };
    assert_eq!(decode(gob!("policy_deleted")), Ok(Record::Agent(expected)));
}

#[test]
fn an_agents_record_cut_anywhere_is_refused() {
    for record in [&gob!("http_request")[..], gob!("agent_start")] {
        for cut in 1..record.len() {
            let error = decode(&record[..cut]).unwrap_err();
            assert_eq!(error.reason(), "gob_cut", "cut at {cut}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(kind in 0u8..10, mut bytes: Vec<u8>) {
        if let Some(first) = bytes.first_mut() {
            *first = if kind < 8 { kind } else { kind + 121 };
        }
        drop(decode(&bytes));
        proptest::prop_assert!(record_length(&bytes) <= bytes.len());
    }

    #[test]
    fn no_damage_to_a_record_makes_the_decoder_panic(
        which in 0usize..6, at in 0usize..60, byte: u8, cut in 0usize..70,
    ) {
        let mut record = match which {
            0 => drop_record(3),
            1 => trace_record(2),
            2 => policy_verdict_record(5),
            3 => debug_capture_record(8, 1),
            4 => socket_record(),
            _ => debug_record(),
        };
        if let Some(damaged) = record.get_mut(at) {
            *damaged = byte;
        }
        record.truncate(cut);
        drop(decode(&record));
        proptest::prop_assert!(record_length(&record) <= record.len());
    }
}
