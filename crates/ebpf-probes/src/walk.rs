//! From a packet's first bytes to its connection's two ends.
//!
//! Packets that are not [`plain`](crate::plain) are copied into the record that is being put together
//! and walked there: the kernel may keep them in pieces, and would have every step tested against the
//! end of the first one.

use probe_events::TUNNEL_CAPTURE_BYTES;

use crate::atomic::forget;

pub(crate) const ETHERNET_HEADER: usize = 14;
pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_PROVIDER_VLAN: u16 = 0x88a8;
/// Geneve's way to say that an Ethernet frame follows.
pub(crate) const ETHERTYPE_BRIDGED: u16 = 0x6558;

const HOP_BY_HOP: u8 = 0;
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
pub(crate) const ICMPV6: u8 = 58;
const DESTINATION_OPTIONS: u8 = 60;
pub(crate) const SCTP: u8 = 132;

/// Extension headers that are followed: one of each kind, and destination options twice
/// (RFC 8200, section 4.1).
const MAX_EXTENSIONS: usize = 6;

const VXLAN_PORT: u16 = 4789;
/// What Linux used before the number was assigned, and Flannel and Cilium still do.
const VXLAN_LINUX_PORT: u16 = 8472;
pub(crate) const GENEVE_PORT: u16 = 6081;
/// The flag that says that the network number is valid, which must be set (RFC 7348, section 5).
pub(crate) const VXLAN_HAS_NUMBER: u8 = 0x08;

/// Where the bytes of a packet are read from.
pub(crate) trait Read {
    /// The bytes at an offset, `None` where the packet, or what is there of it, ends before.
    fn at<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
}

/// A packet's first bytes, as far as they were copied.
pub(crate) struct Bytes {
    start: *const u8,
    length: usize,
}

impl Bytes {
    /// Bytes of a buffer that is far longer than any offset that the walk can reach.
    #[inline(always)]
    pub(crate) fn new<const N: usize>(buffer: &[u8; N], length: usize) -> Self {
        const { assert!(N >= OFFSET_MASK + LARGEST_READ) };
        Self {
            start: buffer.as_ptr(),
            length,
        }
    }
}

impl Read for Bytes {
    #[inline(always)]
    fn at<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        const { assert!(N <= LARGEST_READ) };
        if offset + N > self.length {
            return None;
        }
        // The verifier does not see that the test above bounds the offset; the mask, which changes
        // nothing, it sees. The compiler must not see that it changes nothing.
        let offset = forget(offset) & OFFSET_MASK;
        // SAFETY: `new` asks for a buffer of this size.
        Some(unsafe { self.start.add(offset).cast::<[u8; N]>().read_unaligned() })
    }
}

/// A value that was put into a map, as if somebody else had: neither the compiler nor the verifier
/// knows anything of it. What is called with a value on the stack is none the worse for it.
#[inline(always)]
pub(crate) fn read_back<T: Copy>(value: &T) -> T {
    // SAFETY: a valid reference.
    unsafe { core::ptr::read_volatile(value) }
}

/// Larger than [`TUNNEL_CAPTURE_BYTES`], which is the longest copy that is walked.
pub(crate) const OFFSET_MASK: usize = 0x1ff;
const LARGEST_READ: usize = 40;
const _: () = assert!(TUNNEL_CAPTURE_BYTES <= OFFSET_MASK);

/// The IP header of a packet, or of the packet within it.
///
/// Functions fill in the caller's instead of returning one: what an empty option holds is
/// undefined, and the verifier refuses programs that as much as move it.
#[derive(Clone, Copy)]
pub(crate) struct Headers {
    /// As sixteen bytes in memory; IPv4 as `::ffff:a.b.c.d`.
    pub(crate) source: [u64; 2],
    pub(crate) destination: [u64; 2],
    pub(crate) fragment_id: u32,
    /// Where the transport header begins.
    pub(crate) transport: u32,
    pub(crate) protocol: u8,
    pub(crate) fragment: Fragment,
}

impl Headers {
    pub(crate) const NONE: Self = Self {
        source: [0; 2],
        destination: [0; 2],
        fragment_id: 0,
        transport: 0,
        protocol: 0,
        fragment: Fragment::Whole,
    };
}

/// Which part of a packet this is.
#[repr(u8)]
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Fragment {
    Whole = 0,
    First = 1,
    Later = 2,
}

#[inline(always)]
pub(crate) fn is_tunnel_port(port: u16) -> bool {
    matches!(port, VXLAN_PORT | VXLAN_LINUX_PORT | GENEVE_PORT)
}

/// Finds the IP header. `None` where there is none, or it is cut.
#[inline(always)]
pub(crate) fn outer(bytes: &Bytes, starts_at_ip: bool, into: &mut Headers) -> Option<()> {
    if starts_at_ip {
        let [version] = bytes.at::<1>(0)?;
        return ip(bytes, 0, version >> 4 == 6, into);
    }
    ethernet(bytes, 0, into)
}

