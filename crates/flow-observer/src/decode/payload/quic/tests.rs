use proptest::prelude::*;

use super::*;
use crate::decode::payload::tls::tests::hello;

/// The id of the connection in the samples of RFC 9001 and RFC 9369.
const SAMPLE_ID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
/// What their client's packet carries, without its padding.
const SAMPLE_FRAME: &str = "\
    060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c0000\
    0413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017\
    0018001000070005\
    04616c706e000500050100000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71\
    f50f1ce15d43e994ec74d748002b0003020304000d0010000e0403050306030203080408050806002d000201\
    01001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901\
    100f088394c8f03e51570806048000ffff";
const SAMPLE_LEN: usize = 1162;

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .map(|digit| (digit as char).to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// An Initial packet of a client with these frames, number and connection id.
fn initial(version: Version, id: &[u8], number: u32, frames: &[u8]) -> Vec<u8> {
    let number_of_version: [u8; 4] = match version {
        Version::V1 => [0, 0, 0, 1],
        Version::V2 => [0x6b, 0x33, 0x43, 0xcf],
    };
    // A packet number of 4 bytes, no source id, no token.
    let mut packet = vec![version.initial_bits() | 0b11];
    packet.extend(number_of_version);
    packet.push(id.len() as u8);
    packet.extend(id);
    packet.extend([0, 0]);
    packet.extend((0x4000 | (4 + frames.len() + 16) as u16).to_be_bytes());
    let number_at = packet.len();
    packet.extend(number.to_be_bytes());
    Keys::of_client(version, id)
        .unwrap()
        .seal(packet, number_at, frames)
}

pub(crate) fn crypto(offset: u16, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![6];
    frame.extend((0x4000 | offset).to_be_bytes());
    frame.extend((0x4000 | bytes.len() as u16).to_be_bytes());
    frame.extend(bytes);
    frame
}

pub(crate) fn packet_with(frames: &[Vec<u8>]) -> Vec<u8> {
    initial(Version::V1, &SAMPLE_ID, 0, &frames.concat())
}

fn server_name(payload: &[u8]) -> Option<String> {
    let mut room = Room::default();
    let initial = parse(payload, &mut room).unwrap();
    initial.client_hello?.server_name.map(str::to_owned)
}

#[test]
fn the_samples_of_the_standards_are_opened() {
    let mut frames = from_hex(SAMPLE_FRAME);
    frames.resize(SAMPLE_LEN, 0);
    let cases = [
        (
            Version::V1,
            "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11",
            "e221af44860018ab0856972e194cd934",
        ),
        (
            Version::V2,
            "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485",
            "a18b2faa745b6fe189cf772a9f84cbfc",
        ),
    ];
    for (version, begin, tag) in cases {
        // The tag covers every byte before it: with the right one, the packet is the sample.
        let packet = initial(version, &SAMPLE_ID, 2, &frames);
        assert_eq!(packet.len(), 1200);
        assert!(packet.starts_with(&from_hex(begin)), "{version:?}");
        assert!(packet.ends_with(&from_hex(tag)), "{version:?}");

        assert!(may_hold(&packet));
        let mut room = Room::default();
        let initial = parse(&packet, &mut room).unwrap();
        assert_eq!(
            (initial.version, initial.destination_id),
            (version, &SAMPLE_ID[..])
        );
        let hello = initial.client_hello.unwrap();
        assert_eq!(hello.server_name, Some("example.com"));
        assert!(hello.alpn().eq([b"alpn"]));
        assert!(hello.versions().eq([tls::Version(0x0304)]));
        assert!(!hello.is_cut);
    }
}

#[test]
fn pieces_in_any_order_are_put_together() {
    let hello = hello("shuffled.example");
    let (first, rest) = hello.split_at(50);
    let (second, third) = rest.split_at(20);
    let packet = packet_with(&[
        vec![1],
        crypto(70, third),
        vec![0; 30],
        crypto(0, first),
        // Overlaps what comes before and after.
        crypto(45, &hello[45..90]),
        crypto(50, second),
        vec![2, 0, 0, 0, 0],
    ]);
    assert_eq!(server_name(&packet).as_deref(), Some("shuffled.example"));
}

#[test]
fn a_hello_over_two_packets_is_told_in_pieces() {
    let hello = hello("split.example");
    let (first, second) = hello.split_at(60);
    let packets = [
        packet_with(&[crypto(60, second)]),
        packet_with(&[crypto(0, first)]),
    ];
    let mut rooms = [Room::default(), Room::default()];
    let mut pieces = Vec::new();
    for ((packet, room), is_first) in packets.iter().zip(&mut rooms).zip([false, true]) {
        let initial = parse(packet, room).unwrap();
        assert_eq!(initial.client_hello.is_some(), is_first);
        assert!(initial.client_hello.is_none_or(|hello| hello.is_cut));
        pieces.extend(initial.fragments());
    }
    let mut handshake = Vec::new();
    join(pieces.into_iter(), &mut handshake);
    let joined = tls::client_hello(&handshake).unwrap();
    assert_eq!(
        (joined.server_name, joined.is_cut),
        (Some("split.example"), false)
    );
}

#[test]
fn packets_behind_the_first_do_not_matter() {
    let mut datagram = packet_with(&[crypto(0, &hello("first.example"))]);
    datagram.extend([0x55; 100]);
    assert_eq!(server_name(&datagram).as_deref(), Some("first.example"));
}

#[test]
fn a_packet_that_is_cut_cannot_be_decrypted() {
    let packet = packet_with(&[crypto(0, &hello("example.com"))]);
    for len in 0..packet.len() {
        let error = parse(&packet[..len], &mut Room::default()).unwrap_err();
        assert_eq!(error, CUT, "{len}");
    }
}

#[test]
fn a_changed_packet_or_other_keys_are_noticed() {
    let packet = packet_with(&[crypto(0, &hello("example.com"))]);
    // The connection id that the keys come from, the packet number, the content, the tag.
    for at in [7, 19, 60, packet.len() - 1] {
        let mut changed = packet.clone();
        changed[at] ^= 1;
        let error = parse(&changed, &mut Room::default()).unwrap_err();
        assert_eq!(error, PayloadError::UnknownKeys, "{at}");
    }
}

#[test]
fn only_a_first_packet_of_a_known_version_begins_like_one() {
    let packet = packet_with(&[crypto(0, b"")]);
    assert!(may_hold(&packet));
    let changed = |at: usize, byte: u8| {
        let mut packet = packet.clone();
        packet[at] = byte;
        packet
    };
    let cases = [
        ("a short header", changed(0, 0x43)),
        ("a handshake packet", changed(0, 0xe3)),
        ("a version from the future", changed(4, 9)),
        ("version negotiation", changed(4, 0)),
        ("a short connection id, as to a client", changed(5, 4)),
        ("a connection id of more than 20 bytes", changed(5, 21)),
        (
            "a DNS query",
            vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1],
        ),
    ];
    for (case, packet) in cases {
        assert!(!may_hold(&packet), "{case}");
    }
}

