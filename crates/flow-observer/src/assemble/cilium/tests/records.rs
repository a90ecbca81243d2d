//! Records of the datapath as bytes, and whom they are about.

pub(super) const POD: [u8; 4] = [10, 0, 1, 7];
pub(super) const OTHER: [u8; 4] = [10, 0, 1, 9];
pub(super) const WORLD: [u8; 4] = [203, 0, 113, 5];
pub(super) const POD_ID: u16 = 42;

/// Ethernet, IPv4, UDP from port 1000 to port 53.
pub(super) fn packet(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    let mut packet = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    packet.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
    packet.extend(source);
    packet.extend(destination);
    packet.extend([3, 232, 0, 53, 0, 8, 0, 0]);
    packet
}

pub(super) fn header(kind: u8, subtype: u8, source: u16, version: u8) -> Vec<u8> {
    let mut bytes = vec![kind, subtype];
    bytes.extend(source.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(42u32.to_ne_bytes());
    bytes.extend(42u16.to_ne_bytes());
    bytes.extend([version, 0]);
    bytes
}

/// What a trace record of version 2 says, beside identities 25001 and 2 and device 9.
#[derive(Clone, Copy)]
pub(super) struct Trace {
    pub(super) point: u8,
    pub(super) source_id: u16,
    pub(super) destination_id: u16,
    pub(super) reason: u8,
    pub(super) original: [u8; 4],
    pub(super) from: [u8; 4],
    pub(super) to: [u8; 4],
}

pub(super) const TO_STACK: u8 = 3;

impl Trace {
    /// A new connection from the pod to the world, at `to-stack`.
    pub(super) const OUT: Self = Self {
        point: TO_STACK,
        source_id: POD_ID,
        destination_id: 0,
        reason: 0,
        original: [0; 4],
        from: POD,
        to: WORLD,
    };
    /// The world's answer, at `to-endpoint`.
    pub(super) const BACK: Self = Self {
        point: 0,
        destination_id: POD_ID,
        reason: 2,
        from: WORLD,
        to: POD,
        ..Self::OUT
    };

    pub(super) fn record(self) -> Vec<u8> {
        self.record_of(&packet(self.from, self.to))
    }

    pub(super) fn record_of(self, packet: &[u8]) -> Vec<u8> {
        let mut bytes = header(4, self.point, self.source_id, 2);
        bytes.extend(25_001u32.to_ne_bytes());
        bytes.extend(2u32.to_ne_bytes());
        bytes.extend(self.destination_id.to_ne_bytes());
        bytes.extend([self.reason, 0]);
        bytes.extend(9u32.to_ne_bytes());
        bytes.extend(self.original);
        bytes.extend([0; 12]);
        bytes.extend(7u64.to_ne_bytes());
        bytes.extend(packet);
        bytes
    }
}

pub(super) fn drop_record(
    source_id: u16,
    destination_id: u32,
    from: [u8; 4],
    to: [u8; 4],
) -> Vec<u8> {
    let mut bytes = header(1, 181, source_id, 2);
    bytes.extend(25_001u32.to_ne_bytes());
    bytes.extend(2u32.to_ne_bytes());
    bytes.extend(destination_id.to_ne_bytes());
    bytes.extend(640u16.to_ne_bytes());
    bytes.extend([2, 0]);
    bytes.extend(9u32.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(packet(from, to));
    bytes
}

pub(super) fn verdict_record(verdict: i32, flags: u8) -> Vec<u8> {
    let mut bytes = header(5, 0, POD_ID, 0);
    bytes.extend(2u32.to_ne_bytes());
    bytes.extend(verdict.to_ne_bytes());
    bytes.extend(53u16.to_ne_bytes());
    bytes.extend([17, flags, 1, 0, 0, 0]);
    bytes.extend([0; 8]);
    bytes.extend(packet(WORLD, POD));
    bytes
}

pub(super) fn capture_record(point: u8, argument: u32) -> Vec<u8> {
    let mut bytes = vec![3, point, 0, 0, 0, 0, 0, 0];
    for number in [42, 42, argument, 0] {
        bytes.extend(number.to_ne_bytes());
    }
    bytes.extend(packet(POD, WORLD));
    bytes
}

pub(super) fn socket_record(point: u8) -> Vec<u8> {
    let mut bytes = vec![7, point, 1, 0];
    bytes.extend(80u16.to_ne_bytes());
    bytes.extend([0; 2]);
    bytes.extend(77u64.to_ne_bytes());
    bytes.extend(4096u64.to_ne_bytes());
    bytes.extend(OTHER);
    bytes.extend([0; 12]);
    bytes
}