/// Finds the IP header of the packet within a tunnel's packet. `None` if `outer` is none.
#[inline(always)]
pub(crate) fn inner(bytes: &Bytes, outer: &Headers, into: &mut Headers) -> Option<()> {
    if outer.protocol != UDP || outer.fragment != Fragment::Whole {
        return None;
    }
    let udp = outer.transport as usize;
    let port = u16::from_be_bytes(bytes.at(udp + 2)?);
    if !is_tunnel_port(port) {
        return None;
    }
    let tunnel: [u8; 8] = bytes.at(udp + 8)?;
    let after = udp + 16;
    if port == GENEVE_PORT {
        let options = usize::from(tunnel[0] & 0x3f) * 4;
        let at = after + options;
        return match u16::from_be_bytes([tunnel[2], tunnel[3]]) {
            ETHERTYPE_BRIDGED => ethernet(bytes, at, into),
            ETHERTYPE_IPV4 => ip(bytes, at, false, into),
            ETHERTYPE_IPV6 => ip(bytes, at, true, into),
            _ => None,
        };
    }
    if tunnel[0] & VXLAN_HAS_NUMBER == 0 {
        return None;
    }
    ethernet(bytes, after, into)
}

#[inline(always)]
fn ethernet(bytes: &Bytes, at: usize, into: &mut Headers) -> Option<()> {
    let mut at = at + ETHERNET_HEADER;
    let mut ethertype = u16::from_be_bytes(bytes.at(at - 2)?);
    // A customer's tag within a provider's, at most.
    for _ in 0..2 {
        if ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_PROVIDER_VLAN {
            ethertype = u16::from_be_bytes(bytes.at(at + 2)?);
            at += 4;
        }
    }
    match ethertype {
        ETHERTYPE_IPV4 => ip(bytes, at, false, into),
        ETHERTYPE_IPV6 => ip(bytes, at, true, into),
        _ => None,
    }
}

#[inline(always)]
fn ip(bytes: &Bytes, at: usize, is_ipv6: bool, into: &mut Headers) -> Option<()> {
    // A function of its own: it is asked for up to seven times, and inlined it would make the
    // programs too large for the verifier.
    if ip_into(bytes, at, is_ipv6, into) {
        Some(())
    } else {
        None
    }
}

#[inline(never)]
fn ip_into(bytes: &Bytes, at: usize, is_ipv6: bool, headers: &mut Headers) -> bool {
    let found = if is_ipv6 {
        ipv6(bytes, at, headers)
    } else {
        ipv4(bytes, at, headers)
    };
    found.is_some()
}

#[inline(always)]
fn ipv4(bytes: &Bytes, at: usize, headers: &mut Headers) -> Option<()> {
    let header: [u8; 20] = bytes.at(at)?;
    headers.source = mapped([header[12], header[13], header[14], header[15]]);
    headers.destination = mapped([header[16], header[17], header[18], header[19]]);
    headers.protocol = header[9];
    headers.transport = (at + usize::from(header[0] & 0xf) * 4) as u32;
    headers.fragment_id = u32::from(u16::from_be_bytes([header[4], header[5]]));
    let offset = u16::from_be_bytes([header[6] & 0x1f, header[7]]);
    headers.fragment = fragment(offset, header[6] & 0x20 != 0);
    Some(())
}

#[inline(always)]
fn ipv6(bytes: &Bytes, at: usize, headers: &mut Headers) -> Option<()> {
    // Word by word: copied at once, the compiler would go byte by byte.
    let word = |index: usize| bytes.at(at + 8 + index * 8).map(u64::from_ne_bytes);
    headers.source = [word(0)?, word(1)?];
    headers.destination = [word(2)?, word(3)?];
    let [next] = bytes.at::<1>(at + 6)?;
    headers.protocol = next;
    headers.transport = (at + 40) as u32;
    for _ in 0..MAX_EXTENSIONS {
        // Read back, so that one turn of the loop is like the other to the verifier.
        let (next, at) = (
            read_back(&headers.protocol),
            read_back(&headers.transport) as usize,
        );
        let unit = match next {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => 8,
            AUTHENTICATION => 4,
            FRAGMENT => {
                let header: [u8; 8] = bytes.at(at)?;
                headers.protocol = header[0];
                headers.transport = (at + 8) as u32;
                let field = u16::from_be_bytes([header[2], header[3]]);
                headers.fragment = fragment(field >> 3, field & 1 != 0);
                headers.fragment_id =
                    u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
                if headers.fragment == Fragment::Later {
                    break;
                }
                continue;
            }
            _ => break,
        };
        let [next, length]: [u8; 2] = bytes.at(at)?;
        headers.protocol = next;
        headers.transport = (at + 8 + usize::from(length) * unit) as u32;
    }
    Some(())
}

#[inline(always)]
fn fragment(offset: u16, more: bool) -> Fragment {
    match (offset, more) {
        (0, false) => Fragment::Whole,
        (0, true) => Fragment::First,
        _ => Fragment::Later,
    }
}

/// An IPv4 address as the IPv6 address that stands for it: ten bytes of 0, two of 0xff, its four.
#[inline(always)]
pub(crate) fn mapped(address: [u8; 4]) -> [u64; 2] {
    [
        0,
        u64::from(u32::from_le_bytes(address)) << 32 | 0xffff_0000,
    ]
}
