//! Records of the optional programs: any bytes are decoded or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = flow_observer::decode::decode_hook(bytes);
});