#[test]
fn frames_that_do_not_belong_in_an_initial_are_refused() {
    let cases: [(&str, &[u8]); 4] = [
        ("a stream", &[8, 0]),
        ("a piece beyond the packet", &[6, 0, 0x40, 9]),
        ("an acknowledgement without its end", &[2, 0, 0, 5, 0]),
        ("more pieces than anybody makes", &[6, 0, 0].repeat(65)),
    ];
    for (case, frames) in cases {
        let error = Frames::read(frames).unwrap_err();
        assert_eq!(error.reason(), "malformed_quic", "{case}");
    }
    assert!(Frames::read(&[0x1c, 0, 0, 2, b'n', b'o']).is_ok());
}

#[test]
fn a_handshake_is_joined_up_to_a_bound() {
    let half = vec![1; 10_000];
    let pieces = [0, 10_000].map(|offset| Fragment {
        offset,
        bytes: &half,
    });
    let mut handshake = Vec::new();
    join(pieces.into_iter(), &mut handshake);
    assert_eq!(handshake.len(), 16 * 1024);
    let far = Fragment {
        offset: u64::MAX,
        bytes: &half,
    };
    join([far].into_iter(), &mut handshake);
    assert_eq!(handshake.len(), 16 * 1024);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        assert!(parse(&bytes, &mut Room::default()).is_err());
        let mut packet = packet_with(&[vec![0; 20]]);
        packet.truncate(18);
        packet.extend(bytes);
        assert!(parse(&packet, &mut Room::default()).is_err());
    }

    #[test]
    fn pieces_of_any_cut_and_order_are_joined_to_the_whole(
        whole: Vec<u8>,
        pieces in prop::collection::vec((0usize..120, 0usize..120), 0..8),
        len in 1usize..40,
    ) {
        let whole = [whole, vec![1; 100]].concat();
        let piece = |from: usize, to: usize| Fragment {
            offset: from as u64,
            bytes: &whole[from..to.clamp(from, whole.len())],
        };
        let overlapping = pieces.iter().map(|&(from, to)| piece(from.min(100), to));
        let regular = (0..whole.len()).step_by(len).map(|from| piece(from, from + len));
        let mut handshake = Vec::new();
        join(overlapping.chain(regular.rev()), &mut handshake);
        prop_assert_eq!(handshake, whole);
    }

    #[test]
    fn no_content_of_a_packet_makes_it_panic(frames: Vec<u8>, piece: Vec<u8>, offset in 0u16..9) {
        let frames = [crypto(offset, &piece), frames].concat();
        let packet = initial(Version::V2, &SAMPLE_ID, 1, &frames);
        if let Ok(initial) = parse(&packet, &mut Room::default()) {
            initial.fragments().for_each(drop);
        }
    }
}
