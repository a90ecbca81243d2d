//! What a relay reads of an encoded response is what a reader of all of it reads, and what it puts in is
//! what such a reader finds.
#![no_main]

use flow_api::observer::{GetFlowsResponse, get_flows_response::ResponseTypes::NodeStatus};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use relay::fuzzing;

fuzz_target!(|message: &[u8]| {
    for peer in ["node-1", "east/relay"] {
        check_names(message, peer);
    }
    // They differ in what they refuse: the inside of a flow is left alone, and groups are not taken.
    let (Some((time, node_name)), Ok(response)) =
        (fuzzing::scanned(message), GetFlowsResponse::decode(message))
    else {
        return;
    };
    assert_eq!(node_name, response.node_name);
    assert_eq!(time.is_some(), response.time.is_some());
    if let (Some(time), Some(expected)) = (time, response.time) {
        assert_eq!(time.seconds, expected.seconds);
        // Those that no time can have are made ones that it can.
        if (0..1_000_000_000).contains(&expected.nanos) {
            assert_eq!(time.nanos, expected.nanos);
        }
    }
});

fn check_names(message: &[u8], peer: &str) {
    let Some(completed) = fuzzing::completed(message, peer) else {
        return;
    };
    let (_, name) = fuzzing::scanned(&completed).expect("what was read can be read again");
    assert!(!name.is_empty());
    assert!(name.contains('/') || !peer.contains('/'));
    let (Ok(before), Ok(mut after)) = (
        GetFlowsResponse::decode(message),
        GetFlowsResponse::decode(&*completed),
    ) else {
        return;
    };
    after.node_name.clone_from(&before.node_name);
    if let (Some(NodeStatus(before)), Some(NodeStatus(after))) =
        (&before.response_types, &mut after.response_types)
    {
        assert_eq!(after.node_names.len(), before.node_names.len());
        after.node_names.clone_from(&before.node_names);
    }
    assert_eq!(after, before);
}
