//! Files written by hand, in both formats and byte orders.

use super::*;
use crate::decode::Start;

/// Writes numbers in one byte order.
#[derive(Clone, Copy)]
struct Writer(numbers::ByteOrder);

const BIG: Writer = Writer(numbers::ByteOrder::Big);
const LITTLE: Writer = Writer(numbers::ByteOrder::Little);

impl Writer {
    fn u16(self, number: u16) -> [u8; 2] {
        match self.0 {
            numbers::ByteOrder::Big => number.to_be_bytes(),
            numbers::ByteOrder::Little => number.to_le_bytes(),
        }
    }

    fn u32(self, number: u32) -> [u8; 4] {
        match self.0 {
            numbers::ByteOrder::Big => number.to_be_bytes(),
            numbers::ByteOrder::Little => number.to_le_bytes(),
        }
    }

    fn u32s(self, numbers: &[u32]) -> Vec<u8> {
        numbers
            .iter()
            .flat_map(|&number| self.u32(number))
            .collect()
    }

    /// A pcap header.
    fn header(self, magic: u32, link_type: u32) -> Vec<u8> {
        let mut header = self.u32(magic).to_vec();
        header.extend([self.u16(2), self.u16(4)].concat());
        header.extend(self.u32s(&[0, 0, 262_144, link_type]));
        header
    }

    /// A pcap packet of 5 bytes, of 60 originally.
    fn packet(self, seconds: u32, fraction: u32) -> Vec<u8> {
        let mut packet = self.u32s(&[seconds, fraction, 5, 60]);
        packet.extend(b"abcde");
        packet
    }

    /// A pcapng block.
    fn block(self, kind: u32, mut body: Vec<u8>) -> Vec<u8> {
        body.resize(body.len().next_multiple_of(4), 0);
        let len = self.u32(body.len() as u32 + 12);
        [&self.u32(kind)[..], &len, &body, &len].concat()
    }

    fn section(self) -> Vec<u8> {
        let mut body = self.u32(0x1a2b_3c4d).to_vec();
        body.extend([self.u16(1), self.u16(0)].concat());
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, body)
    }

    fn option(self, number: u16, value: &[u8]) -> Vec<u8> {
        let mut option = [self.u16(number), self.u16(value.len() as u16)].concat();
        option.extend(value);
        option.resize(option.len().next_multiple_of(4), 0);
        option
    }

    fn interface(self, link_type: u16, options: &[Vec<u8>]) -> Vec<u8> {
        let mut body = [self.u16(link_type), self.u16(0)].concat();
        body.extend(self.u32(262_144));
        body.extend(options.concat());
        self.block(1, body)
    }

    fn enhanced(self, interface: u32, time: u64) -> Vec<u8> {
        let mut body = self.u32s(&[interface, (time >> 32) as u32, time as u32, 5, 60]);
        body.extend(b"abcde");
        self.block(6, body)
    }
}

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const SECOND: i64 = 1_000_000_000;

/// What a file yields: a line for each packet, and the reasons of those that were skipped.
fn read(bytes: Vec<u8>) -> Result<Vec<String>, SourceError> {
    let mut pcap = Pcap::of_bytes(bytes)?;
    let mut found = Vec::new();
    // A limit that splits files into several polls.
    while pcap.poll(Duration::ZERO, 2, &mut |event| {
        found.push(match event {
            RawEvent::Packet(packet) => {
                assert_eq!((packet.bytes, packet.original_len), (&b"abcde"[..], 60));
                assert_eq!(packet.start, Start::Ethernet);
                match packet.interface {
                    Some((number, name)) => format!("{} on {number} {name}", packet.time_ns),
                    None => packet.time_ns.to_string(),
                }
            }
            RawEvent::Skipped(reason) => reason.to_owned(),
            other => panic!("{other:?}"),
        });
    })? == Progress::More
    {}
    Ok(found)
}

