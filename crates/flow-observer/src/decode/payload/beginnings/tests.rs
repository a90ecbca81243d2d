use std::net::Ipv4Addr;

use flow_filter::TcpFlags;
use proptest::prelude::*;

use super::*;
use crate::decode::payload::{quic::tests as quic_tests, tls::tests as tls_tests};

const NAME: &str = "split.example.test";
const START: u32 = u32::MAX - 20;

fn stream(port: u16) -> Stream {
    Stream {
        source: Ipv4Addr::new(10, 0, 0, 1).into(),
        destination: Ipv4Addr::new(192, 0, 2, 1).into(),
        ports: (port, 443),
        device: 1,
    }
}

fn tcp(bytes: &[u8], at: usize, destination_port: u16) -> Piece<'_> {
    Piece {
        stream: stream(1),
        transport: Transport::Tcp {
            source_port: 1,
            destination_port,
            flags: TcpFlags::default(),
        },
        bytes,
        sequence: START.wrapping_add(at as u32),
        time_ns: 0,
    }
}

fn udp(bytes: &[u8]) -> Piece<'_> {
    Piece {
        transport: Transport::Udp {
            source_port: 1,
            destination_port: 443,
        },
        ..tcp(bytes, 0, 443)
    }
}

/// Beginnings with what they count.
struct Heard {
    beginnings: Beginnings,
    counters: Arc<Counters>,
}

impl Heard {
    fn new() -> Self {
        let counters = Arc::new(Counters::default());
        Self {
            beginnings: Beginnings::new(Arc::clone(&counters)),
            counters,
        }
    }

    /// The name in what was said, as text.
    fn name(&mut self, piece: Piece<'_>) -> Option<String> {
        let mut scratch = Scratch::default();
        let said = self.beginnings.hear(piece, &mut scratch)?.summary()?;
        Some(said.name().unwrap_or("nameless").to_owned())
    }

    fn unfinished(&self) -> u64 {
        let stages = self.counters.stages();
        let unfinished = stages.iter().filter(|it| it.what == "unfinished");
        unfinished.map(|it| it.count).sum()
    }
}

fn cut(bytes: &[u8], lens: &[usize]) -> Vec<(usize, Vec<u8>)> {
    let mut pieces = Vec::new();
    let mut at = 0;
    for &len in lens {
        let end = bytes.len().min(at + len);
        pieces.push((at, bytes[at..end].to_vec()));
        at = end;
    }
    pieces.push((at, bytes[at..].to_vec()));
    pieces.retain(|(_, piece)| !piece.is_empty());
    pieces
}

#[test]
fn a_hello_over_segments_is_put_together_in_any_order_behind_the_first() {
    let hello = tls_tests::records(NAME, 1 << 14);
    let pieces = cut(&hello, &[50, 20, 10]);
    for order in [[0, 1, 2, 3], [0, 3, 2, 1], [0, 2, 3, 1]] {
        let mut heard = Heard::new();
        let names: Vec<_> = order
            .iter()
            // Each is seen twice, as when it is sent again.
            .flat_map(|&piece| [piece, piece])
            .map(|piece| heard.name(tcp(&pieces[piece].1, pieces[piece].0, 443)))
            .collect();
        let told: Vec<_> = names.iter().flatten().collect();
        assert_eq!(told, [NAME], "{order:?}: {names:?}");
        assert!(heard.beginnings.waiting.is_empty());
    }
}

#[test]
fn a_hello_in_one_piece_waits_for_nothing() {
    let mut heard = Heard::new();
    let hello = tls_tests::records(NAME, 1 << 14);
    assert_eq!(heard.name(tcp(&hello, 0, 443)).as_deref(), Some(NAME));
    // What is missing behind the name is not looked for.
    let most = &hello[..hello.len() - 3];
    assert_eq!(heard.name(tcp(most, 0, 443)).as_deref(), Some(NAME));
    assert!(heard.beginnings.waiting.is_empty());
}

#[test]
fn a_question_over_segments_is_put_together_from_its_length_on() {
    let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend(b"\x03www\x07example\x04test\x00\x00\x01\x00\x01");
    let framed = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
    for lens in [&[1, 1][..], &[2], &[5, 9], &[20]] {
        let mut heard = Heard::new();
        let pieces = cut(&framed, lens);
        let told: Vec<_> = pieces
            .iter()
            .filter_map(|(at, piece)| heard.name(tcp(piece, *at, 53)))
            .collect();
        assert_eq!(told, ["www.example.test"], "{lens:?}");
        assert!(heard.beginnings.waiting.is_empty());
    }
}

