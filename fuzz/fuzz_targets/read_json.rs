//! JSON lines: what is read comes back from what is written.
#![no_main]

use flow_api::{json, observer::GetFlowsResponse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(message) = json::from_str::<GetFlowsResponse>(text) {
        let written = json::to_string(&message);
        let again = json::from_str::<GetFlowsResponse>(&written).expect("own output is readable");
        assert_eq!(json::to_string(&again), written);
    }
});
