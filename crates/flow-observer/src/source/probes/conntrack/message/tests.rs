use super::*;

const NESTED: u16 = 0x8000;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = (value.len() as u16 + 4).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NESTED, &parts.concat())
}

/// As the kernel writes it (`ctnetlink_dump_tuples`).
fn tuple_attribute(kind: u16, protocol: u8, ends: &Ends) -> Vec<u8> {
    let address = |v4, v6, ip| match ip {
        IpAddr::V4(ip) => attribute(v4, &ip.octets()),
        IpAddr::V6(ip) => attribute(v6, &ip.octets()),
    };
    let ip = nested(
        CTA_TUPLE_IP,
        &[
            address(CTA_IP_V4_SRC, CTA_IP_V6_SRC, ends.source.ip),
            address(CTA_IP_V4_DST, CTA_IP_V6_DST, ends.destination.ip),
        ],
    );
    let proto = nested(
        CTA_TUPLE_PROTO,
        &[
            attribute(CTA_PROTO_NUM, &[protocol]),
            attribute(CTA_PROTO_SRC_PORT, &ends.source.port.to_be_bytes()),
            attribute(CTA_PROTO_DST_PORT, &ends.destination.port.to_be_bytes()),
        ],
    );
    nested(kind, &[ip, proto])
}

fn netlink(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32 + 16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

/// `IPS_CONFIRMED`, and that a rule replaced source and destination.
const TRANSLATED: u32 = 0x188 | 0x30;
/// The same of a connection whose answers IPVS replaces addresses in: it changes the tuple and says
/// nothing of it (`ip_vs_update_conntrack`).
pub(in super::super) const BY_IPVS: u32 = 0x188;

/// A message about a connection.
pub(in super::super) fn message(command: u8, translation: &Translation) -> Vec<u8> {
    message_with(TRANSLATED, command, translation)
}

/// The same with this status.
pub(in super::super) fn message_with(
    status: u32,
    command: u8,
    translation: &Translation,
) -> Vec<u8> {
    const STATUS: u16 = 3;
    let family = match translation.original.source.ip {
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 10,
    };
    let reply = translation.translated.reversed();
    let body = [
        vec![family, 0, 0, 0],
        tuple_attribute(CTA_TUPLE_ORIG, translation.protocol, &translation.original),
        tuple_attribute(CTA_TUPLE_REPLY, translation.protocol, &reply),
        attribute(STATUS, &status.to_be_bytes()),
    ];
    netlink(u16::from_le_bytes([command, 1]), 0, &body.concat())
}

fn end(ip: &str, port: u16) -> End {
    End {
        ip: ip.parse().unwrap(),
        port,
    }
}

/// From a client to a service, and so to its backend.
pub(in super::super) fn translated(
    protocol: u8,
    [client, service, backend]: [&str; 3],
) -> Translation {
    let source = end(client, 4000);
    Translation {
        protocol,
        original: Ends {
            source,
            destination: end(service, 80),
        },
        translated: Ends {
            source,
            destination: end(backend, 8080),
        },
        socket_cookie: 0,
    }
}

pub(in super::super) const V4: [&str; 3] = ["10.0.0.1", "10.96.0.1", "10.0.0.2"];
pub(in super::super) const V6: [&str; 3] = ["fd00::1", "fd96::1", "fd00::2"];

fn said(datagram: &[u8]) -> Vec<Said> {
    messages(datagram).collect()
}

#[test]
fn a_translated_connection_begins_and_ends_with_both_its_tuples() {
    for ends in [V4, V6] {
        for protocol in [TCP, UDP, SCTP] {
            let translation = translated(protocol, ends);
            let datagram = [
                message(CT_NEW, &translation),
                message(CT_DELETE, &translation),
            ]
            .concat();
            let expected = [Said::Is(translation), Said::Ended(translation)];
            assert_eq!(said(&datagram), expected);
        }
    }
}

#[test]
fn what_ipvs_translates_is_known_by_its_tuples() {
    for ends in [V4, V6] {
        let plain = translated(TCP, ends);
        // As for clients outside of the cluster: masqueraded behind IPVS.
        let mut masqueraded = plain;
        masqueraded.translated.source = end(ends[1], 61_000);
        for translation in [plain, masqueraded] {
            let news = message_with(BY_IPVS, CT_NEW, &translation);
            let [Said::Is(read)] = said(&news)[..] else {
                panic!("{translation:?}");
            };
            assert_eq!(read, translation);
            // Both legs, in both directions, are one connection's.
            for ends in [read.original, read.translated] {
                assert!(read.place(&ends).is_some_and(|place| !place.is_reply));
                let back = read.place(&ends.reversed());
                assert!(back.is_some_and(|place| place.is_reply));
            }
        }
    }
}

#[test]
fn what_is_not_translated_or_has_no_ports_is_not_of_interest() {
    let [client, _, backend] = V4;
    let mut direct = translated(TCP, [client, backend, backend]);
    direct.original = direct.translated;
    assert_eq!(said(&message(CT_NEW, &direct)), [Said::NotOfInterest]);
    let icmp = translated(1, V4);
    assert_eq!(said(&message(CT_NEW, &icmp)), [Said::NotOfInterest]);
    let another_subsystem = netlink(u16::from_le_bytes([0, 2]), 0, &[0; 8]);
    assert_eq!(said(&another_subsystem), [Said::NotOfInterest]);
}

#[test]
fn the_end_of_a_table_and_refusals_are_told_apart() {
    let code = |code: i32| code.to_ne_bytes();
    assert_eq!(said(&netlink(3, 2, &code(0))), [Said::Done]);
    assert_eq!(said(&netlink(3, 0x12, &code(0))), [Said::Interrupted]);
    assert_eq!(said(&netlink(3, 2, &code(-12))), [Said::Refused(12)]);
    assert_eq!(said(&netlink(2, 0, &code(-1))), [Said::Refused(1)]);
}

#[test]
fn a_message_cut_anywhere_is_malformed_and_the_last() {
    let first = message(CT_NEW, &translated(TCP, V4));
    let second = message(CT_NEW, &translated(TCP, V6));
    for cut in 1..second.len() {
        let said = said(&[&first[..], &second[..cut]].concat());
        assert_eq!(said.len(), 2, "cut at {cut}");
        assert_eq!(said[1], Said::Malformed, "cut at {cut}");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic_or_go_on_forever(datagram: Vec<u8>) {
        assert!(messages(&datagram).count() <= datagram.len());
    }

    #[test]
    fn no_damage_makes_the_parser_panic(
        v6: bool,
        damage in proptest::collection::vec((0usize..400, proptest::num::u8::ANY), 0..8)
    ) {
        let mut bytes = message(CT_NEW, &translated(UDP, if v6 { V6 } else { V4 }));
        for (at, byte) in damage {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        assert!(messages(&bytes).count() <= bytes.len());
    }
}
