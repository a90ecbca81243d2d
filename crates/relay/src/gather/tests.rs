//! Whatever comes, however it is cut: what is handed on means the same.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const HEADERS: u8 = 1;
const PADDED: u8 = 8;

#[derive(Clone, Debug, Eq, PartialEq)]
struct FrameParts {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> FrameParts {
    FrameParts {
        kind,
        flags,
        stream,
        payload: payload.to_vec(),
    }
}

fn encoded(frames: &[FrameParts]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        bytes.extend(&(frame.payload.len() as u32).to_be_bytes()[1..]);
        bytes.extend([frame.kind, frame.flags]);
        bytes.extend(frame.stream.to_be_bytes());
        bytes.extend(&frame.payload);
    }
    bytes
}

fn decoded(mut bytes: &[u8]) -> Vec<FrameParts> {
    let mut frames = Vec::new();
    while let Some(&header) = bytes.first_chunk::<HEADER>() {
        let (length, [.., kind, flags, a, b, c, d]) = (length(header), header);
        let stream = u32::from_be_bytes([a, b, c, d]);
        frames.push(frame(kind, flags, stream, &bytes[HEADER..HEADER + length]));
        bytes = &bytes[HEADER + length..];
    }
    assert!(bytes.is_empty());
    frames
}

/// What is handed on of bytes that come in these pieces.
fn gathered(pieces: &[&[u8]], read_at_once: usize) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut stream = tokio_test(pieces);
    runtime.block_on(async {
        let mut all = Vec::new();
        let mut piece = vec![0; read_at_once];
        loop {
            match stream.read(&mut piece).await.unwrap() {
                0 => return all,
                length => all.extend_from_slice(&piece[..length]),
            }
        }
    })
}

/// A stream that gives one piece at a read.
struct Pieces(std::collections::VecDeque<Vec<u8>>);

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.0.pop_front() {
            let rest = piece.split_off(piece.len().min(out.remaining()));
            out.put_slice(&piece);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn tokio_test(pieces: &[&[u8]]) -> Gather<Pieces> {
    let whole = pieces.iter().filter(|piece| !piece.is_empty());
    Gather::new(Pieces(whole.map(|piece| piece.to_vec()).collect()))
}

#[test]
fn data_of_one_stream_that_came_together_is_one_frame() {
    let frames = [
        frame(DATA, 0, 1, b"ab"),
        frame(DATA, 0, 1, b"cde"),
        frame(DATA, 0, 3, b"x"),
        frame(DATA, 0, 3, b""),
        frame(DATA, END_STREAM, 3, b"y"),
        frame(DATA, 0, 1, b"f"),
        frame(HEADERS, END_STREAM, 1, b"end"),
    ];
    let expected = [
        frame(DATA, 0, 1, b"abcde"),
        frame(DATA, END_STREAM, 3, b"xy"),
        frame(DATA, 0, 1, b"f"),
        frame(HEADERS, END_STREAM, 1, b"end"),
    ];
    assert_eq!(decoded(&gathered(&[&encoded(&frames)], 5)), expected);
}

#[test]
fn padded_frames_stay_as_they_are() {
    let frames = [
        frame(DATA, 0, 1, b"ab"),
        frame(DATA, PADDED, 1, b"\x01c\0"),
        frame(DATA, 0, 1, b"d"),
    ];
    assert_eq!(decoded(&gathered(&[&encoded(&frames)], 100)), frames);
}

#[test]
fn no_frame_grows_larger_than_a_reader_takes() {
    let frames = vec![frame(DATA, 0, 1, &[7; 6000]); 10];
    let frames = decoded(&gathered(&[&encoded(&frames)], 4096));
    assert!(frames.iter().all(|frame| frame.payload.len() <= MAX_FRAME));
    let all: usize = frames.iter().map(|frame| frame.payload.len()).sum();
    assert_eq!(all, 60_000);
}

#[test]
fn a_frame_that_is_too_large_is_the_readers_to_judge_with_all_that_follows() {
    let mut bytes = encoded(&[frame(DATA, 0, 1, b"a")]);
    bytes.extend([0xff; 40_000]);
    assert_eq!(gathered(&[&bytes], 4096), bytes);
}

#[test]
fn an_end_in_the_midst_of_a_frame_is_handed_on() {
    let bytes = encoded(&[frame(DATA, 0, 1, b"abc"), frame(DATA, 0, 1, b"def")]);
    for length in 0..bytes.len() {
        assert_eq!(!gathered(&[&bytes[..length]], 100).is_empty(), length > 0);
    }
}

/// A frame that gives credit.
fn credit_frame(stream: u32, more: u32) -> Vec<u8> {
    encoded(&[frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())])
}

