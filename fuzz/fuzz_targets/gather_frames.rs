//! Frames of HTTP/2: whatever a peer sends, in whatever pieces, what is handed on means the same.
#![no_main]

use std::iter;

use libfuzzer_sys::fuzz_target;
use relay::fuzzing;

const HEADER: usize = 9;
const DATA: u8 = 0;
const END_STREAM: u8 = 1;
/// The largest that a peer may send unasked.
const LARGEST: usize = 16_384;

fuzz_target!(|input: &[u8]| {
    // How much is read at a time, the number of cuts, the cuts, the connection.
    let Some((&[read_at_once, cuts], rest)) = input.split_first_chunk() else {
        return;
    };
    let Some((cuts, bytes)) = rest.split_at_checked(usize::from(cuts % 16)) else {
        return;
    };
    let mut pieces = Vec::new();
    let mut rest = bytes;
    for cut in cuts {
        let (piece, after) = rest.split_at(rest.len() * usize::from(*cut) / 256);
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    let read_at_once = usize::from(read_at_once) * 64;
    let handed_on = fuzzing::gathered(&pieces, read_at_once).expect("all has come");
    assert!(handed_on.len() <= bytes.len());
    assert!(frames(&handed_on).all(|(_, payload)| payload.len() <= LARGEST));
    assert_eq!(meaning(&handed_on), meaning(bytes));
});

/// Header without length, and payload, as far as they are whole and not too large.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; HEADER - 3], &[u8])> {
    iter::from_fn(move || {
        let (&[a, b, c, header @ ..], rest) = bytes.split_first_chunk::<HEADER>()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let (payload, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        (length <= LARGEST).then_some((header, payload))
    })
}

/// The frames, with data of one stream that follows each other as one; and all that comes after them.
fn meaning(bytes: &[u8]) -> (Vec<([u8; HEADER - 3], Vec<u8>)>, &[u8]) {
    let mut meaning: Vec<([u8; HEADER - 3], Vec<u8>)> = Vec::new();
    let mut length = 0;
    for (header, payload) in frames(bytes) {
        length += HEADER + payload.len();
        let is_plain = header[0] == DATA && header[1] & !END_STREAM == 0;
        match meaning.last_mut() {
            Some((last, before)) if is_plain && last[..2] == [DATA, 0] && last[2..] == header[2..] => {
                before.extend(payload);
                last[1] = header[1];
            }
            _ => meaning.push((header, payload.to_vec())),
        }
    }
    (meaning, &bytes[length..])
}
