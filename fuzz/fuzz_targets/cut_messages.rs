//! A stream of gRPC messages: whatever is in it, the same messages come out however it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay::fuzzing;

fuzz_target!(|input: &[u8]| {
    // The number of cuts, the cuts, the stream.
    let Some((&cuts, rest)) = input.split_first() else {
        return;
    };
    let Some((cuts, stream)) = rest.split_at_checked(usize::from(cuts % 16)) else {
        return;
    };
    let mut pieces = Vec::new();
    let mut rest = stream;
    for cut in cuts {
        let (piece, after) = rest.split_at(rest.len() * usize::from(*cut) / 256);
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    match (fuzzing::cut(&[stream]), fuzzing::cut(&pieces)) {
        (Ok(whole), Ok(pieces)) => {
            let bytes: usize = whole.iter().map(|message| message.len() + 5).sum();
            assert!(bytes <= stream.len());
            assert_eq!(pieces, whole);
        }
        (Err(whole), Err(pieces)) => assert_eq!(pieces.code(), whole.code()),
        (whole, pieces) => panic!("{whole:?} and in pieces {pieces:?}"),
    }
});
