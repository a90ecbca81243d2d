//! Packets: any bytes are dissected, or refused in Hubble's dialect; the payload lies within them.
#![no_main]

use flow_observer::{
    decode::{Start, dissect, dissect_as_hubble},
    record::TunnelProtocol,
};
use libfuzzer_sys::fuzz_target;

// The first byte chooses how to read the others.
fuzz_target!(|input: &[u8]| {
    let Some((&how, bytes)) = input.split_first() else {
        return;
    };
    let start = match how & 7 {
        0..=3 => Start::Ethernet,
        4 => Start::Ip,
        5 => Start::Ipv4,
        6 => Start::Ipv6,
        _ => Start::EtherType(0x8100),
    };
    let overlay = match how >> 3 & 3 {
        0 | 1 => None,
        2 => Some(TunnelProtocol::Geneve),
        _ => Some(TunnelProtocol::Vxlan),
    };
    let dissected = dissect(bytes, how & 0x80 != 0, start);
    assert!(bytes.get(dissected.payload).is_some());
    if let Ok(dissected) = dissect_as_hubble(bytes, start, overlay) {
        assert!(bytes.get(dissected.payload).is_some());
    }
});
