//! Packets' payloads in, names of flows out.

use flow_api::flow::TrafficDirection;
use flow_filter::TcpFlags;
use proptest::prelude::*;
use simple_dns::{
    CLASS, Name as WrittenName, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord,
    TYPE,
    rdata::{A, AAAA, CNAME, OPT, RData, SRV, SVCB},
};

use super::*;
use crate::{
    decode::payload,
    enrich::{Directory, Inventory, Snapshot},
    record::{Counts, PacketHeaders, Transport},
};

const CLIENT: &str = "10.0.0.1";
const RESOLVER: &str = "10.0.0.53";
const SERVER: &str = "192.0.2.1";

/// Everything that packets of a capture file say.
struct Wire {
    names: NameTable,
    snapshot: Arc<Snapshot>,
}

impl Wire {
    fn new() -> Self {
        Self {
            names: NameTable::new(Arc::default()),
            snapshot: Directory::new("n1", Inventory::default()).snapshot(),
        }
    }

    fn flow(&self, source: &str, destination: &str, transport: Transport) -> FlowRecord {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        FlowRecord {
            time_ns: 1,
            uuid: 0,
            observation: Observation::Captured,
            packet: PacketHeaders {
                ip: Some(Ip {
                    source,
                    destination,
                }),
                transport: Some(transport),
                ..PacketHeaders::default()
            },
            source: self.snapshot.look_up(source).party(),
            destination: self.snapshot.look_up(destination).party(),
            direction: TrafficDirection::Unknown,
            tunnel: None,
            interface: None,
            socket_cookie: 0,
            counts: Counts::default(),
            process: None,
            translation: None,
            rare: None,
        }
    }

    fn hear(&mut self, flow: &FlowRecord, payload: &[u8]) {
        let mut scratch = payload::Scratch::default();
        let transport = flow.packet.transport.unwrap();
        if let Ok(Some(application)) = payload::parse(&transport, payload, &mut scratch) {
            self.names.hear(&application, flow);
        }
    }

    fn answer(&mut self, message: &[u8]) {
        let flow = self.flow(RESOLVER, CLIENT, udp(53, 40_000));
        self.hear(&flow, message);
    }

    /// A flow from the client, with names.
    fn named(&mut self, destination: &str) -> FlowRecord {
        let mut flow = self.flow(CLIENT, destination, tcp(443));
        self.names.name(&mut flow, Identities::Ours);
        flow
    }

    fn names(&mut self, destination: &str) -> Vec<String> {
        texts(&self.named(destination).destination)
    }
}

fn texts(party: &Party) -> Vec<String> {
    let names = party.names.iter().flat_map(|names| &names.all);
    names.map(|name| name.text.to_string()).collect()
}

fn udp(source_port: u16, destination_port: u16) -> Transport {
    Transport::Udp {
        source_port,
        destination_port,
    }
}

fn tcp(destination_port: u16) -> Transport {
    Transport::Tcp {
        source_port: 40_000,
        destination_port,
        flags: TcpFlags::default(),
    }
}

fn name(text: &str) -> WrittenName<'_> {
    WrittenName::new(text).unwrap()
}

fn reply<'a>(asked: &'a str, kind: TYPE) -> Packet<'a> {
    let mut packet = Packet::new_reply(7);
    let (kind, class) = (QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN));
    let question = Question::new(name(asked), kind, class, false);
    packet.questions.push(question);
    packet
}

fn record<'a>(owner: &'a str, data: RData<'a>) -> ResourceRecord<'a> {
    ResourceRecord::new(name(owner), CLASS::IN, 60, data)
}

fn a(last: u8) -> RData<'static> {
    RData::A(A {
        address: 0xc000_0200 + u32::from(last),
    })
}

fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    packet.build_bytes_vec_compressed().unwrap()
}

fn simple_answer() -> Vec<u8> {
    let mut packet = reply("api.example.test", TYPE::A);
    packet.answers.push(record("api.example.test", a(1)));
    bytes(&packet)
}

#[test]
fn an_answer_names_the_address_to_who_asked() {
    let mut wire = Wire::new();
    wire.answer(&simple_answer());
    let flow = wire.named(SERVER);
    assert_eq!(texts(&flow.destination), ["api.example.test"]);
    assert_eq!(
        *flow.destination.endpoint.labels,
        ["fqdn:api.example.test", "reserved:world"]
    );
    assert!(flow.destination.identity > 1 << 24);
    assert_eq!((texts(&flow.source), flow.source.identity), (vec![], 2));

    let mut back = wire.flow(SERVER, CLIENT, tcp(40_000));
    wire.names.name(&mut back, Identities::Theirs);
    assert_eq!(texts(&back.source), ["api.example.test"]);
    assert_eq!(back.source.identity, 2);

    let mut other = wire.flow("10.0.0.2", SERVER, tcp(443));
    wire.names.name(&mut other, Identities::Ours);
    assert!(other.destination.names.is_none());
}

