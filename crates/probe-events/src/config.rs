//! What user space tells the probes, and what they count.

/// Where the fields lie that the probes read from kernel structures: byte offsets in the running
/// kernel, looked up in its BTF before the probes are loaded.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct KernelLayout {
    /// `sk_buff.dev`
    pub skb_dev: u32,
    /// `sk_buff.sk`
    pub skb_sk: u32,
    /// `sk_buff.len`
    pub skb_len: u32,
    /// `sk_buff.protocol`
    pub skb_protocol: u32,
    /// `sk_buff.network_header`
    pub skb_network_header: u32,
    /// `sk_buff.mac_header`
    pub skb_mac_header: u32,
    /// `sk_buff.tail`
    pub skb_tail: u32,
    /// `sk_buff.head`
    pub skb_head: u32,
    /// `sk_buff.data`
    pub skb_data: u32,
    /// `net_device.ifindex`
    pub dev_ifindex: u32,
    /// `net_device.nd_net.net`
    pub dev_net: u32,
    /// `sock.__sk_common.skc_net.net`
    pub sock_net: u32,
    /// `net.net_cookie`
    pub net_cookie: u32,
    /// `net.ns.inum`
    pub net_inode: u32,
    /// `sk_buff.vlan_tci`
    pub skb_vlan_tci: u32,
    /// `sk_buff.vlan_proto`; zero in a packet without a tag beside its bytes.
    pub skb_vlan_proto: u32,
    /// `sock.__sk_common.skc_cookie`
    pub sock_cookie: u32,
    /// [`FEATURE_RX_SOCKET`] or 0.
    pub features: u32,
}

/// [`KernelLayout::features`] bit: the `kfree_skb` tracepoint passes the receiving socket
/// (Linux 6.11 and later).
pub const FEATURE_RX_SOCKET: u32 = 1;

/// How the probes are to work. User space sets it before they are loaded, so that the verifier
/// removes what is not asked for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// A connection that goes on is reported again after so long, nanoseconds.
    pub interval_ns: u64,
    /// An [`Aggregation`].
    pub aggregation: u32,
    /// TCP flags whose first appearance is reported.
    pub tcp_flags: u32,
    /// Bytes to capture of a packet that holds the beginning of a message; 0 treats it as any
    /// other packet.
    pub payload_bytes: u32,
    /// Drops to report per second and reason; 0 for all of them.
    pub drops_per_second: u32,
}

/// Which packets are reported at the trace points. Drops are reported in any case.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Aggregation {
    /// All.
    #[default]
    None = 0,
    /// All, but only where they leave: at the `to-…` points, and at `from-network` if this node
    /// itself is the destination, since no other point follows.
    Low = 1,
    /// The first of each direction, those with TCP flags that are new for their direction, and
    /// one per interval.
    Medium = 2,
    /// As medium, without the interval.
    Maximum = 3,
}

/// Entries of the table of drop reasons; reasons beyond it are reported. The kernel's own number
/// fewer than 150 so far.
pub const REASON_TABLE_ENTRIES: u32 = 512;

/// What to do with a drop reason; the value in the table of reasons.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReasonClass {
    /// The packet was dropped: report it.
    Drop = 0,
    /// The kernel freed a buffer in the ordinary course of things: count it only.
    NotADrop = 1,
}

/// Whose a network namespace is; the value in the map of namespaces. A namespace that is not in
/// the map is reported, and user space decides.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NetnsOwner {
    /// This node's: its own or a pod's.
    ThisNode = 1,
    /// Another node's on the same machine.
    Other = 2,
}

/// The drops of one reason in the current second.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DropRate {
    /// Which second: CLOCK_MONOTONIC.
    pub second: u64,
    /// Drops in it.
    pub drops: u64,
    /// Drops that were not reported, since the start.
    pub suppressed: u64,
}

/// What the reader of the ring tells the probes; the one entry of its map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ReaderState {
    /// Not zero: the reader sleeps until it is woken. Else it looks by itself every millisecond,
    /// and waking it would only slow down whoever has something to report.
    pub asleep: u32,
    /// Zero.
    pub reserved: u32,
    /// CLOCK_MONOTONIC of the last time that it was woken, nanoseconds; written by the probes, and
    /// set to 0 by the reader when it goes to sleep.
    pub woken_ns: u64,
}

/// Bytes in the ring from which on the reader is woken even if it would look by itself.
pub const WAKE_AT_BYTES: u64 = 1 << 20;
/// It is not woken again within this time: that costs a microsecond or more, and once is enough.
pub const WAKE_EVERY_NS: u64 = 1_000_000;

/// Index into the per-CPU array of counters.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Counter {
    /// Trace records that found the ring full.
    LostTrace = 0,
    /// Drop records that found the ring full.
    LostDrop = 1,
    /// Freed buffers whose reason is no drop.
    NotADrop = 2,
    /// Drops in namespaces of other nodes.
    OtherNode = 3,
    /// Drops of packets with neither an IP nor an Ethernet header.
    NotIp = 4,
    /// Packets whose bytes could not be read.
    Unreadable = 5,
    /// Packets that were reported by themselves because the flow table was full.
    FlowTableFull = 6,
    /// Packets that were counted in the flow table instead of being reported.
    Aggregated = 7,
    /// Drops beyond the configured rate.
    RateLimited = 8,
    /// Connections that left the flow table.
    Expired = 9,
}

impl Counter {
    /// Number of counters.
    pub const COUNT: u32 = 10;
    /// All counters with the names that metrics and status use, in order.
    pub const ALL: [(Self, &'static str); Self::COUNT as usize] = [
        (Self::LostTrace, "lost_trace"),
        (Self::LostDrop, "lost_drop"),
        (Self::NotADrop, "not_a_drop"),
        (Self::OtherNode, "other_node"),
        (Self::NotIp, "not_ip"),
        (Self::Unreadable, "unreadable"),
        (Self::FlowTableFull, "flow_table_full"),
        (Self::Aggregated, "aggregated"),
        (Self::RateLimited, "rate_limited"),
        (Self::Expired, "expired"),
    ];
}