#[test]
fn pcap_is_read_in_both_byte_orders_and_units_of_time() {
    for writer in [BIG, LITTLE] {
        let mut file = writer.header(MICROSECONDS, 1);
        for second in 1..=5 {
            file.extend(writer.packet(second, 7));
        }
        let expected: Vec<_> = (1..=5)
            .map(|second| (second * SECOND + 7_000).to_string())
            .collect();
        assert_eq!(read(file).unwrap(), expected);
        let mut file = writer.header(0xa1b2_3c4d, 1 | 0xf400_0000);
        file.extend(writer.packet(1, 7));
        assert_eq!(read(file).unwrap(), ["1000000007"]);
        let mut file = writer.header(0xa1b2_cd34, 1);
        let mut packet = writer.packet(1, 7);
        packet.splice(16..16, [0; 8]);
        file.extend(packet);
        assert_eq!(read(file).unwrap(), ["1000007000"]);
    }
}

#[test]
fn pcapng_is_read_with_several_interfaces_and_sections() {
    let mut file = Vec::new();
    for writer in [BIG, LITTLE] {
        file.extend(writer.section());
        file.extend(writer.interface(1, &[writer.option(2, b"eth0")]));
        // Statistics, which nobody asked for.
        file.extend(writer.block(5, vec![0; 12]));
        let offset = match writer.0 {
            numbers::ByteOrder::Big => 100i64.to_be_bytes(),
            numbers::ByteOrder::Little => 100i64.to_le_bytes(),
        };
        file.extend(writer.interface(
            1,
            &[
                writer.option(9, &[9]),
                writer.option(14, &offset),
                writer.option(0, &[]),
            ],
        ));
        file.extend(writer.enhanced(0, 1_500_000));
        file.extend(writer.enhanced(1, 5 * SECOND as u64 + 1));
    }
    let expected = ["1500000000 on 0 eth0", "105000000001 on 1 "];
    assert_eq!(read(file).unwrap(), [expected, expected].concat());
}

#[test]
fn simple_and_obsolete_packets_are_read() {
    let mut file = LITTLE.section();
    file.extend(LITTLE.interface(1, &[]));
    let mut body = [LITTLE.u16(0), LITTLE.u16(9)].concat();
    body.extend(LITTLE.u32s(&[0, 3_000_000, 5, 60]));
    body.extend(b"abcde");
    file.extend(LITTLE.block(2, body));
    // Cut at the snap length: of a simple packet only the block knows what is there.
    let mut short = LITTLE.section();
    let mut interface = [LITTLE.u16(1), LITTLE.u16(0)].concat();
    interface.extend(LITTLE.u32(5));
    short.extend(LITTLE.block(1, interface));
    let mut body = LITTLE.u32(60).to_vec();
    body.extend(b"abcde");
    short.extend(LITTLE.block(3, body));
    file.extend(short);
    assert_eq!(
        read(file).unwrap(),
        ["3000000000 on 0 ", "3000000000 on 0 "]
    );
}

#[test]
fn packets_of_an_unknown_link_layer_are_counted_where_others_may_follow() {
    let mut file = LITTLE.section();
    file.extend(LITTLE.interface(127, &[LITTLE.option(2, b"wlan0")]));
    file.extend(LITTLE.interface(1, &[]));
    file.extend(LITTLE.enhanced(0, 0));
    file.extend(LITTLE.enhanced(1, 1_000_000));
    assert_eq!(
        read(file).unwrap(),
        ["unknown_link_type", "1000000000 on 1 "]
    );
}

#[test]
fn a_file_of_an_unknown_link_layer_is_refused_by_name() {
    let error = read(LITTLE.header(MICROSECONDS, 127)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read the packets of memory: link type 127 (IEEE 802.11 with radiotap headers), \
         expected Ethernet, raw IP, Linux cooked or loopback"
    );
}

#[test]
fn a_file_of_another_kind_is_refused_with_what_it_starts_with() {
    for (bytes, start) in [
        (b"\x7fELF and more that is no capture".to_vec(), "7f454c46"),
        (b"{}".to_vec(), "7b7d"),
        (Vec::new(), "nothing"),
    ] {
        let error = read(bytes).unwrap_err().to_string();
        let expected =
            format!("memory is no capture file: it starts with {start}, expected pcap or pcapng");
        assert_eq!(error, expected);
    }
}

