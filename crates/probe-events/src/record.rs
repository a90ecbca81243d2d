//! The records in the ring buffer.

/// Version of the record layout. A record of another version is refused, not guessed at: probes
/// and observer are built together, so it means that one process reads the other's ring.
pub const RECORD_VERSION: u8 = 1;

/// [`EventHeader::kind`] of a packet that was seen at a trace point.
pub const KIND_TRACE: u8 = 1;
/// [`EventHeader::kind`] of a packet that the kernel freed without delivering it.
pub const KIND_DROP: u8 = 2;

/// [`EventHeader::flags`] bit: the packet bytes begin with the IP header, not with Ethernet.
pub const FLAG_STARTS_AT_IP: u8 = 1;

/// At most this many bytes of a packet are copied: Ethernet (14), IPv6 with an extension header or
/// two (40 and up), and the longest TCP header (60) fit.
pub const CAPTURE_BYTES: usize = 128;

/// The longest record: header, the larger detail, and a full capture.
pub const MAX_RECORD_BYTES: usize =
    size_of::<EventHeader>() + size_of::<DropDetail>() + CAPTURE_BYTES;

/// What every record begins with, 24 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct EventHeader {
    /// [`KIND_TRACE`] or [`KIND_DROP`].
    pub kind: u8,
    /// [`RECORD_VERSION`].
    pub version: u8,
    /// [`FLAG_STARTS_AT_IP`] or 0.
    pub flags: u8,
    /// A [`TracePoint`]; 0 in drop records.
    pub point: u8,
    /// Device where the packet was seen, in its own network namespace; 0 when there was none.
    pub ifindex: u32,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub time_ns: u64,
    /// Length of the packet from the first captured byte on. A GSO packet counts whole.
    pub packet_len: u32,
    /// Packet bytes after the detail, at most [`CAPTURE_BYTES`].
    pub captured_len: u16,
    /// Zero.
    pub reserved: u16,
}

/// What a trace record adds, 16 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TraceDetail {
    /// A [`TraceReason`].
    pub reason: u8,
    /// Zero.
    pub reserved: [u8; 7],
    /// Cookie of the local socket that sent the packet; 0 when the kernel does not know.
    pub socket_cookie: u64,
}

/// What a drop record adds, 24 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DropDetail {
    /// `enum skb_drop_reason` of the running kernel; the high 16 bits name a subsystem.
    pub reason: u32,
    /// Inode number of the network namespace, as `stat` shows it; 0 when unknown.
    pub netns_inode: u32,
    /// Cookie of the network namespace: never reused, unlike the inode; 0 when unknown.
    pub netns_cookie: u64,
    /// Address of the kernel instruction that freed the packet.
    pub location: u64,
}

/// Where on its way a packet was seen. Numbers as in Hubble's trace records; our own probes report
/// some of them.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TracePoint {
    /// Leaving the host side of a pod's device towards the pod.
    ToEndpoint = 0,
    /// Handed to a proxy.
    ToProxy = 1,
    /// Handed to the host's own sockets.
    ToHost = 2,
    /// Handed to the host's stack, which will route it.
    ToStack = 3,
    /// Leaving through a tunnel.
    ToOverlay = 4,
    /// Coming from a pod.
    FromEndpoint = 5,
    /// Coming from a proxy.
    FromProxy = 6,
    /// Coming from the host's own sockets.
    FromHost = 7,
    /// Coming from the host's stack, which routed it.
    FromStack = 8,
    /// Coming out of a tunnel.
    FromOverlay = 9,
    /// Coming from another machine.
    FromNetwork = 10,
    /// Leaving for another machine.
    ToNetwork = 11,
    /// Coming from decryption.
    FromCrypto = 12,
    /// Going to encryption.
    ToCrypto = 13,
}

impl TracePoint {
    /// All points, by number.
    pub const ALL: [Self; 14] = [
        Self::ToEndpoint,
        Self::ToProxy,
        Self::ToHost,
        Self::ToStack,
        Self::ToOverlay,
        Self::FromEndpoint,
        Self::FromProxy,
        Self::FromHost,
        Self::FromStack,
        Self::FromOverlay,
        Self::FromNetwork,
        Self::ToNetwork,
        Self::FromCrypto,
        Self::ToCrypto,
    ];

    /// The point with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// What was known of the connection. Numbers as in Hubble's trace records; our own probes report
/// some of them.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TraceReason {
    /// First packet of a connection, in the direction of whoever opened it.
    New = 0,
    /// A later packet in that direction.
    Established = 1,
    /// A packet in the other direction.
    Reply = 2,
    /// An ICMP error about some other packet.
    Related = 3,
    /// A connection that was closed and is used again.
    Reopened = 4,
    /// The beginning was not seen, or the protocol has no notion of it.
    Unknown = 5,
    /// On its way into a segment routing tunnel.
    Srv6Encap = 6,
    /// On its way out of one.
    Srv6Decap = 7,
    /// On its way to be encrypted for a tunnel.
    EncryptOverlay = 8,
}

impl TraceReason {
    /// All reasons, by number.
    pub const ALL: [Self; 9] = [
        Self::New,
        Self::Established,
        Self::Reply,
        Self::Related,
        Self::Reopened,
        Self::Unknown,
        Self::Srv6Encap,
        Self::Srv6Decap,
        Self::EncryptOverlay,
    ];

    /// The reason with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

// Kernel and user space copy these as bytes: no padding may hide in them.
const _: () = {
    assert!(size_of::<EventHeader>() == 24);
    assert!(size_of::<TraceDetail>() == 16);
    assert!(size_of::<DropDetail>() == 24);
    assert!(align_of::<EventHeader>() == 8);
};
