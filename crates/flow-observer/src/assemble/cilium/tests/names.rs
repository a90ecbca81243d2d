//! Names, from the payload in trace records and from the proxies' answers; and services of what those
//! log.

use super::*;
use crate::decode::{
    cilium::{AccessLog, DnsRecord, LoggedEndpoint},
    payload::{quic::tests as quic, tls::tests as tls},
};

const RESOLVER: [u8; 4] = [10, 0, 1, 53];
const NAME: &str = "api.example.test";

/// Ethernet, IPv4 and what is in it.
fn ipv4(protocol: u8, from: [u8; 4], to: [u8; 4], transport: &[u8]) -> Vec<u8> {
    let len = (20 + transport.len() as u16).to_be_bytes();
    let mut packet = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    packet.extend([0x45, 0, len[0], len[1], 0, 0, 0, 0, 64, protocol, 0, 0]);
    packet.extend(from);
    packet.extend(to);
    packet.extend(transport);
    packet
}

fn udp(ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let len = 8 + payload.len() as u16;
    let header = [ports[0], ports[1], len, 0].map(u16::to_be_bytes);
    [header.as_flattened(), payload].concat()
}

fn tcp(sequence: u32, payload: &[u8]) -> Vec<u8> {
    let ports = [40_000u16, 443].map(u16::to_be_bytes);
    let mut segment = ports.concat();
    segment.extend(sequence.to_be_bytes());
    segment.extend([0, 0, 0, 0, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload);
    segment
}

/// The answer that the name has an address.
fn dns_answer(address: [u8; 4]) -> Vec<u8> {
    let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    for label in NAME.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    message.extend(address);
    message
}

const TOLD: Trace = Trace {
    from: RESOLVER,
    ..Trace::BACK
};

#[test]
fn what_a_trace_record_carries_names_the_peers_of_its_endpoint() {
    let out =
        |protocol, transport: &[u8]| Trace::OUT.record_of(&ipv4(protocol, POD, WORLD, transport));
    let answer = udp([53, 1000], &dns_answer(WORLD));
    let get = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    let initial = quic::packet_with(&[quic::crypto(0, &tls::hello(NAME))]);
    for record in [
        TOLD.record_of(&ipv4(17, RESOLVER, POD, &answer)),
        out(6, &tcp(1, &tls::records(NAME, 1 << 14))),
        out(17, &udp([40_000, 443], &initial)),
        out(6, &tcp(1, get.as_bytes())),
    ] {
        let mut node = Node::new();
        node.flow(record);
        let request = node.flow(Trace::OUT.record());
        assert_eq!(request.destination_names, [NAME]);
        assert_eq!(node.flow(Trace::BACK.record()).source_names, [NAME]);
        // Whoever was told nothing knows no name, and Cilium's identities stay.
        let other = Trace {
            from: OTHER,
            source_id: POD_ID + 1,
            ..Trace::OUT
        };
        assert_eq!(node.flow(other.record()).destination_names, [""; 0]);
        assert_eq!(request.destination.unwrap().identity, 2);
    }
}

#[test]
fn a_hello_over_two_trace_records_names_its_server() {
    let mut node = Node::new();
    let hello = tls::records(NAME, 1 << 14);
    for (at, piece) in [(0, &hello[..60]), (60, &hello[60..])] {
        let packet = ipv4(6, POD, WORLD, &tcp(1 + at, piece));
        node.flow(Trace::OUT.record_of(&packet));
    }
    let flow = node.flow(Trace::OUT.record());
    assert_eq!(flow.destination_names, [NAME]);
}

#[test]
fn who_is_masqueraded_knows_its_peers_by_what_it_was_told() {
    let node_address = [192, 0, 2, 1];
    let mut node = Node::new();
    let answer = udp([53, 1000], &dns_answer(WORLD));
    node.flow(TOLD.record_of(&ipv4(17, RESOLVER, POD, &answer)));
    let masqueraded = Trace {
        original: POD,
        from: node_address,
        ..Trace::OUT
    };
    assert_eq!(node.flow(masqueraded.record()).destination_names, [NAME]);
    let another = Trace {
        original: OTHER,
        ..masqueraded
    };
    assert_eq!(node.flow(another.record()).destination_names, [""; 0]);
}

fn logged(address: [u8; 4], id: u64) -> LoggedEndpoint {
    LoggedEndpoint {
        id,
        ipv4: std::net::Ipv4Addr::from(address).to_string(),
        identity: 25_001,
        ..LoggedEndpoint::default()
    }
}

/// What the proxy logs of an answer to an endpoint.
fn log(asker: LoggedEndpoint) -> AccessLog {
    AccessLog {
        kind: "Response".to_owned(),
        timestamp: "2026-03-01T10:20:30Z".to_owned(),
        source: logged(RESOLVER, 0),
        destination: asker,
        transport: 17,
        dns: Some(DnsRecord {
            query: "API.Example.test.".to_owned(),
            ips: vec![WORLD.into(), [203, 0, 113, 6].into()],
            ttl: 60,
            ..DnsRecord::default()
        }),
        ..AccessLog::default()
    }
}

impl Node {
    fn hear(&mut self, log: &AccessLog) -> Flow {
        let around = self.assembler.look_around(0);
        self.assembler.request(log, &around).unwrap()
    }
}

#[test]
fn an_answer_that_the_proxy_logged_names_addresses_for_who_asked() {
    let mut node = Node::new();
    node.hear(&log(logged(POD, POD_ID.into())));
    assert_eq!(node.flow(Trace::OUT.record()).destination_names, [NAME]);
    let second = Trace {
        to: [203, 0, 113, 6],
        ..Trace::OUT
    };
    assert_eq!(node.flow(second.record()).destination_names, [NAME]);
    // A later request of the same endpoint, through a proxy.
    let mut request = log(logged(WORLD, 0));
    request.kind = "Request".to_owned();
    request.source = logged(POD, POD_ID.into());
    request.dns = None;
    let request = node.hear(&request);
    assert_eq!(request.destination_names, [NAME]);
    assert_eq!(request.source_names, [""; 0]);
}

#[test]
fn an_answer_that_failed_or_is_for_nobody_here_names_nothing() {
    let mut failed = log(logged(POD, POD_ID.into()));
    failed.dns.as_mut().unwrap().rcode = 3;
    let mut question = log(logged(POD, POD_ID.into()));
    question.kind = "Request".to_owned();
    let elsewhere = log(logged(OTHER, 0));
    let mut unreadable = log(logged(POD, POD_ID.into()));
    unreadable.destination.ipv4.clear();
    for log in [failed, question, elsewhere, unreadable] {
        let mut node = Node::new();
        node.hear(&log);
        for from in [POD, OTHER] {
            let trace = Trace { from, ..Trace::OUT };
            assert_eq!(node.flow(trace.record()).destination_names, [""; 0]);
        }
    }
}

#[test]
fn what_a_proxy_logged_has_services_and_the_labels_of_its_node() {
    let mut request = log(LoggedEndpoint {
        port: 443,
        ..logged(WORLD, 0)
    });
    request.kind = "Request".to_owned();
    request.transport = 6;
    let flow = Node::new().hear(&request);
    assert_eq!(flow.node_labels, ["zone=a"]);
    let service = flow.destination_service.unwrap();
    assert_eq!((&*service.namespace, &*service.name), ("shop", "api"));
    assert_eq!(flow.source_service, None);
}