#[test]
fn a_file_that_ends_within_a_packet_yields_what_came_before() {
    let mut classic = LITTLE.header(MICROSECONDS, 1);
    classic.extend(LITTLE.packet(1, 0));
    let mut ng = LITTLE.section();
    ng.extend(LITTLE.interface(1, &[]));
    ng.extend(LITTLE.enhanced(0, 1_000_000));
    for (file, first, more) in [
        (classic, "1000000000", LITTLE.packet(2, 0)),
        (ng, "1000000000 on 0 ", LITTLE.enhanced(0, 0)),
    ] {
        assert_eq!(read(file.clone()).unwrap(), [first]);
        for cut in 1..more.len() {
            let file = [&file[..], &more[..cut]].concat();
            assert_eq!(read(file).unwrap(), [first, "truncated_capture_file"]);
        }
    }
    // A block that nobody wants, longer than the file.
    let mut file = LITTLE.section();
    file.extend(LITTLE.u32s(&[5, 4_000_000_000]));
    file.extend([0; 100]);
    assert_eq!(read(file).unwrap(), ["truncated_capture_file"]);
}

#[test]
fn what_the_format_does_not_allow_ends_the_file() {
    let ng = [LITTLE.section(), LITTLE.interface(1, &[])].concat();
    let mut lengths_differ = LITTLE.enhanced(0, 0);
    *lengths_differ.last_mut().unwrap() = 1;
    let mut longer_than_block = LITTLE.enhanced(0, 0);
    longer_than_block[20] = 200;
    for (file, more) in [
        (
            LITTLE.header(MICROSECONDS, 1),
            LITTLE.u32s(&[0, 0, u32::MAX, 0]),
        ),
        (ng.clone(), LITTLE.u32s(&[6, 2_000_000_000, 0, 0])),
        (ng.clone(), LITTLE.u32s(&[6, 13, 0, 0])),
        (ng.clone(), LITTLE.u32s(&[6, 8, 0, 0])),
        (ng.clone(), LITTLE.enhanced(1, 0)),
        (ng.clone(), lengths_differ),
        (ng.clone(), longer_than_block),
        (
            ng.clone(),
            LITTLE.interface(1, &[LITTLE.option(9, &[0x7f])]),
        ),
        (ng.clone(), LITTLE.interface(1, &[vec![2, 0, 200, 0]])),
        (ng.clone(), LITTLE.block(0x0a0d_0d0a, vec![0; 16])),
        (ng, LITTLE.interface(1, &[]).repeat(16 * 1024)),
    ] {
        let file = [file, more, LITTLE.packet(1, 0)].concat();
        assert_eq!(read(file).unwrap(), ["damaged_capture_file"]);
    }
}

#[test]
fn in_realtime_a_packet_waits_until_it_is_due() {
    let mut file = LITTLE.header(MICROSECONDS, 1);
    file.extend(LITTLE.packet(1, 0));
    file.extend(LITTLE.packet(1, 20_000));
    let mut pcap = Pcap::new("memory", Input::of(file), Pace::Realtime).unwrap();
    let start = Instant::now();
    let mut count = 0;
    let mut poll = |patience: Duration| {
        let progress = pcap.poll(patience, 10, &mut |_| count += 1).unwrap();
        (count, progress)
    };
    assert_eq!(poll(Duration::ZERO), (1, Progress::More));
    assert_eq!(poll(Duration::ZERO), (1, Progress::More));
    let (count, _) = poll(Duration::from_secs(10));
    assert_eq!(count, 2);
    assert!(start.elapsed() >= Duration::from_millis(20));
}

proptest::proptest! {
    #[test]
    fn no_damage_makes_the_reader_panic_or_go_on_forever(
        at in 0usize..200, damage: [u8; 4], cut in 0usize..250, is_ng: bool,
    ) {
        let mut file = if is_ng {
            [
                LITTLE.section(),
                LITTLE.interface(1, &[LITTLE.option(2, b"eth0"), LITTLE.option(9, &[6])]),
                LITTLE.enhanced(0, 1),
                BIG.section(),
                BIG.interface(113, &[]),
                BIG.enhanced(0, 1),
            ]
            .concat()
        } else {
            [LITTLE.header(MICROSECONDS, 101), LITTLE.packet(1, 2).repeat(8)].concat()
        };
        for (damaged, byte) in file.iter_mut().skip(at).zip(damage) {
            *damaged = byte;
        }
        file.truncate(cut);
        if let Ok(mut pcap) = Pcap::of_bytes(file) {
            let mut polls = 0;
            while pcap.poll(Duration::ZERO, 1, &mut |_| {}).unwrap() == Progress::More {
                polls += 1;
                assert!(polls < 1000);
            }
        }
    }
}
