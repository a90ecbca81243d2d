//! The JSON mapping, for messages and texts nobody thought of.

use flow_api::{flow, json, observer, peer};
use proptest::prelude::*;

use self::random_message::Source;

mod random_message;

/// Runs a check for the types through which every message of the contract can be reached.
macro_rules! for_each_root {
    ($check:ident($argument:expr)) => {
        $check::<flow::Flow>("flow.Flow", $argument)?;
        $check::<flow::FlowFilter>("flow.FlowFilter", $argument)?;
        $check::<observer::ExportEvent>("observer.ExportEvent", $argument)?;
        $check::<observer::GetAgentEventsResponse>("observer.GetAgentEventsResponse", $argument)?;
        $check::<observer::GetDebugEventsResponse>("observer.GetDebugEventsResponse", $argument)?;
        $check::<observer::GetFlowsRequest>("observer.GetFlowsRequest", $argument)?;
        $check::<observer::GetFlowsResponse>("observer.GetFlowsResponse", $argument)?;
        $check::<observer::GetNamespacesResponse>("observer.GetNamespacesResponse", $argument)?;
        $check::<observer::GetNodesResponse>("observer.GetNodesResponse", $argument)?;
        $check::<observer::ServerStatusResponse>("observer.ServerStatusResponse", $argument)?;
        $check::<peer::ChangeNotification>("peer.ChangeNotification", $argument)?;
    };
}

fn random<T: json::Json>(name: &str, entropy: &[u8]) -> T {
    T::decode(Source::new(entropy).message(name).as_slice()).expect("made by the descriptor")
}

fn survives<T: json::Json>(name: &str, entropy: &[u8]) -> Result<(), TestCaseError> {
    let message: T = random(name, entropy);
    let text = json::to_string(&message);
    let again: T = json::from_str(&text)
        .map_err(|error| TestCaseError::fail(format!("{name}: {error}: {text}")))?;
    // Encoded, since a NaN is not equal to itself.
    prop_assert_eq!(again.encode_to_vec(), message.encode_to_vec(), "{}", text);
    prop_assert_eq!(json::to_string(&again), text);
    Ok(())
}

/// Where reading succeeds, what was read must be stable.
fn is_refused_or_stable<T: json::Json>(_: &str, text: &str) -> Result<(), TestCaseError> {
    for ignore_unknown in [false, true] {
        if let Ok(message) = json::from_str_with::<T>(text, json::ReadOptions { ignore_unknown }) {
            let text = json::to_string(&message);
            let again = json::from_str::<T>(&text).map(|again| json::to_string(&again));
            prop_assert_eq!(again, Ok(text));
        }
    }
    Ok(())
}

/// Bytes are told as the message is that they stand for; whether they are what an encoder writes, or
/// two of them in a row, which is one message, too.
fn is_told_by_its_bytes<T: json::Json + Default>(
    name: &str,
    entropy: &[u8],
) -> Result<(), TestCaseError> {
    let bytes = Source::new(entropy).message(name);
    let half = Source::new(&entropy[entropy.len() / 2..]).message(name);
    for bytes in [
        &bytes[..],
        &[&bytes[..], &half].concat(),
        &bytes[..bytes.len() / 2],
    ] {
        let mut out = b"before".to_vec();
        let written = json::write_encoded::<T>(bytes, &mut out);
        let expected = match T::decode(bytes) {
            Ok(message) => json::to_string(&message),
            Err(_) => String::new(),
        };
        prop_assert_eq!(written.is_err(), expected.is_empty());
        prop_assert_eq!(String::from_utf8(out), Ok(format!("before{expected}")));
    }
    Ok(())
}

/// Pieces that are likely to lead somewhere.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "null",
    "true",
    "-1",
    "1e400",
    "0.5",
    "18446744073709551616",
    "\"@type\":",
    "\"value\":",
    "\"type.googleapis.com/flow.Flow\"",
    "\"flow\":{",
    "\"time\":\"2024-05-06T07:08:09Z\"",
    "\"extensions\":{",
    "\\ud83d",
    "é",
    " ",
    "\u{0}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_message_survives_its_json_form(entropy in prop::collection::vec(any::<u8>(), 0..600)) {
        for_each_root!(survives(&entropy));
    }

    #[test]
    fn encoded_messages_are_told_as_they_are_when_decoded(
        entropy in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        for_each_root!(is_told_by_its_bytes(&entropy));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
        for_each_root!(is_refused_or_stable(&text));
    }

    #[test]
    fn any_mix_of_json_pieces_is_read_or_refused(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40),
    ) {
        let text = pieces.concat();
        for_each_root!(is_refused_or_stable(&text));
    }

    #[test]
    fn a_damaged_message_is_read_or_refused(
        entropy in prop::collection::vec(any::<u8>(), 0..300),
        damages in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(&PIECES[..]), 0_usize..6),
            1..4,
        ),
    ) {
        let message: observer::GetFlowsResponse = random("observer.GetFlowsResponse", &entropy);
        let mut text = json::to_string(&message);
        for (index, piece, removed) in damages {
            let start = text.floor_char_boundary(index.index(text.len() + 1));
            let end = text.floor_char_boundary((start + removed).min(text.len()));
            text.replace_range(start..end.max(start), piece);
        }
        is_refused_or_stable::<observer::GetFlowsResponse>("", &text)?;
    }
}
