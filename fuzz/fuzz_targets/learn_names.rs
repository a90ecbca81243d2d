//! Names from anybody, at any time, in any number: what was told last is what an address is called,
//! and nobody can have more kept than the bounds allow.
//!
//! The input is a list of steps of eight bytes: what happens, who asks (one of four), two bytes for
//! an address and one for a name, how many addresses, and two bytes for the seconds that have passed.
#![no_main]

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use flow_observer::{
    assemble::Assembler,
    decode::{Start, payload},
    enrich::{Directory, Identities, Inventory, NameTable},
    record::{FlowRecord, Ip, NameOrigin, Transport},
    ring::Event,
    source::{CapturedPacket, HostFacts, Progress, RawEvent, Source, SourceError},
};
use libfuzzer_sys::fuzz_target;

const ASKERS: usize = 4;
/// Bounds of docs/names.md.
const MAX_ADDRESSES_PER_ASKER: usize = 4_096;
const MAX_ADDRESSES_OF_ANSWER: usize = 64;
const MAX_NAMES: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    let mut wire = Wire {
        names: NameTable::new(Arc::default()),
        flow: any_flow(),
        scratch: payload::Scratch::default(),
    };
    let (steps, _) = bytes.as_chunks::<8>();
    // So many that one asker can be told of more than is kept for it.
    for &[what, asker, high, low, name, count, late, later] in steps.iter().take(256) {
        let seconds = i64::from(u16::from_be_bytes([late, later]));
        wire.flow.time_ns = wire.flow.time_ns.saturating_add(seconds << 30);
        let asker = Ipv4Addr::new(10, 0, 0, asker % ASKERS as u8);
        let address = Ipv4Addr::new(192, 0, high, low);
        match what % 4 {
            0 | 1 => wire.answer(asker, address, name, usize::from(count)),
            2 => wire.request(asker, address, name),
            _ => {}
        }
        wire.check(asker, address);
        assert!(wire.names.addresses() <= ASKERS * MAX_ADDRESSES_PER_ASKER);
    }
});

struct Wire {
    names: NameTable,
    /// What everything is heard in; in a capture file, everybody is listened to.
    flow: FlowRecord,
    scratch: payload::Scratch,
}

impl Wire {
    /// A DNS server tells somebody the addresses from `first` on.
    fn answer(&mut self, asker: Ipv4Addr, first: Ipv4Addr, name: u8, count: usize) {
        let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, count as u8, 0, 0, 0, 0];
        let name = host(name);
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend(label.as_bytes());
        }
        message.extend([0, 0, 1, 0, 1]);
        let addresses = (0..count as u32).map(|it| first.to_bits().wrapping_add(it));
        let addresses: Vec<Ipv4Addr> = addresses.map(Ipv4Addr::from_bits).collect();
        for address in &addresses {
            message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            message.extend(address.octets());
        }
        let ports = Transport::Udp {
            source_port: 53,
            destination_port: 40_000,
        };
        self.hear(Ipv4Addr::new(10, 0, 0, 53), asker, ports, &message);
        for address in addresses.into_iter().take(MAX_ADDRESSES_OF_ANSWER) {
            assert_eq!(self.called(asker, address), Some((name.clone(), true)));
        }
    }

    /// Somebody names the server that they speak to.
    fn request(&mut self, asker: Ipv4Addr, server: Ipv4Addr, name: u8) {
        let name = host(name);
        let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n");
        let ports = Transport::Tcp {
            source_port: 40_000,
            destination_port: 80,
            flags: Default::default(),
        };
        self.hear(asker, server, ports, request.as_bytes());
        let called = self.called(asker, server);
        assert_eq!(called.map(|(name, _)| name), Some(name));
    }

    fn hear(&mut self, from: Ipv4Addr, to: Ipv4Addr, ports: Transport, bytes: &[u8]) {
        self.between(from, to);
        self.flow.packet.transport = Some(ports);
        let application = payload::parse(&ports, bytes, &mut self.scratch);
        let application = application.expect("it is sound").expect("it is known");
        self.names.hear(&application, &self.flow);
    }

    fn between(&mut self, source: Ipv4Addr, destination: Ipv4Addr) {
        self.flow.packet.ip = Some(Ip {
            source: source.into(),
            destination: destination.into(),
        });
    }

    /// A flow between two, with names.
    fn named(&mut self, source: Ipv4Addr, destination: Ipv4Addr) -> FlowRecord {
        self.between(source, destination);
        let mut flow = self.flow.clone();
        self.names.name(&mut flow, Identities::Ours);
        flow
    }

    /// What somebody calls an address, and whether that gives it an identity.
    fn called(&mut self, asker: Ipv4Addr, address: Ipv4Addr) -> Option<(String, bool)> {
        let to = self.named(asker, address).destination;
        let name = to.names?.all.first()?.text.to_string();
        Some((name, to.identity > 1 << 24))
    }

    /// Whether what an address is called adds up.
    fn check(&mut self, asker: Ipv4Addr, address: Ipv4Addr) {
        let flow = self.named(asker, address);
        // The same in the other direction.
        let back = self.named(address, asker);
        assert_eq!(flow.destination, back.source);
        let names = flow.destination.names.iter().flat_map(|it| &it.all);
        let names: Vec<_> = names.collect();
        assert!(names.len() <= MAX_NAMES);
        for (at, name) in names.iter().enumerate() {
            assert_ne!(name.origin, NameOrigin::Inventory);
            assert!(name.told_ns <= self.flow.time_ns);
            assert!(names[..at].iter().all(|other| other.text != name.text));
        }
    }
}

fn host(number: u8) -> String {
    format!("host-{number}.example.test")
}

/// A flow of a capture file between two of whom nothing is known.
fn any_flow() -> FlowRecord {
    struct NoFacts;
    impl HostFacts for NoFacts {}

    struct OnePacket;
    impl Source for OnePacket {
        fn poll(
            &mut self,
            _patience: Duration,
            _limit: usize,
            sink: &mut dyn FnMut(RawEvent<'_>),
        ) -> Result<Progress, SourceError> {
            let mut bytes = [0; 28];
            // UDP in IPv4, of 28 bytes.
            (bytes[0], bytes[3], bytes[8], bytes[9]) = (0x45, 28, 64, 17);
            sink(RawEvent::Packet(CapturedPacket {
                time_ns: 0,
                bytes: &bytes,
                original_len: 28,
                start: Start::Ip,
                interface: None,
            }));
            Ok(Progress::Ended)
        }
    }

    let directory = Directory::new("node", Inventory::default());
    let mut assembler = Assembler::new(
        Box::new(NoFacts),
        Arc::new(directory),
        Arc::default(),
        Arc::default(),
    );
    let mut events = Vec::new();
    assembler
        .collect(&mut OnePacket, Duration::ZERO, 1, &mut events)
        .expect("the source is sound");
    match events.into_iter().next() {
        Some(Event::Flow(flow)) => flow,
        other => unreachable!("no flow: {other:?}"),
    }
}