#[test]
fn a_hello_over_datagrams_is_put_together_in_any_order() {
    let hello = tls_tests::hello(NAME);
    let (first, second) = hello.split_at(60);
    let packets = [
        quic_tests::packet_with(&[quic_tests::crypto(0, first)]),
        quic_tests::packet_with(&[quic_tests::crypto(60, second)]),
    ];
    for [one, other] in [[0, 1], [1, 0]] {
        let mut heard = Heard::new();
        assert_eq!(heard.name(udp(&packets[one])), None);
        assert_eq!(heard.name(udp(&packets[one])), None);
        assert_eq!(heard.name(udp(&packets[other])).as_deref(), Some(NAME));
        assert!(heard.beginnings.waiting.is_empty());
    }
    // As the kernel has them when it is to cut them itself.
    let mut heard = Heard::new();
    let both = packets.concat();
    assert_eq!(heard.name(udp(&both)).as_deref(), Some(NAME));
}

#[test]
fn what_has_no_end_is_given_up_and_counted() {
    let mut heard = Heard::new();
    let hello = tls_tests::records(NAME, 1 << 14);
    assert_eq!(heard.name(tcp(&hello[..50], 0, 443)), None);
    let late = Piece {
        time_ns: 2 * PATIENCE_NS,
        ..tcp(&hello[50..], 50, 443)
    };
    assert_eq!(heard.name(late), None);
    assert!(heard.beginnings.waiting.is_empty());
    assert_eq!(heard.unfinished(), 1);
}

#[test]
fn of_too_many_beginnings_the_oldest_is_given_up() {
    let mut heard = Heard::new();
    let hello = tls_tests::records(NAME, 1 << 14);
    for port in 0..MAX_WAITING as u16 + 10 {
        let piece = Piece {
            stream: stream(port),
            time_ns: port.into(),
            ..tcp(&hello[..50], 0, 443)
        };
        assert_eq!(heard.name(piece), None);
        assert!(heard.beginnings.waiting.len() <= MAX_WAITING);
    }
    assert_eq!(heard.unfinished(), 10);
    let ends = |heard: &mut Heard, port| {
        heard.name(Piece {
            stream: stream(port),
            time_ns: 1_000,
            ..tcp(&hello[50..], 50, 443)
        })
    };
    assert_eq!(ends(&mut heard, 0), None);
    assert_eq!(ends(&mut heard, 500).as_deref(), Some(NAME));
}

#[test]
fn a_message_without_end_takes_no_more_than_its_bound() {
    let mut heard = Heard::new();
    let hello = tls_tests::records(NAME, 1 << 14);
    heard.name(tcp(&hello[..50], 0, 443));
    for piece in 1..40 {
        // Never what comes next.
        heard.name(tcp(&[0; 1000], 100 + piece * 100, 443));
    }
    assert!(heard.beginnings.waiting.is_empty());
    assert_eq!(heard.unfinished(), 1);
}

proptest! {
    #[test]
    fn any_cuts_of_a_hello_tell_its_name(lens in prop::collection::vec(1usize..60, 0..6)) {
        let hello = tls_tests::records(NAME, 1 << 14);
        let mut lens = lens;
        // Six bytes tell that there is a hello.
        lens.insert(0, 6);
        let mut heard = Heard::new();
        let told: Vec<_> = cut(&hello, &lens)
            .iter()
            .filter_map(|(at, piece)| heard.name(tcp(piece, *at, 443)))
            .collect();
        prop_assert!(told.contains(&NAME.to_owned()), "{:?}", told);
    }

    #[test]
    fn no_segments_make_it_panic(
        pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..80), 0usize..200, any::<bool>()), 0..30),
    ) {
        let hello = tls_tests::records(NAME, 1 << 14);
        let mut heard = Heard::new();
        heard.name(tcp(&hello[..50], 0, 443));
        for (bytes, at, is_dns) in &pieces {
            heard.name(tcp(bytes, *at, if *is_dns { 53 } else { 443 }));
            heard.name(udp(bytes));
        }
    }
}
