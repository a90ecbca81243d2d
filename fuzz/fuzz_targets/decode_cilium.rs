//! Records of Cilium's datapath and agent: any bytes are decoded or refused.
#![no_main]

use flow_observer::decode::cilium;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    assert!(cilium::record_length(bytes) <= bytes.len());
    let _ = cilium::decode(bytes);
});
