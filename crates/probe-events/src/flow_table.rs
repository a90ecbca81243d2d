//! The flow table in the kernel: one entry per connection and place.

/// Which connection, whichever way a packet of it goes: the lower end (address, then port) is `a`.
#[repr(C)]
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
    /// The pod's device, so that each pod's view is its own; 0 for all network devices together,
    /// so that a reply may come in through another one.
    pub scope: u32,
    /// IP protocol number.
    pub protocol: u32,
}

/// What is remembered of a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FlowState {
    /// CLOCK_MONOTONIC of the last packet, nanoseconds.
    pub last_seen_ns: u64,
    /// An [`Origin`].
    pub origin: u32,
    /// Zero.
    pub reserved: u32,
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

const _: () = {
    assert!(size_of::<FlowKey>() == 44);
    assert!(size_of::<FlowState>() == 16);
};
