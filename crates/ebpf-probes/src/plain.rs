//! Plain packets, which are nearly all: read where they lie.

use aya_ebpf::programs::TcContext;

use crate::{
    atomic::forget,
    tuple::Tuple,
    walk::{
        ETHERNET_HEADER, ETHERTYPE_BRIDGED, ETHERTYPE_IPV4, ETHERTYPE_IPV6, GENEVE_PORT, Headers,
        OFFSET_MASK, Read, TCP, UDP, VXLAN_HAS_NUMBER, is_tunnel_port, mapped,
    },
};

/// Version 4, and a header of five words.
const PLAIN_IPV4: u8 = 0x45;
/// The bits of IPv4's seventh and eighth bytes that say that this is a fragment. The remaining one
/// says that the packet may not be taken apart.
const IPV4_FRAGMENT: [u8; 2] = [0xbf, 0xff];
/// Where the TCP header's flags end.
const TCP_FLAGS_END: usize = 14;

/// A packet where it lies, as far as its first piece goes. Offsets must be constants to the
/// verifier, unless [`InPlace::at_any`] is asked.
pub(crate) struct InPlace {
    start: usize,
    end: usize,
}

impl InPlace {
    #[inline(always)]
    pub(crate) fn new(ctx: &TcContext) -> Self {
        // The compiler would otherwise compare the lower halves, which is all that it sees loaded;
        // to the verifier, that compares no pointers.
        Self {
            start: forget(ctx.data()),
            end: forget(ctx.data_end()),
        }
    }

    /// As [`Read::at`], for offsets of which the verifier knows nothing.
    #[inline(always)]
    pub(crate) fn at_any<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > OFFSET_MASK {
            return None;
        }
        let at = forget(self.start + (forget(offset) & OFFSET_MASK));
        if at + N > self.end {
            return None;
        }
        // SAFETY: within the packet, as tested; bytes need no alignment.
        Some(unsafe { (at as *const [u8; N]).read_unaligned() })
    }

    /// Bytes that are there whole, so that one test does for all that is read of them.
    #[inline(always)]
    fn part<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        let at = self.start + offset;
        if at + N > self.end {
            return None;
        }
        // SAFETY: within the packet, as tested; bytes need no alignment.
        Some(unsafe { &*(at as *const [u8; N]) })
    }
}

impl Read for InPlace {
    #[inline(always)]
    fn at<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let at = self.start + offset;
        if at + N > self.end {
            return None;
        }
        // SAFETY: within the packet, as tested; bytes need no alignment.
        Some(unsafe { (at as *const [u8; N]).read_unaligned() })
    }
}

/// Finds the IP header of a plain packet: TCP or UDP in IPv4 without options or IPv6 without
/// extensions, in one piece. `None` says nothing of what else it is: see [`outer`](crate::walk::outer).
#[inline(always)]
pub(crate) fn plain(packet: &InPlace, starts_at_ip: bool) -> Option<Headers> {
    if starts_at_ip {
        let [version] = packet.at(0)?;
        return plain_ip(packet, 0, version >> 4 == 6);
    }
    plain_ethernet(packet, 0)
}

/// The same for the packet within a tunnel's plain packet, where nothing comes between the two.
/// `None` says nothing either: see [`inner`](crate::walk::inner).
#[inline(always)]
pub(crate) fn plain_inner(packet: &InPlace, outer: &Headers, port: u16) -> Option<Headers> {
    let at = outer.transport as usize + 8;
    let [first, _, kind_high, kind_low]: [u8; 4] = packet.at(at)?;
    let is_plain = if port == GENEVE_PORT {
        first & 0x3f == 0 && u16::from_be_bytes([kind_high, kind_low]) == ETHERTYPE_BRIDGED
    } else {
        first & VXLAN_HAS_NUMBER != 0
    };
    if !is_plain {
        return None;
    }
    plain_ethernet(packet, at + 8)
}