#[test]
fn what_the_asked_name_is_an_alias_of_has_the_asked_name() {
    let mut packet = reply("www.example.test", TYPE::A);
    let alias = |text| RData::CNAME(CNAME(name(text)));
    packet.answers.extend([
        record("www.example.test", alias("cdn.test")),
        record("CDN.test", alias("edge.cdn.test")),
        record("edge.cdn.test", a(1)),
        record("edge.cdn.test", RData::AAAA(AAAA { address: 1 << 64 })),
        record("stranger.test", a(9)),
    ]);
    *packet.opt_mut() = Some(OPT {
        opt_codes: Vec::new(),
        udp_packet_size: 1232,
        version: 0,
    });
    let mut wire = Wire::new();
    wire.answer(&bytes(&packet));
    assert_eq!(wire.names(SERVER), ["www.example.test"]);
    assert_eq!(wire.names("0:0:0:1::"), ["www.example.test"]);
    assert!(wire.names("192.0.2.9").is_empty(), "nobody asked for it");
}

#[test]
fn servers_of_a_service_have_their_own_names() {
    let mut packet = reply("_ldap._tcp.example.test", TYPE::SRV);
    let server = |target| {
        RData::SRV(SRV {
            priority: 0,
            weight: 0,
            port: 389,
            target: name(target),
        })
    };
    packet.answers.push(record(
        "_ldap._tcp.example.test",
        server("dc1.example.test"),
    ));
    packet.name_servers.push(record("example.test", a(8)));
    packet.additional_records.extend([
        record("dc1.example.test", a(1)),
        record("stranger.test", a(9)),
    ]);
    let mut wire = Wire::new();
    wire.answer(&bytes(&packet));
    assert_eq!(wire.names(SERVER), ["dc1.example.test"]);
    assert!(wire.names("192.0.2.8").is_empty());
    assert!(wire.names("192.0.2.9").is_empty());
}

#[test]
fn addresses_that_a_web_site_hints_at_have_its_name() {
    let mut packet = reply("www.example.test", TYPE::HTTPS);
    let mut binding = SVCB::new(1, name("."));
    binding.set_ipv4hint(&[0xc000_0201]);
    binding.set_ipv6hint(&[1 << 64]);
    packet.answers.push(record(
        "www.example.test",
        RData::HTTPS(simple_dns::rdata::HTTPS(binding)),
    ));
    let mut wire = Wire::new();
    wire.answer(&bytes(&packet));
    assert_eq!(wire.names(SERVER), ["www.example.test"]);
    assert_eq!(wire.names("0:0:0:1::"), ["www.example.test"]);
}

#[test]
fn what_is_no_server_s_word_on_a_question_is_not_believed() {
    let mut wire = Wire::new();
    let mut failed = reply("api.example.test", TYPE::A);
    failed.answers.push(record("api.example.test", a(1)));
    *failed.rcode_mut() = RCODE::NameError;
    wire.answer(&bytes(&failed));
    failed.remove_flags(PacketFlag::RESPONSE);
    *failed.rcode_mut() = RCODE::NoError;
    wire.answer(&bytes(&failed));
    // As if a client answered, and what everybody in the network may say.
    for (source_port, destination_port) in [(40_000, 53), (5353, 5353)] {
        let flow = wire.flow(RESOLVER, CLIENT, udp(source_port, destination_port));
        wire.hear(&flow, &simple_answer());
    }
    for address in ["0.0.0.0", "224.0.0.251"] {
        let mut packet = reply("blocked.test", TYPE::A);
        let address = address.parse::<std::net::Ipv4Addr>().unwrap().to_bits();
        let nowhere = RData::A(A { address });
        packet.answers.push(record("blocked.test", nowhere));
        wire.answer(&bytes(&packet));
    }
    for address in [SERVER, "0.0.0.0", "224.0.0.251"] {
        assert!(wire.names(address).is_empty(), "{address}");
    }
}

#[test]
fn an_answer_counts_up_to_a_bound() {
    let mut packet = reply("many.test", TYPE::A);
    packet
        .answers
        .extend((0..200).map(|last| record("many.test", a(last))));
    let mut wire = Wire::new();
    wire.answer(&bytes(&packet));
    assert_eq!(wire.names("192.0.2.63"), ["many.test"]);
    assert!(wire.names("192.0.2.64").is_empty());
}

#[test]
fn only_who_is_of_this_node_is_listened_to() {
    let mut wire = Wire::new();
    let mut flow = wire.flow(RESOLVER, CLIENT, udp(53, 40_000));
    flow.observation = Observation::Socket {
        point: 0,
        cgroup_id: 0,
    };
    wire.hear(&flow, &simple_answer());
    assert!(wire.names(SERVER).is_empty());
    let host = crate::record::Endpoint {
        identity: HOST,
        ..Default::default()
    };
    flow.destination = Party::of(&Arc::new(host));
    wire.hear(&flow, &simple_answer());
    assert_eq!(wire.names(SERVER), ["api.example.test"]);
}

#[test]
fn a_client_names_the_server_that_it_speaks_to() {
    let mut wire = Wire::new();
    let flow = wire.flow(CLIENT, SERVER, tcp(80));
    wire.hear(&flow, b"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n");
    assert!(wire.names(SERVER).is_empty(), "an address is no name");
    wire.hear(&flow, b"GET / HTTP/1.1\r\nHost: Shop.test:80\r\n\r\n");
    let named = wire.named(SERVER);
    assert_eq!(texts(&named.destination), ["shop.test"]);
    assert_eq!(named.destination.identity, 2);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(message: Vec<u8>) {
        Wire::new().answer(&message);
    }

    #[test]
    fn no_damage_to_an_answer_makes_it_panic(
        at in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let mut message = simple_answer();
        *at.get_mut(&mut message) = byte;
        Wire::new().answer(&message);
    }
}
