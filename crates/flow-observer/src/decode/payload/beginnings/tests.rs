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
        is_whole: true,
        is_followed: true,
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
        let heard = self.beginnings.hear(piece, &mut scratch)?;
        let said = heard.application.summary()?;
        Some(said.name().unwrap_or("nameless").to_owned())
    }

    /// A connection is opened whose first byte is at 0.
    fn open(&mut self) {
        let piece = tcp(&[], 0, 443);
        let Transport::Tcp {
            source_port,
            destination_port,
            ..
        } = piece.transport
        else {
            return;
        };
        let transport = Transport::Tcp {
            source_port,
            destination_port,
            flags: SYN,
        };
        assert_eq!(self.name(Piece { transport, ..piece }), None);
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

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: split.example.test\r\nAccept: */*\r\n\r\n";

#[test]
fn what_overtook_the_first_piece_of_a_new_connection_is_joined_to_it() {
    let hello = tls_tests::records(NAME, 1 << 14);
    for (whole, lens) in [(&*hello, [50, 20, 10]), (GET, [10, 20, 10])] {
        let pieces = cut(whole, &lens);
        for order in [[1, 0, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
            let mut heard = Heard::new();
            heard.open();
            let told: Vec<_> = order
                .iter()
                .flat_map(|&piece| [piece, piece])
                .filter_map(|piece| heard.name(tcp(&pieces[piece].1, pieces[piece].0, 443)))
                .collect();
            assert_eq!(told, [NAME], "{order:?}");
            assert_eq!(heard.unfinished(), 0);
        }
    }
}

#[test]
fn the_middle_of_a_dns_message_is_none_of_its_own() {
    let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    message.extend(b"\x05split\x07example\x04test\x00\x00\x1c\x00\x01");
    message.extend(b"\xc0\x0c\x00\x1c\x00\x01\x00\x00\x00\x3c\x00\x10");
    let front = message.len();
    // An address that looks like a message with no question and a record to come.
    message.extend(b"\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\x01\0\0");
    let framed = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
    let (front, back) = framed.split_at(front + 2);
    let mut heard = Heard::new();
    heard.open();
    assert_eq!(heard.name(tcp(back, front.len(), 53)), None);
    assert_eq!(heard.name(tcp(front, 0, 53)).as_deref(), Some(NAME));
    assert_eq!(heard.unfinished(), 0);
}

#[test]
fn only_what_overtook_a_first_piece_is_kept() {
    let whole = GET;
    let body = [b'x'; 1000];
    let mut heard = Heard::new();
    // An older connection.
    assert_eq!(heard.name(tcp(&body, 1000, 443)), None);
    assert!(heard.beginnings.waiting.is_empty());
    // A new one, whose first piece is told by itself: what follows is no beginning.
    heard.open();
    assert_eq!(heard.name(tcp(&body, whole.len(), 443)), None);
    assert_eq!(heard.beginnings.waiting.len(), 1);
    assert_eq!(heard.name(tcp(whole, 0, 443)).as_deref(), Some(NAME));
    assert_eq!(heard.name(tcp(&body, whole.len() + 1000, 443)), None);
    assert!(heard.beginnings.waiting.is_empty());
    // One whose first piece never comes takes no more than its bound, once.
    heard.open();
    for piece in 1..100 {
        heard.name(tcp(&body, piece * 1000, 443));
    }
    assert!(heard.beginnings.waiting.is_empty());
    assert_eq!(heard.unfinished(), 1);
}

#[test]
fn a_head_over_segments_is_told_as_a_whole_and_where_it_began() {
    for lens in [&[4][..], &[20], &[1 << 10], &[10, 10, 10], &[GET.len() - 1]] {
        let mut heard = Heard::new();
        let mut scratch = Scratch::default();
        let mut told = Vec::new();
        for (time_ns, (at, bytes)) in (1..).zip(cut(GET, lens)) {
            let piece = Piece {
                time_ns,
                ..tcp(&bytes, at, 8080)
            };
            let Some(said) = heard.beginnings.hear(piece, &mut scratch) else {
                continue;
            };
            assert_eq!((said.sequence, said.time_ns), (START, 1));
            assert_eq!(said.bytes, GET);
            if let Application::HttpRequest(request) = said.application {
                assert!(!request.is_cut);
                told.push(request.headers().count());
            }
        }
        assert_eq!(told, [2], "{lens:?}");
    }
}

#[test]
fn a_head_whose_rest_will_not_come_is_told_as_far_as_it_is_there() {
    let first = &GET[..30];
    let host = |piece: Piece<'_>| Heard::new().name(piece);
    for (is_whole, is_followed) in [(false, true), (true, false)] {
        let piece = Piece {
            is_whole,
            is_followed,
            ..tcp(first, 0, 80)
        };
        assert!(host(piece).is_some(), "{is_whole} {is_followed}");
    }
    // One that is too long, and one of which the capture has only so much.
    let line = [&b"X: "[..], &[b'x'; 4000], b"\r\n"].concat();
    let mut heard = Heard::new();
    assert_eq!(heard.name(tcp(&GET[..GET.len() - 2], 0, 80)), None);
    let told: Vec<_> = (0..8)
        .filter_map(|piece| heard.name(tcp(&line, GET.len() - 2 + piece * line.len(), 80)))
        .collect();
    assert_eq!(told, [NAME]);
    assert_eq!(heard.unfinished(), 1);
    let mut heard = Heard::new();
    assert_eq!(heard.name(tcp(&GET[..20], 0, 80)), None);
    let cut = Piece {
        is_whole: false,
        ..tcp(&GET[20..50], 20, 80)
    };
    assert_eq!(heard.name(cut).as_deref(), Some(NAME));
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
