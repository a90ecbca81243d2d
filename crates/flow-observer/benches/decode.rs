//! From a record to headers: time, and allocations, of which there are to be none.
//!
//! Records of our own probes and of Cilium's datapath. The floor is a copy of the record; what a
//! flow made of it costs is in the benchmark `pipeline`.

#[path = "../tests/support/mod.rs"]
mod support;

use divan::{AllocProfiler, Bencher, black_box, counter::ItemsCount};
use flow_observer::{
    decode::{
        Start,
        cilium::{self, Record},
        decode, dissect, dissect_as_hubble,
    },
    record::{PacketHeaders, Transport},
};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// A packet, by its place in the list of ordinary ones.
const PACKETS: std::ops::Range<usize> = 0..5;
/// Those of them that Cilium hands over without saying that they are in a tunnel.
const PLAIN_PACKETS: std::ops::Range<usize> = 0..4;

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
    assert_eq!(copy, record);
}

#[divan::bench(args = PACKETS)]
fn record(bencher: Bencher<'_, '_>, index: usize) {
    let (packet, expected) = packet(index);
    let record = support::trace_record(&packet);
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        let decoded = decode(black_box(&record)).expect("the record is whole");
        assert_eq!(port(&decoded.packet.headers), Some(expected));
        black_box(&decoded);
    });
}

#[divan::bench(args = PACKETS)]
fn packet_alone(bencher: Bencher<'_, '_>, index: usize) {
    let (packet, expected) = packet(index);
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        let dissected = dissect(black_box(&packet), false, Start::Ethernet);
        assert_eq!(port(&dissected.headers), Some(expected));
        black_box(&dissected);
    });
}

#[divan::bench(args = PLAIN_PACKETS)]
fn packet_as_hubble(bencher: Bencher<'_, '_>, index: usize) {
    let (packet, expected) = packet(index);
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        let dissected = dissect_as_hubble(black_box(&packet), Start::Ethernet, None)
            .expect("the packet is whole");
        assert_eq!(port(&dissected.headers), Some(expected));
        black_box(&dissected);
    });
}

#[divan::bench(args = PLAIN_PACKETS)]
fn cilium_trace(bencher: Bencher<'_, '_>, index: usize) {
    of_cilium(bencher, index, support::cilium_trace);
}

#[divan::bench(args = PLAIN_PACKETS)]
fn cilium_drop(bencher: Bencher<'_, '_>, index: usize) {
    of_cilium(bencher, index, support::cilium_drop);
}

#[divan::bench(args = PLAIN_PACKETS)]
fn cilium_policy_verdict(bencher: Bencher<'_, '_>, index: usize) {
    of_cilium(bencher, index, support::cilium_policy_verdict);
}

/// The fields of a record, and the headers of its packet.
fn of_cilium(bencher: Bencher<'_, '_>, index: usize, record: fn(&[u8]) -> Vec<u8>) {
    let (packet, expected) = packet(index);
    let record = record(&packet);
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        let record = cilium::decode(black_box(&record)).expect("the record is whole");
        let (Record::Trace(_, packet) | Record::Drop(_, packet) | Record::PolicyVerdict(_, packet)) =
            &record
        else {
            unreachable!("the record has a packet");
        };
        let dissected = dissect_as_hubble(packet.bytes, Start::Ethernet, None)
            .expect("the packet is whole");
        assert_eq!(port(&dissected.headers), Some(expected));
        black_box(&record);
        dissected
    });
}
