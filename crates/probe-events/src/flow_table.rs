//! The flow table in the kernel: one entry per connection and place.

/// Which connection, whichever way a packet of it goes: the lower end (address, then port) is `a`.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FlowKey {
    /// Address of one end; IPv4 as `::ffff:a.b.c.d`.
    pub address_a: [u8; 16],
    /// Address of the other end.
    pub address_b: [u8; 16],
    /// Port of one end, host order; an ICMP echo's identifier stands for both.
    pub port_a: u16,
    /// Port of the other end.
    pub port_b: u16,
    /// The device, where each has a view of its own; else 0, see [`Place`].
    pub scope: u32,
    /// IP protocol number.
    pub protocol: u8,
    /// A [`Place`].
    pub place: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

/// What kind of device a program is attached to. Each kind sees a packet on its own.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// The host side of a pod's device; each is a scope of its own.
    Endpoint = 0,
    /// A device to other machines. All of them share a scope, so that a reply may come in through
    /// another one.
    Network = 1,
    /// A tunnel; they share a scope as well.
    Overlay = 2,
    /// A bridge with an address, which is where the node itself and its pods meet; each is a scope.
    Host = 3,
}

/// What is remembered of a connection.
///
/// A device sees two directions both coming in and going out, when the node routes between two
/// devices of one scope: four [`Side`]s. Packets that come in from `a` and packets that go out from
/// `b` travel one way through the same device; those two are a path, and so are the other two.
/// Counts are reported by path, so that no packet counts twice.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FlowState {
    /// CLOCK_MONOTONIC of the last packet, nanoseconds.
    pub last_seen_ns: u64,
    /// An [`Origin`].
    pub origin: u32,
    /// A [`Phase`].
    pub phase: u32,
    /// Indexed by [`side_index`].
    pub sides: [Side; 4],
}

/// One direction of a connection at one side of its place.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Side {
    /// Packets that no record has carried yet.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// CLOCK_MONOTONIC of the last record, nanoseconds; 0 when there was none.
    pub reported_ns: u64,
    /// TCP flags that were seen in this direction.
    pub tcp_flags: u8,
    /// One more than the [`TracePoint`](crate::TracePoint) where the last packet was seen; 0 when
    /// there was no packet.
    pub point: u8,
    /// Bytes of the sender's stream that are still to be captured: the rest of a message that began
    /// in an earlier packet.
    pub awaited: u16,
    /// TCP packets in a row whose bytes were looked at and began no message; counted up to where no
    /// more are looked at.
    pub plain: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// Where a [`Side`] lies in [`FlowState::sides`]: bit 1 tells the path, bit 0 the sender.
#[must_use]
pub const fn side_index(outgoing: bool, sender_is_b: bool) -> usize {
    let path = outgoing as usize ^ sender_is_b as usize;
    (path << 1) | sender_is_b as usize
}

/// How far an entry is on its way out of the table.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// In use: programs add to its counts.
    Live = 0,
    /// Was idle for long. Nobody adds to its counts any more, so that they can be taken and the
    /// entry be deleted once every program that saw it alive has ended. A packet that comes in
    /// between is reported by itself.
    Leaving = 1,
}

/// Which end opened the connection.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// The beginning was not seen.
    Unknown = 0,
    /// The end with the lower address.
    A = 1,
    /// The end with the higher address.
    B = 2,
}

/// What user space asks of the program that retires entries, in the packet it is run on: 14 bytes
/// that stand for an Ethernet header, this header, then keys.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RetireHeader {
    /// [`RETIRE_MARK`] or [`RETIRE_DELETE`].
    pub action: u32,
    /// Number of keys that follow, at most [`RETIRE_KEYS`].
    pub keys: u32,
    /// Entries that saw a packet after this time stay; CLOCK_MONOTONIC, nanoseconds.
    pub unless_seen_after_ns: u64,
}

/// The entries begin to leave: [`Phase::Leaving`].
pub const RETIRE_MARK: u32 = 1;
/// The entries that are leaving are reported and deleted, or live on if a packet came meanwhile.
pub const RETIRE_DELETE: u32 = 2;
/// As many keys as fit into a packet that the kernel accepts for a test run, with room.
pub const RETIRE_KEYS: usize = 32;

const _: () = {
    assert!(size_of::<FlowKey>() == 48);
    assert!(size_of::<Side>() == 32);
    assert!(size_of::<FlowState>() == 144);
    assert!(size_of::<RetireHeader>() == 16);
    assert!(side_index(false, false) >> 1 == side_index(true, true) >> 1);
    assert!(side_index(true, false) >> 1 == side_index(false, true) >> 1);
    assert!(side_index(false, false) >> 1 != side_index(true, false) >> 1);
};
