//! Capture files: any bytes are read to an end, or refused.
#![no_main]

use std::time::Duration;

use flow_observer::source::{Progress, Source as _, pcap::Pcap};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut pcap) = Pcap::of_bytes(bytes.to_vec()) else {
        return;
    };
    // Nothing yields more events than it has bytes.
    for _ in 0..=bytes.len() {
        match pcap.poll(Duration::ZERO, 1, &mut |_| {}) {
            Ok(Progress::More) => {}
            Ok(Progress::Ended) | Err(_) => return,
        }
    }
    panic!("no end");
});
