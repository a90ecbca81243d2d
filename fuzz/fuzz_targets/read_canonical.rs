//! JSON lines: what the fast reader accepts, the full one reads alike, and the writer writes.
#![no_main]

use std::sync::LazyLock;

use flow_api::{
    json::{self, Fields},
    observer::GetFlowsResponse,
};
use libfuzzer_sys::fuzz_target;

static FEW: LazyLock<Fields> = LazyLock::new(|| {
    let paths = ["flow.verdict", "flow.source.labels", "flow.l7.http.url", "time"];
    Fields::of::<GetFlowsResponse>(paths).expect("fields of the contract")
});

fuzz_target!(|text: &str| {
    let fast: Option<GetFlowsResponse> = json::from_canonical(text, &Fields::all());
    let few: Option<GetFlowsResponse> = json::from_canonical(text, &FEW);
    assert_eq!(fast.is_some(), few.is_some());
    if let Some(fast) = fast {
        let full = json::from_str::<GetFlowsResponse>(text).expect("what the fast reader reads");
        assert_eq!(fast, full);
        assert_eq!(json::to_string(&fast), text);
    }
});