#[inline(always)]
fn plain_ethernet(packet: &InPlace, at: usize) -> Option<Headers> {
    let at = at + ETHERNET_HEADER;
    match u16::from_be_bytes(packet.at(at - 2)?) {
        ETHERTYPE_IPV4 => plain_ip(packet, at, false),
        ETHERTYPE_IPV6 => plain_ip(packet, at, true),
        _ => None,
    }
}

#[inline(always)]
fn plain_ip(packet: &InPlace, at: usize, is_ipv6: bool) -> Option<Headers> {
    let mut headers = Headers::NONE;
    if is_ipv6 {
        let word = |index: usize| packet.at(at + 8 + index * 8).map(u64::from_ne_bytes);
        headers.source = [word(0)?, word(1)?];
        headers.destination = [word(2)?, word(3)?];
        [headers.protocol] = packet.at(at + 6)?;
        headers.transport = (at + 40) as u32;
    } else {
        let [first] = packet.at(at)?;
        let [offset_high, offset_low]: [u8; 2] = packet.at(at + 6)?;
        let [mask_high, mask_low] = IPV4_FRAGMENT;
        if first != PLAIN_IPV4 || (offset_high & mask_high) | (offset_low & mask_low) != 0 {
            return None;
        }
        headers.source = mapped(packet.at(at + 12)?);
        headers.destination = mapped(packet.at(at + 16)?);
        [headers.protocol] = packet.at(at + 9)?;
        headers.transport = (at + 20) as u32;
    }
    matches!(headers.protocol, TCP | UDP).then_some(headers)
}

/// Whether there may be a packet within, see [`inner`](crate::walk::inner).
#[inline(always)]
pub(crate) fn is_tunnel(headers: &Headers, destination_port: u16) -> bool {
    headers.protocol == UDP && is_tunnel_port(destination_port)
}

/// Reads a plain TCP segment. `None` says nothing of what else it is.
#[inline(always)]
pub(crate) fn segment(
    packet: &InPlace,
    starts_at_ip: bool,
    headers: &mut Headers,
    tuple: &mut Tuple,
) -> Option<()> {
    let (at, is_ipv6) = if starts_at_ip {
        (0, packet.part::<1>(0)?[0] >> 4 == 6)
    } else {
        let ethernet = packet.part::<ETHERNET_HEADER>(0)?;
        let is_ipv6 = match u16::from_be_bytes(of(ethernet, 12)) {
            ETHERTYPE_IPV4 => false,
            ETHERTYPE_IPV6 => true,
            _ => return None,
        };
        (ETHERNET_HEADER, is_ipv6)
    };
    headers.protocol = TCP;
    if is_ipv6 {
        let bytes = packet.part::<{ 40 + TCP_FLAGS_END }>(at)?;
        headers.source = [8, 16].map(|at| u64::from_ne_bytes(of(bytes, at)));
        headers.destination = [24, 32].map(|at| u64::from_ne_bytes(of(bytes, at)));
        headers.transport = (at + 40) as u32;
        tuple.set_segment(of(bytes, 40), of(bytes, 52), headers.transport);
        return (bytes[6] == TCP).then_some(());
    }
    let bytes = packet.part::<{ 20 + TCP_FLAGS_END }>(at)?;
    headers.source = mapped(of(bytes, 12));
    headers.destination = mapped(of(bytes, 16));
    headers.transport = (at + 20) as u32;
    tuple.set_segment(of(bytes, 20), of(bytes, 32), headers.transport);
    let is_whole = u16::from_ne_bytes(of(bytes, 6)) & u16::from_ne_bytes(IPV4_FRAGMENT) == 0;
    (bytes[0] == PLAIN_IPV4 && bytes[9] == TCP && is_whole).then_some(())
}

/// Some of the bytes. The offset is a constant, so that the test is none.
#[inline(always)]
fn of<const N: usize, const M: usize>(bytes: &[u8; M], offset: usize) -> [u8; N] {
    match bytes.get(offset..).and_then(|rest| rest.first_chunk()) {
        Some(part) => *part,
        None => [0; N],
    }
}
