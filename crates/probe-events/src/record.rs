//! The records in the ring buffer.

use crate::flow_table::FlowKey;

/// Version of the record layout. A record of another version is refused, not guessed at: probes
/// and observer are built together, so it means that one process reads the other's ring.
pub const RECORD_VERSION: u8 = 2;

/// [`EventHeader::kind`] of a packet that was seen at a trace point.
pub const KIND_TRACE: u8 = 1;
/// [`EventHeader::kind`] of a packet that the kernel freed without delivering it.
pub const KIND_DROP: u8 = 2;
/// [`EventHeader::kind`] of what a connection still had to its account when it left the flow
/// table: counts that no packet's record carried. There is no packet.
pub const KIND_EXPIRED: u8 = 3;

/// [`EventHeader::flags`] bit: the packet bytes begin with the IP header, not with Ethernet.
pub const FLAG_STARTS_AT_IP: u8 = 1;
/// [`EventHeader::flags`] bit: the packet carries the beginning of an application's message (DNS,
/// HTTP/1, TLS, QUIC), and was captured to [`PAYLOAD_CAPTURE_BYTES`]; or it carries a ClientHello, or
/// the rest of one, and was captured to [`HELLO_CAPTURE_BYTES`].
pub const FLAG_PAYLOAD: u8 = 2;
/// [`EventHeader::flags`] bit: a later fragment, whose ports stand in the detail because the
/// packet has none.
pub const FLAG_FRAGMENT: u8 = 4;
/// [`EventHeader::flags`] bit: [`EventHeader::vlan`] holds a tag that is not among the packet's
/// bytes, where the kernel or the card took it out.
pub const FLAG_VLAN: u8 = 8;

/// At most this many bytes of an ordinary packet are copied: Ethernet (14), IPv6 with an extension
/// header or two (40 and up), and the longest TCP header (60) fit.
pub const CAPTURE_BYTES: usize = 128;
/// Of a packet within a VXLAN or Geneve packet, where the headers of both need them: two of
/// everything but TCP.
pub const TUNNEL_CAPTURE_BYTES: usize = 192;
/// At most this many bytes of a packet with [`FLAG_PAYLOAD`]: a full frame of 1,500 with the
/// headers of a tunnel. User space may ask for fewer.
pub const PAYLOAD_CAPTURE_BYTES: usize = 1600;
/// The same of a packet with a ClientHello. Those are longer than a frame since there are
/// post-quantum keys, and the sender's card is often left to cut them.
pub const HELLO_CAPTURE_BYTES: usize = 4096;
/// The rest of a ClientHello is waited for up to this many bytes: what a TLS record may hold.
pub const MAX_AWAITED_BYTES: u16 = 1 << 14;

/// The longest record: header, the largest detail, and a full capture.
pub const MAX_RECORD_BYTES: usize =
    size_of::<EventHeader>() + size_of::<TraceDetail>() + HELLO_CAPTURE_BYTES;

/// What every record begins with, 24 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct EventHeader {
    /// [`KIND_TRACE`], [`KIND_DROP`] or [`KIND_EXPIRED`].
    pub kind: u8,
    /// [`RECORD_VERSION`].
    pub version: u8,
    /// [`FLAG_STARTS_AT_IP`] and its siblings.
    pub flags: u8,
    /// A [`TracePoint`] in trace records; 0 in the others.
    pub point: u8,
    /// Device where the packet was seen, in its own network namespace; 0 when there was none.
    pub ifindex: u32,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub time_ns: u64,
    /// Length of the packet from the first captured byte on. A GSO packet counts whole.
    pub packet_len: u32,
    /// Packet bytes after the detail, at most [`HELLO_CAPTURE_BYTES`]. What the record holds
    /// beyond them means nothing.
    pub captured_len: u16,
    /// The tag control information, priority and VLAN number, with [`FLAG_VLAN`]; else 0.
    pub vlan: u16,
}

/// What a trace record adds, 48 bytes.
///
/// The counts are those since the last record that took them, so their sum over a connection's
/// records at one place is what passed there. A packet that was to be segmented by the card counts
/// as its segments, each with headers of its own.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TraceDetail {
    /// A [`TraceReason`].
    pub reason: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// With [`FLAG_FRAGMENT`], the port it came from; else 0.
    pub source_port: u16,
    /// With [`FLAG_FRAGMENT`], the port it goes to; else 0.
    pub destination_port: u16,
    /// Cookie of the local socket that sent the packet; 0 when the kernel does not know.
    pub socket_cookie: u64,
    /// Packets of this direction, this one included.
    pub packets: u64,
    /// Their bytes, link layer headers included.
    pub bytes: u64,
    /// Packets of the other direction.
    pub other_packets: u64,
    /// Their bytes.
    pub other_bytes: u64,
}

/// What a drop record adds, 40 bytes.
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
    /// Cookie of the socket that sent the packet or was to receive it; 0 when there was none, or
    /// nobody has asked for its cookie yet.
    pub socket_cookie: u64,
    /// With [`FLAG_FRAGMENT`], the port it came from; else 0.
    pub source_port: u16,
    /// With [`FLAG_FRAGMENT`], the port it goes to; else 0.
    pub destination_port: u16,
    /// Zero.
    pub reserved: u32,
}

/// What a record of an expired connection adds, 96 bytes. The counts are those that no trace
/// record took.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ExpiredDetail {
    /// The connection.
    pub key: FlowKey,
    /// An [`Origin`](crate::Origin).
    pub origin: u32,
    /// The [`TracePoint`] where the packets of end `a` passed; [`NO_POINT`] when none did.
    pub point_a: u8,
    /// The same for end `b`.
    pub point_b: u8,
    /// Zero.
    pub reserved: u16,
    /// When the last packet passed, CLOCK_MONOTONIC in nanoseconds.
    pub last_seen_ns: u64,
    /// Packets from end `a`.
    pub packets_a: u64,
    /// Their bytes.
    pub bytes_a: u64,
    /// Packets from end `b`.
    pub packets_b: u64,
    /// Their bytes.
    pub bytes_b: u64,
}

/// [`ExpiredDetail::point_a`] of an end that sent nothing.
pub const NO_POINT: u8 = 0xff;

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
    assert!(size_of::<TraceDetail>() == 48);
    assert!(size_of::<DropDetail>() == 40);
    assert!(size_of::<ExpiredDetail>() == 96);
    assert!(align_of::<EventHeader>() == 8);
};
