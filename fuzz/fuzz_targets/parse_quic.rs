//! QUIC Initial packets, and what is in them: no fuzzer finds the key, so their frames are read too.
#![no_main]

use flow_observer::decode::payload::{
    quic::{self, Frames, Room},
    tls,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(initial) = quic::parse(bytes, &mut Room::default()) {
        initial.fragments().for_each(drop);
    }
    if let Ok(frames) = Frames::read(bytes) {
        let mut handshake = Vec::new();
        quic::join(frames.fragments(), &mut handshake);
        let _ = tls::client_hello(&handshake);
    }
});
