//! From a record of the probes to headers: time, and allocations, of which there are to be none.
//!
//! The floor is a copy of the record. A record may cost 75 ns.

#[path = "../tests/support/mod.rs"]
mod support;

use divan::{AllocProfiler, Bencher, black_box, counter::ItemsCount};
use flow_observer::{
    decode::{Start, decode, dissect, dissect_as_hubble},
    record::{PacketHeaders, Transport},
};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// A packet, by its place in the list of ordinary ones.
const PACKETS: std::ops::Range<usize> = 0..5;

fn packet(index: usize) -> (Vec<u8>, u16) {
    let [.., (name, packet, port)] = &support::ordinary()[..=index] else {
        unreachable!("every packet has a place");
    };
    assert!(!name.is_empty());
    (packet.clone(), *port)
}

fn port(headers: &PacketHeaders) -> Option<u16> {
    match headers.transport? {
        Transport::Tcp {
            destination_port, ..
        }
        | Transport::Udp {
            destination_port, ..
        } => Some(destination_port),
        _ => None,
    }
}

#[divan::bench(args = PACKETS)]
fn floor_copy_of_the_record(bencher: Bencher<'_, '_>, index: usize) {
    let record = support::trace_record(&packet(index).0);
    let mut copy = record.clone();
    bencher
        .counter(ItemsCount::new(1u32))
        .bench_local(|| black_box(&mut copy).copy_from_slice(black_box(&record)));
}

#[divan::bench(args = PACKETS)]
fn record(bencher: Bencher<'_, '_>, index: usize) {
    let (packet, expected) = packet(index);
    let record = support::trace_record(&packet);
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        let decoded = decode(black_box(&record)).expect("the record is whole");
        assert_eq!(port(&decoded.packet), Some(expected));
        decoded
    });
}

#[divan::bench(args = PACKETS)]
fn packet_alone(bencher: Bencher<'_, '_>, index: usize) {
    let (packet, expected) = packet(index);
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        let dissected = dissect(black_box(&packet), false, Start::Ethernet);
        assert_eq!(port(&dissected.headers), Some(expected));
        dissected
    });
}

#[divan::bench(args = 0..4)]
fn packet_as_hubble(bencher: Bencher<'_, '_>, index: usize) {
    let (packet, expected) = packet(index);
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        let dissected = dissect_as_hubble(black_box(&packet), Start::Ethernet, None)
            .expect("the packet is whole");
        assert_eq!(port(&dissected.headers), Some(expected));
        dissected
    });
}
