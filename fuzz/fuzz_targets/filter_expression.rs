//! CEL expressions from anybody about flows from anybody.
#![no_main]

use flow_api::flow::{Flow, FlowFilter, flow_filter::Experimental};
use flow_filter::Filter;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(|input: (&str, &[u8])| {
    let Ok(flow) = Flow::decode(input.1) else {
        return;
    };
    let filter = FlowFilter {
        experimental: Some(Experimental {
            cel_expression: vec![input.0.to_owned()],
        }),
        ..FlowFilter::default()
    };
    if let Ok(filter) = Filter::compile(&[filter], &[]) {
        let _ = filter.matches(&flow);
    }
});
