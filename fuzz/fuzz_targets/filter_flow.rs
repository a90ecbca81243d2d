//! Filters from anybody against flows from anybody.
#![no_main]

use flow_api::flow::{Flow, FlowFilter};
use flow_filter::Filter;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(|input: (&[u8], &[u8])| {
    let (Ok(filter), Ok(flow)) = (FlowFilter::decode(input.0), Flow::decode(input.1)) else {
        return;
    };
    if let Ok(filter) = Filter::compile(&[filter], &[]) {
        let _ = filter.matches(&flow);
    }
});
