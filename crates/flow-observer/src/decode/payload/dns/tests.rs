use proptest::prelude::*;
use simple_dns::{
    CLASS, Name as WrittenName, Packet, QCLASS, QTYPE, Question as WrittenQuestion, RCODE,
    ResourceRecord, TYPE,
    rdata::{A, AAAA, CNAME, OPT, RData, TXT},
};

use super::*;

fn name(text: &str) -> WrittenName<'_> {
    WrittenName::new(text).unwrap()
}

fn question(text: &str, kind: TYPE) -> WrittenQuestion<'_> {
    WrittenQuestion::new(
        name(text),
        QTYPE::TYPE(kind),
        QCLASS::CLASS(CLASS::IN),
        false,
    )
}

/// A query for the IPv4 address of `www.example.com`, as resolvers send it: with EDNS.
fn query() -> Vec<u8> {
    let mut packet = Packet::new_query(7);
    packet.questions.push(question("www.example.com", TYPE::A));
    *packet.opt_mut() = Some(OPT {
        opt_codes: Vec::new(),
        udp_packet_size: 1232,
        version: 0,
    });
    packet.build_bytes_vec_compressed().unwrap()
}

/// An alias and what it leads to, with compressed names.
fn answer() -> Vec<u8> {
    let mut packet = Packet::new_reply(7);
    packet.questions.push(question("www.example.com", TYPE::A));
    let mut add = |owner, ttl, data| {
        let record = ResourceRecord::new(name(owner), CLASS::IN, ttl, data);
        packet.answers.push(record);
    };
    let alias = RData::CNAME(CNAME(name("web.example.com")));
    add("www.example.com", 300, alias);
    let address = 0xc000_0201;
    add("web.example.com", 60, RData::A(A { address }));
    let address = 0x2001_0db8_0000_0000_0000_0000_0000_0001;
    add("web.example.com", 61, RData::AAAA(AAAA { address }));
    let text = TXT::new().with_string("hello").unwrap();
    add("web.example.com", 62, RData::TXT(text));
    packet.build_bytes_vec_compressed().unwrap()
}

fn shown(answer: &Answer<'_>) -> String {
    let Answer {
        name,
        record_type,
        ttl,
        data,
    } = answer;
    match data {
        Data::A(address) => format!("{name} {ttl} {record_type} {address}"),
        Data::Aaaa(address) => format!("{name} {ttl} {record_type} {address}"),
        Data::Cname(alias) => format!("{name} {ttl} {record_type} {alias}"),
        Data::Srv(server) => format!("{name} {ttl} {record_type} {server}"),
        Data::Binding(binding) => {
            let hints: Vec<_> = binding.hints().map(|hint| hint.to_string()).collect();
            format!("{name} {ttl} {record_type} {}", hints.join(" "))
        }
        Data::Other(bytes) => format!("{name} {ttl} {record_type} {}", bytes.escape_ascii()),
    }
}

const ANSWERS: [&str; 4] = [
    "www.example.com. 300 CNAME web.example.com.",
    "web.example.com. 60 A 192.0.2.1",
    "web.example.com. 61 AAAA 2001:db8::1",
    r"web.example.com. 62 TXT \x05hello",
];

/// A message of one question, whose name is these bytes.
fn asks(name: &[u8]) -> Vec<u8> {
    let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend(name);
    message.extend([0, 1, 0, 1]);
    message
}

#[test]
fn a_query_tells_what_is_asked() {
    let bytes = query();
    let message = parse(&bytes, Framing::Datagram).unwrap();
    assert_eq!(message.id(), 7);
    assert!(!message.is_response() && !message.is_cut() && !message.is_truncated());
    assert_eq!(message.query().unwrap().to_string(), "www.example.com.");
    let types: Vec<_> = message.questions().map(|it| it.record_type).collect();
    assert_eq!(types, [RecordType::A]);
    assert_eq!(message.answers().count(), 0);
}

#[test]
fn an_answer_tells_names_addresses_aliases_and_how_long_they_hold() {
    let bytes = answer();
    let message = parse(&bytes, Framing::Datagram).unwrap();
    assert!(message.is_response() && !message.is_cut());
    assert_eq!(message.rcode(), 0);
    let answers: Vec<_> = message.answers().map(|it| shown(&it)).collect();
    assert_eq!(answers, ANSWERS);
}

#[test]
fn an_answer_tells_that_a_name_does_not_exist() {
    let mut packet = Packet::new_reply(7);
    *packet.rcode_mut() = RCODE::NameError;
    packet
        .questions
        .push(question("no.example.com", TYPE::AAAA));
    let bytes = packet.build_bytes_vec().unwrap();
    let message = parse(&bytes, Framing::Datagram).unwrap();
    assert_eq!(message.rcode(), 3);
    assert_eq!(message.query().unwrap().to_string(), "no.example.com.");
}

#[test]
fn a_stream_has_a_length_before_the_message() {
    let mut bytes = (answer().len() as u16).to_be_bytes().to_vec();
    bytes.extend(answer());
    // The next message in the same segment is not mixed up with the first.
    bytes.extend([0xff; 40]);
    let message = parse(&bytes, Framing::Stream).unwrap();
    assert!(!message.is_cut());
    assert_eq!(message.answers().count(), ANSWERS.len());
}

#[test]
fn a_message_cut_anywhere_tells_what_was_read_and_that_it_is_cut() {
    let bytes = answer();
    let question_len = 12 + 17 + 4;
    for len in 0..bytes.len() {
        match parse(&bytes[..len], Framing::Datagram) {
            Ok(message) => {
                assert!(len >= question_len && message.is_cut(), "{len}");
                let answers: Vec<_> = message.answers().map(|it| shown(&it)).collect();
                assert_eq!(answers, ANSWERS[..answers.len()], "{len}");
            }
            Err(error) => assert!(len < question_len && error == CUT, "{len}: {error}"),
        }
    }
}