/// Writes, flushes, and returns how much has come out.
async fn written(
    gather: &mut Gather<tokio::io::DuplexStream>,
    other: &mut tokio::io::DuplexStream,
    bytes: &[u8],
) -> usize {
    gather.write_all(bytes).await.unwrap();
    gather.flush().await.unwrap();
    let mut out = [0; 4096];
    futures::FutureExt::now_or_never(other.read(&mut out)).map_or(0, Result::unwrap)
}

#[tokio::test]
async fn credit_is_kept_until_it_is_a_lot_or_something_else_is_sent() {
    let (stream, mut other) = tokio::io::duplex(4096);
    let mut gather = Gather::new(stream);
    // As it comes: for the stream, and for the connection.
    let more = [
        credit_frame(1, CREDIT_LOT / 2),
        credit_frame(0, CREDIT_LOT / 2),
    ]
    .concat();
    assert_eq!(written(&mut gather, &mut other, &more).await, 0);
    assert_eq!(written(&mut gather, &mut other, &more).await, 52);
    assert_eq!(
        written(&mut gather, &mut other, &more).await,
        0,
        "a new lot"
    );
    let ping = encoded(&[frame(6, 1, 0, &[0; 8])]);
    assert_eq!(written(&mut gather, &mut other, &ping).await, 26 + 17);
    let much = credit_frame(3, CREDIT_LOT);
    assert_eq!(written(&mut gather, &mut other, &much).await, 13);
    let large = [7; SMALL + 1];
    assert_eq!(written(&mut gather, &mut other, &more).await, 0);
    assert_eq!(
        written(&mut gather, &mut other, &large).await,
        26 + SMALL + 1
    );
}

#[test]
fn only_whole_frames_of_credit_are_credit() {
    let credit_bytes = credit_frame(1, 5);
    assert_eq!(credit(&credit_bytes), Some([5, 0]));
    assert_eq!(credit(&credit_frame(0, 7)), Some([0, 7]));
    assert_eq!(credit(&[]), None);
    assert_eq!(credit(&credit_bytes[..12]), None);
    assert_eq!(credit(&encoded(&[frame(6, 0, 0, &[0; 4])])), None);
}

/// Per stream, what it consists of: runs of data, where each ends the stream or not, and the rest.
fn meaning(frames: Vec<FrameParts>) -> Vec<FrameParts> {
    let mut meaning: Vec<FrameParts> = Vec::new();
    for frame in frames {
        let is_plain = |frame: &FrameParts| frame.kind == DATA && frame.flags & !END_STREAM == 0;
        match meaning.last_mut() {
            Some(last)
                if is_plain(last)
                    && is_plain(&frame)
                    && last.stream == frame.stream
                    && last.flags == 0 =>
            {
                last.payload.extend(frame.payload);
                last.flags = frame.flags;
            }
            _ => meaning.push(frame),
        }
    }
    meaning
}

fn any_frame() -> impl Strategy<Value = FrameParts> {
    let kind = prop_oneof![3 => Just(DATA), 1 => 1..9u8];
    let flags = prop_oneof![4 => Just(0u8), 1 => any::<u8>()];
    let payload = proptest::collection::vec(any::<u8>(), 0..3000);
    (kind, flags, 0..3u32, payload).prop_map(|(kind, flags, stream, payload)| FrameParts {
        kind,
        flags,
        stream,
        payload,
    })
}

proptest! {
    #[test]
    fn what_is_handed_on_means_what_came(
        frames in proptest::collection::vec(any_frame(), 0..30),
        cuts in proptest::collection::vec(1..5000usize, 0..30),
        read_at_once in 1..20_000usize,
    ) {
        let bytes = encoded(&frames);
        let mut pieces = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        let handed_on = decoded(&gathered(&pieces, read_at_once));
        prop_assert_eq!(meaning(handed_on), meaning(frames));
    }

    #[test]
    fn any_bytes_are_handed_on_or_gathered(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        read_at_once in 1..500usize,
    ) {
        let handed_on = gathered(&[&bytes], read_at_once);
        prop_assert!(handed_on.len() <= bytes.len());
    }
}
