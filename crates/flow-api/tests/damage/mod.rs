//! Texts with mistakes in them, of the kinds that lines of JSON have.

use proptest::{collection::vec, prelude::*, sample};

/// What is put in: pieces that are likely to lead somewhere.
const PIECES: [&str; 33] = [
    "",
    "\"",
    "\\",
    "\\u0026",
    "\\u0061",
    "\\n",
    "\\ud83d",
    "<",
    "&",
    "é",
    "\u{2028}",
    "\u{1}",
    " ",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "0",
    "-1",
    "1e3",
    "1.0",
    "18446744073709551616",
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "\"verdict\":2,",
    "\"verdict\":\"DROPPED\",",
    "\"nodeName\":\"n\",",
    "\"lost_events\":{},",
];

/// Where, how much is taken away, and what is put there; or a part that is doubled.
pub(crate) type Damage = (sample::Index, usize, &'static str, bool);

pub(crate) fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let damage = (
        any::<sample::Index>(),
        0_usize..12,
        sample::select(&PIECES[..]),
        prop::bool::weighted(0.2),
    );
    vec(damage, 1..4)
}

pub(crate) fn damaged(mut text: String, damages: &[Damage]) -> String {
    for (index, removed, piece, is_doubled) in damages {
        let start = text.floor_char_boundary(index.index(text.len() + 1));
        let end = text.floor_char_boundary((start + removed).min(text.len()));
        let end = end.max(start);
        if *is_doubled {
            let part = text[start..end].to_owned();
            text.insert_str(start, &part);
        } else {
            text.replace_range(start..end, piece);
        }
    }
    text
}
