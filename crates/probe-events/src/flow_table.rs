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
/// devices of one scope: four sides, each with its [`Marks`] and its [`Account`]. Packets that come
/// in from `a` and packets that go out from `b` travel one way through the same device; those two
/// are a path, and so are the other two. Counts are reported by path, so that no packet counts twice.
///
/// Laid out by the lines of memory that a packet touches. With the kernel's 48 bytes and a key of 48
/// before it, an entry fills four lines of 64 bytes. The first two are read by every packet and
/// seldom written, the others are written by every packet of one end: packets from both ends, on two
/// processors, do not take lines from each other.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FlowState {
    /// CLOCK_MONOTONIC of the last packet, nanoseconds; [`SEEN_EVERY_NS`] late at most.
    pub last_seen_ns: u64,
    /// An [`Origin`].
    pub origin: u32,
    /// A [`Phase`].
    pub phase: u32,
    /// Indexed by [`side_index`].
    pub marks: [Marks; 4],
    /// Indexed by [`side_index`].
    pub accounts: [Account; 4],
}

/// What one direction of a connection has shown at one side of its place.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Marks {
    /// TCP flags that were seen in this direction.
    pub tcp_flags: u8,
    /// One more than the [`TracePoint`](crate::TracePoint) where the last packet was seen; 0 when
    /// there was no packet.
    pub point: u8,
    /// TCP packets in a row whose bytes were looked at and began no message; counted up to where no
    /// more are looked at.
    pub plain: u8,
    /// Zero.
    pub reserved: u8,
}

/// What one direction of a connection has to its account at one side of its place.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Account {
    /// Packets that no record has carried yet.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// CLOCK_MONOTONIC of the last record, nanoseconds; 0 when there was none.
    pub reported_ns: u64,
    /// Bytes of the sender's stream that are still to be captured: the rest of a message that began
    /// in an earlier packet.
    pub awaited: u16,
    /// Zero.
    pub reserved: [u16; 3],
}

/// The time of the last packet is written this often: each time takes the line from the other
/// processors.
pub const SEEN_EVERY_NS: u64 = 1_000_000;

/// Where a side lies in [`FlowState`]: bit 1 tells the sender, bit 0 the path.
#[must_use]
pub const fn side_index(outgoing: bool, sender_is_b: bool) -> usize {
    let path = outgoing as usize ^ sender_is_b as usize;
    (sender_is_b as usize) << 1 | path
}

/// The side of the other end on the same path.
#[must_use]
pub const fn other_side(index: usize) -> usize {
    index ^ 2
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
    assert!(size_of::<FlowState>() == 160);
    // The kernel's part of an entry and the key come before.
    assert!((48 + 48 + core::mem::offset_of!(FlowState, accounts)) % 64 == 0);
    assert!(size_of::<[Account; 2]>() == 64);
    assert!(size_of::<RetireHeader>() == 16);
    assert!(side_index(false, false) == other_side(side_index(true, true)));
    assert!(side_index(true, false) == other_side(side_index(false, true)));
    assert!(side_index(false, false) >> 1 == side_index(true, false) >> 1);
};
