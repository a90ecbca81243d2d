//! Messages over several packets: any pieces in any order are heard within bounds, and a payload in
//! pieces says what it says as a whole.
#![no_main]

use std::{net::Ipv4Addr, sync::Arc};

use flow_filter::TcpFlags;
use flow_observer::{
    counters::Counters,
    decode::payload::{ApplicationSummary, Beginnings, Piece, Scratch, Stream},
    record::Transport,
};
use libfuzzer_sys::fuzz_target;

/// What a piece is, in the four bytes before its cut.
const STEP: usize = 4;
const SYN: u16 = 0x02;

fuzz_target!(|input: &[u8]| {
    // Port and number of steps, the steps, the payload.
    let Some((&[port, steps, first], rest)) = input.split_first_chunk() else {
        return;
    };
    let Some((steps, payload)) = rest.split_at_checked(usize::from(steps % 32) * STEP) else {
        return;
    };
    let port = match port % 3 {
        0 => 53,
        1 => 80,
        _ => 443,
    };
    disordered(port, steps, payload);
    ordered(port, usize::from(first), payload);
});

/// Pieces from anywhere in the payload, over some connections, in any order and at any time.
fn disordered(port: u16, steps: &[u8], payload: &[u8]) {
    let mut joiner = Joiner::new();
    let mut time_ns = 0;
    for step in steps.chunks_exact(STEP) {
        let &[at, len, stream, how] = step else {
            return;
        };
        time_ns += i64::from(how >> 5) * 1_000_000_000;
        let from = payload.len() * usize::from(at) / 256;
        let to = payload.len().min(from + usize::from(len) * 8);
        let is_udp = how & 1 != 0;
        joiner.hear(Piece {
            is_whole: how & 2 == 0,
            is_followed: how & 4 == 0,
            time_ns,
            transport: transport(port, is_udp, if how & 8 == 0 { 0 } else { SYN }),
            sequence: u32::from(stream) + from as u32,
            ..piece(port, u16::from(stream % 8), 0, &payload[from..to])
        });
    }
}

/// The whole payload in two, in order and in the other: what it says is the same.
fn ordered(port: u16, first: usize, payload: &[u8]) {
    let cut = payload.len() * (first + 1) / 257;
    // So many bytes tell that there is a message; more than a message may have are not joined.
    if cut < 8 || payload.len() > 16 * 1024 {
        return;
    }
    let whole = Joiner::new().hear(piece(port, 1, 0, payload));
    let (front, back) = payload.split_at(cut);
    let open = Piece {
        transport: transport(port, false, SYN),
        ..piece(port, 1, 0, &[])
    };
    for pieces in [
        [piece(port, 1, 0, front), piece(port, 1, cut as u32, back)],
        [piece(port, 1, cut as u32, back), piece(port, 1, 0, front)],
    ] {
        let mut joiner = Joiner::new();
        joiner.hear(open);
        let said: Vec<_> = pieces
            .map(|it| joiner.hear(it))
            .into_iter()
            .flatten()
            .collect();
        // A back that says something by itself is heard as that.
        let is_joined = !back.is_empty() && Joiner::new().hear(pieces[0]).is_none();
        if let (Some(whole), [.., said], true) = (&whole, &said[..], is_joined) {
            assert_eq!(telling(said), telling(whole));
        }
        if let (Some(whole), [], true) = (&whole, &said[..], is_joined) {
            panic!("{whole} is not heard in pieces");
        }
    }
}

/// A hello is told once it has a name, and what stands behind that is not waited for.
fn telling(said: &ApplicationSummary) -> String {
    match said {
        ApplicationSummary::Tls(server) => format!("{:?}", server.name),
        other => other.to_string(),
    }
}

struct Joiner {
    beginnings: Beginnings,
    scratch: Scratch,
}

impl Joiner {
    fn new() -> Self {
        Self {
            beginnings: Beginnings::new(Arc::new(Counters::default())),
            scratch: Scratch::default(),
        }
    }

    fn hear(&mut self, piece: Piece<'_>) -> Option<ApplicationSummary> {
        let heard = self.beginnings.hear(piece, &mut self.scratch);
        let summary = heard.and_then(|heard| heard.application.summary());
        assert!(self.beginnings.held_bytes() <= Beginnings::MAX_HELD_BYTES);
        summary
    }
}

fn piece(port: u16, client: u16, sequence: u32, bytes: &[u8]) -> Piece<'_> {
    Piece {
        stream: Stream {
            source: Ipv4Addr::new(10, 0, 0, 1).into(),
            destination: Ipv4Addr::new(192, 0, 2, 1).into(),
            ports: (client, port),
            device: 1,
        },
        transport: transport(port, false, 0),
        bytes,
        sequence,
        time_ns: 0,
        is_whole: true,
        is_followed: true,
    }
}

fn transport(port: u16, is_udp: bool, flags: u16) -> Transport {
    if is_udp {
        return Transport::Udp {
            source_port: 40_000,
            destination_port: port,
        };
    }
    Transport::Tcp {
        source_port: 40_000,
        destination_port: port,
        flags: TcpFlags::from_bits(flags),
    }
}
