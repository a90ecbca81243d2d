//! What records of the datapath begin with, and the packet that follows.

use super::CiliumError;

/// The first 16 bytes of a record that carries a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CaptureHeader {
    /// Drop reason or observation point, by kind of record.
    pub subtype: u8,
    /// Number of the endpoint on whose behalf the program ran, 0 for none.
    pub source: u16,
    /// The kernel's hash of the flow.
    pub hash: u32,
    /// Bytes of the packet when it was whole.
    pub original_len: u32,
    /// Bytes of it that the datapath copied.
    pub captured_len: u16,
    /// Layout of the record.
    pub version: u8,
    /// Layout of what an extension put between record and packet. None is known; none has a
    /// length.
    pub ext_version: u8,
}

impl CaptureHeader {
    pub(super) fn read<const N: usize>(fixed: &[u8; N]) -> Self {
        Self {
            subtype: fixed[1],
            source: u16_at(fixed, 2),
            hash: u32_at(fixed, 4),
            original_len: u32_at(fixed, 8),
            captured_len: u16_at(fixed, 12),
            version: fixed[14],
            ext_version: fixed[15],
        }
    }
}

/// A packet as the datapath copied it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// From the end of the record's header to the end of the record. Perf buffers round samples
    /// up, so that zeros may follow the packet; its own length fields tell.
    pub bytes: &'a [u8],
    /// Bytes of the packet when it was whole.
    pub original_len: u32,
    /// The first header.
    pub start: PacketStart,
    /// What the datapath says is in the outer UDP payload.
    pub overlay: Option<Overlay>,
}

/// The first header of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PacketStart {
    /// A link layer header.
    Ethernet,
    /// From a device without link layer.
    Ipv4,
    /// From a device without link layer.
    Ipv6,
}

/// An encapsulation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Overlay {
    /// RFC 7348.
    Vxlan,
    /// RFC 8926.
    Geneve,
}

/// The flags that drop and trace records share.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PacketFlags(pub u8);

impl PacketFlags {
    const IPV6: u8 = 0x01;
    const L3_DEVICE: u8 = 0x02;
    const VXLAN: u8 = 0x04;
    const GENEVE: u8 = 0x08;

    /// The packet is IPv6.
    #[must_use]
    pub fn is_ipv6(self) -> bool {
        self.0 & Self::IPV6 != 0
    }

    /// The first header of the packet.
    #[must_use]
    pub fn start(self) -> PacketStart {
        PacketStart::new(self.0 & Self::L3_DEVICE != 0, self.is_ipv6())
    }

    /// What the outer UDP payload is.
    #[must_use]
    pub fn overlay(self) -> Option<Overlay> {
        if self.0 & Self::VXLAN != 0 {
            Some(Overlay::Vxlan)
        } else if self.0 & Self::GENEVE != 0 {
            Some(Overlay::Geneve)
        } else {
            None
        }
    }
}

impl PacketStart {
    pub(super) fn new(is_l3_device: bool, is_ipv6: bool) -> Self {
        match (is_l3_device, is_ipv6) {
            (false, _) => Self::Ethernet,
            (true, false) => Self::Ipv4,
            (true, true) => Self::Ipv6,
        }
    }
}

/// The first `N` bytes of a record.
pub(super) fn fixed<'a, const N: usize>(
    record: &'a [u8],
    kind: &'static str,
) -> Result<&'a [u8; N], CiliumError> {
    record.first_chunk().ok_or(CiliumError::Truncated {
        kind,
        len: record.len(),
        need: N,
    })
}

/// The packet after a header of `offset` bytes.
pub(super) fn packet_bytes<'a>(
    record: &'a [u8],
    offset: usize,
    kind: &'static str,
) -> Result<&'a [u8], CiliumError> {
    record.get(offset..).ok_or(CiliumError::Truncated {
        kind,
        len: record.len(),
        need: offset,
    })
}

// Offsets are constants within `N`, checked by the tests. Numbers are in the node's byte order.

pub(super) fn u16_at<const N: usize>(fixed: &[u8; N], at: usize) -> u16 {
    u16::from_ne_bytes(bytes_at(fixed, at))
}

pub(super) fn u32_at<const N: usize>(fixed: &[u8; N], at: usize) -> u32 {
    u32::from_ne_bytes(bytes_at(fixed, at))
}

pub(super) fn u64_at<const N: usize>(fixed: &[u8; N], at: usize) -> u64 {
    u64::from_ne_bytes(bytes_at(fixed, at))
}

pub(super) fn bytes_at<const N: usize, const LEN: usize>(fixed: &[u8; N], at: usize) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes.copy_from_slice(&fixed[at..at + LEN]);
    bytes
}

/// An address in 16 bytes; IPv4 takes the first four. `None` when it is all zero.
pub(super) fn address_at<const N: usize>(
    fixed: &[u8; N],
    at: usize,
    is_ipv6: bool,
) -> Option<std::net::IpAddr> {
    let address: std::net::IpAddr = if is_ipv6 {
        bytes_at::<N, 16>(fixed, at).into()
    } else {
        bytes_at::<N, 4>(fixed, at).into()
    };
    (!address.is_unspecified()).then_some(address)
}