#[test]
fn names_are_shown_so_that_no_byte_is_taken_for_another() {
    let cases: [(&[u8], &str); 4] = [
        (b"\0", "."),
        (b"\x03A-z\x01_\0", "A-z._."),
        (b"\x03a.b\x01\\\0", r"a\.b.\\."),
        (b"\x04\x00\x20\x7f\xff\0", r"\000\032\127\255."),
    ];
    for (wire, text) in cases {
        let bytes = asks(wire);
        let message = parse(&bytes, Framing::Datagram).unwrap();
        assert_eq!(message.query().unwrap().to_string(), text);
    }
}

#[test]
fn names_that_contradict_the_protocol_are_refused() {
    let label = [[63].as_slice(), &[b'a'; 63]].concat();
    let longest = [label.repeat(3), vec![61], vec![b'a'; 61], vec![0]].concat();
    assert_eq!(longest.len(), 255);
    assert!(parse(&asks(&longest), Framing::Datagram).is_ok());

    let too_long = [label.repeat(3), vec![62], vec![b'a'; 62], vec![0]].concat();
    let cases: [(&str, &[u8]); 6] = [
        ("longer than any name may be", &too_long),
        ("pointer to itself", &[0xc0, 12]),
        ("pointer to the label before it", &[1, b'a', 0xc0, 12]),
        ("pointer ahead", &[0xc0, 14, 0]),
        ("pointer into the header", &[0xc0, 2]),
        ("label of an unassigned type", &[0x40, 0]),
    ];
    for (case, wire) in cases {
        let error = parse(&asks(wire), Framing::Datagram).unwrap_err();
        assert_eq!(error.reason(), "malformed_dns", "{case}");
    }
}

#[test]
fn a_long_chain_of_pointers_is_not_followed() {
    // An answer of an unread type holds pointers, each to the one before it.
    let mut message = vec![0, 7, 0x80, 0, 0, 1, 0, 2, 0, 0, 0, 0];
    message.extend([0, 0, 1, 0, 1]);
    message.extend([0, 0, 99, 0, 1, 0, 0, 0, 0, 0x04, 0]);
    let mut target = 12u16;
    for _ in 0..512 {
        let here = message.len() as u16;
        message.extend((0xc000 | target).to_be_bytes());
        target = here;
    }
    message.extend((0xc000 | target).to_be_bytes());
    message.extend([0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4]);
    let error = parse(&message, Framing::Datagram).unwrap_err();
    assert_eq!(error, malformed("compression pointer"));
}

#[test]
fn an_answer_of_another_size_than_its_type_has_is_refused() {
    let mut bytes = asks(b"\x01a\0");
    bytes[7] = 1;
    let answer = |kind: u8, data: &[u8]| {
        let head = [0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 0, 0, data.len() as u8];
        [bytes.as_slice(), &head, data].concat()
    };
    for (kind, data) in [
        (1, &[1u8; 5][..]),
        (28, &[1; 4]),
        (5, &[0, 0]),
        (5, &[0xc0, 12, 0]),
    ] {
        let message = answer(kind, data);
        let error = parse(&message, Framing::Datagram).unwrap_err();
        assert_eq!(error.reason(), "malformed_dns", "type {kind}");
    }
    assert!(parse(&answer(99, &[1; 5]), Framing::Datagram).is_ok());
}

#[test]
fn a_time_to_live_with_the_sign_bit_is_none() {
    let mut bytes = asks(b"\x01a\0");
    bytes[7] = 1;
    bytes.extend([0xc0, 12, 0, 1, 0, 1, 0x80, 0, 0, 9, 0, 4, 1, 2, 3, 4]);
    let message = parse(&bytes, Framing::Datagram).unwrap();
    assert_eq!(message.answers().next().unwrap().ttl, 0);
}

#[test]
fn types_have_names_or_numbers() {
    assert_eq!(RecordType(65).to_string(), "HTTPS");
    assert_eq!(RecordType(9999).to_string(), "TYPE9999");
}

fn read_all(bytes: &[u8]) {
    for framing in [Framing::Datagram, Framing::Stream] {
        if let Ok(message) = parse(bytes, framing) {
            for question in message.questions() {
                assert!(question.name.labels().map(|it| it.len() + 1).sum::<usize>() < 255);
            }
            drop(message.answers().map(|it| shown(&it)).collect::<Vec<_>>());
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        read_all(&bytes);
    }

    #[test]
    fn no_damage_to_a_message_makes_it_panic(
        damage in prop::collection::vec((0usize..150, any::<u8>()), 0..4),
        cut in 0usize..200,
    ) {
        let mut bytes = answer();
        for (at, byte) in damage {
            if let Some(damaged) = bytes.get_mut(at) {
                *damaged = byte;
            }
        }
        bytes.truncate(cut);
        read_all(&bytes);
    }

    #[test]
    fn names_are_those_that_another_library_wrote(
        labels in prop::collection::vec("[a-z0-9-]{1,12}", 1..6),
    ) {
        let text = labels.join(".");
        let mut packet = Packet::new_query(1);
        packet.questions.push(question(&text, TYPE::AAAA));
        let bytes = packet.build_bytes_vec().unwrap();
        let message = parse(&bytes, Framing::Datagram).unwrap();
        prop_assert_eq!(message.query().unwrap().to_string(), text + ".");
    }
}
