//! What the optional programs in TCP say.

/// [`TcpRecord::kind`].
pub const KIND_TCP: u8 = 17;

/// `TcpLayout::features` bit: `tcp_retransmit_skb` tells whether the segment could be sent.
pub const FEATURE_RETRANSMIT_ERROR: u32 = 1;

/// Trouble of one connection, 64 bytes. The source is the end that is on this machine.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TcpRecord {
    /// [`KIND_TCP`].
    pub kind: u8,
    /// `HOOK_RECORD_VERSION`.
    pub version: u8,
    /// A [`TcpTrouble`].
    pub trouble: u8,
    /// 4 or 6: which bytes of the addresses count. IPv4 in an IPv6 socket comes as
    /// `::ffff:a.b.c.d`.
    pub family: u8,
    /// Host order.
    pub source_port: u16,
    /// Host order.
    pub destination_port: u16,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub time_ns: u64,
    /// Cookie of the socket; 0 where there is none, or nobody asked for its cookie before.
    pub socket_cookie: u64,
    /// Cookie of the network namespace; 0 when unknown.
    pub netns_cookie: u64,
    /// 16 bytes in network order, IPv4 in the first four.
    pub source: [u8; 16],
    /// As `source`.
    pub destination: [u8; 16],
}

/// What happened to a connection.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TcpTrouble {
    /// This end sent something again. A run of segments that are sent as one counts once.
    Retransmit = 1,
    /// This end sent a reset.
    Reset = 2,
}

impl TcpTrouble {
    /// The trouble with this number, if it is one that the programs report.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Retransmit),
            2 => Some(Self::Reset),
            _ => None,
        }
    }
}

/// Byte offsets of the fields that the programs in TCP read, in the running kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TcpLayout {
    /// `sk_buff.head`
    pub skb_head: u32,
    /// `sk_buff.network_header`
    pub skb_network_header: u32,
    /// `sk_buff.transport_header`
    pub skb_transport_header: u32,
    /// `sk_buff.dev`
    pub skb_dev: u32,
    /// `net_device.nd_net`
    pub dev_net: u32,
    /// `net.net_cookie`
    pub net_cookie: u32,
    /// `sock_common.skc_net`
    pub sock_net: u32,
    /// `sock_common.skc_family`
    pub sock_family: u32,
    /// `sock_common.skc_cookie`
    pub sock_cookie: u32,
    /// `inet_sock.inet_sport`, network order; unlike `skc_num` it outlives the port's release
    pub sock_local_port: u32,
    /// `sock_common.skc_dport`, network order
    pub sock_remote_port: u32,
    /// `sock_common.skc_rcv_saddr`
    pub sock_local_v4: u32,
    /// `sock_common.skc_daddr`
    pub sock_remote_v4: u32,
    /// `sock_common.skc_v6_rcv_saddr`
    pub sock_local_v6: u32,
    /// `sock_common.skc_v6_daddr`
    pub sock_remote_v6: u32,
    /// [`FEATURE_RETRANSMIT_ERROR`] or 0
    pub features: u32,
}

// Kernel and user space copy these as bytes: no padding may hide in them.
const _: () = {
    assert!(size_of::<TcpRecord>() == 64);
    assert!(align_of::<TcpRecord>() == 8);
    assert!(size_of::<TcpLayout>() == 64);
};
