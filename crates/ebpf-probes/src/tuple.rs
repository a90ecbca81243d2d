//! Which connection a packet belongs to, and what it does to it.

use probe_events::{FlowKey, Place};

use crate::{
    maps::{FRAGMENTS, FragmentKey, FragmentPorts},
    walk::{Fragment, Headers, ICMP, ICMPV6, Read, SCTP, TCP, UDP},
};

pub(crate) const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// What the flow table wants to know of a packet.
#[derive(Clone, Copy)]
pub(crate) struct Tuple {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// What the packet does to the connection.
    pub(crate) role: Role,
    /// All eight flags of the TCP header's fourteenth byte; 0 for other protocols.
    pub(crate) tcp_flags: u8,
    /// The ports are not in the packet: a later fragment.
    pub(crate) is_later_fragment: bool,
    /// Where the application's bytes begin; 0 when unknown.
    pub(crate) payload: u32,
}

impl Tuple {
    pub(crate) const NONE: Self = Self {
        source_port: 0,
        destination_port: 0,
        role: Role::Related,
        tcp_flags: 0,
        is_later_fragment: false,
        payload: 0,
    };

    /// What a TCP segment at `transport` tells by its ports and by its thirteenth and fourteenth byte.
    #[inline(always)]
    pub(crate) fn set_segment(&mut self, ports: [u8; 4], [offset, flags]: [u8; 2], transport: u32) {
        self.set_ports(ports);
        self.tcp_flags = flags;
        self.payload = transport + u32::from(offset >> 4) * 4;
        self.role = match (flags & SYN != 0, flags & ACK != 0) {
            (true, false) => Role::Opens,
            (true, true) => Role::Answers,
            (false, _) => Role::Continues,
        };
    }

    /// Source and destination port, as TCP, UDP and SCTP begin.
    #[inline(always)]
    fn set_ports(&mut self, ports: [u8; 4]) {
        self.source_port = u16::from_be_bytes([ports[0], ports[1]]);
        self.destination_port = u16::from_be_bytes([ports[2], ports[3]]);
    }
}

/// What a packet says about the beginning of its connection.
#[repr(u8)]
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Role {
    /// Whoever sent it opened the connection: TCP SYN, ICMP echo request.
    Opens,
    /// Whoever sent it was asked: TCP SYN+ACK, ICMP echo reply.
    Answers,
    /// Opens a connection if none is known: UDP, SCTP.
    OpensIfNew,
    /// Belongs to a connection that began earlier: the rest of TCP, later fragments.
    Continues,
    /// Speaks about another packet: ICMP errors.
    Related,
}

/// Reads the transport header. `None` where there is no connection to speak of: protocols without
/// ports, messages such as neighbour discovery, fragments whose first was not seen.
#[inline(always)]
pub(crate) fn of(bytes: &impl Read, headers: &Headers, into: &mut Tuple) -> Option<()> {
    if headers.fragment == Fragment::Later {
        let [source_port, destination_port] = later_fragment(headers)?;
        into.source_port = source_port;
        into.destination_port = destination_port;
        into.role = Role::Continues;
        into.is_later_fragment = true;
        return Some(());
    }
    let transport = headers.transport as usize;
    match headers.protocol {
        TCP => {
            let offset_and_flags = bytes.at(transport + 12)?;
            into.set_segment(bytes.at(transport)?, offset_and_flags, headers.transport);
        }
        UDP => {
            into.set_ports(bytes.at(transport)?);
            into.payload = (transport + 8) as u32;
            into.role = Role::OpensIfNew;
        }
        SCTP => {
            into.set_ports(bytes.at(transport)?);
            into.role = Role::OpensIfNew;
        }
        ICMP => icmp(bytes.at(transport)?, 8, 0, is_icmp_error, into)?,
        ICMPV6 => icmp(bytes.at(transport)?, 128, 129, is_icmpv6_error, into)?,
        _ => return None,
    }
    if headers.fragment == Fragment::First {
        let ports = FragmentPorts([into.source_port, into.destination_port]);
        // Fails for want of memory only; then the later fragments have no ports.
        FRAGMENTS.insert(&fragment_key(headers), &ports, 0).ok();
    }
    Some(())
}

/// Ports of a later fragment, if its first was seen.
#[inline(always)]
pub(crate) fn later_fragment(headers: &Headers) -> Option<[u16; 2]> {
    // SAFETY: plain look-up; the value is copied at once.
    unsafe { FRAGMENTS.get(&fragment_key(headers)) }.map(|ports| ports.0)
}

#[inline(always)]
fn fragment_key(headers: &Headers) -> FragmentKey {
    FragmentKey {
        source: headers.source,
        destination: headers.destination,
        id: headers.fragment_id,
        protocol: u32::from(headers.protocol),
    }
}

/// Fills in the connection. Returns whether the sender is the key's end `a`.
#[inline(always)]
pub(crate) fn fill_key(
    headers: &Headers,
    tuple: &Tuple,
    place: Place,
    scope: u32,
    key: &mut FlowKey,
) -> bool {
    let sender_is_a = is_lower(headers, tuple);
    let ports = |a: u16, b: u16| u64::from(a) | u64::from(b) << 16 | u64::from(scope) << 32;
    // As words: the compiler would put the key together byte by byte.
    let last = u64::from(headers.protocol) | (place as u64) << 8;
    let ([a0, a1], [b0, b1], ports) = if sender_is_a {
        let ports = ports(tuple.source_port, tuple.destination_port);
        (headers.source, headers.destination, ports)
    } else {
        let ports = ports(tuple.destination_port, tuple.source_port);
        (headers.destination, headers.source, ports)
    };
    // SAFETY: plain numbers without padding, of the same size; the target is little-endian.
    *key = unsafe { core::mem::transmute::<[u64; 6], FlowKey>([a0, a1, b0, b1, ports, last]) };
    sender_is_a
}

/// Any order will do as long as it is always the same one; this compares words as they lie.
#[inline(always)]
fn is_lower(headers: &Headers, tuple: &Tuple) -> bool {
    let (left, right) = (headers.source, headers.destination);
    if left[1] != right[1] {
        left[1] < right[1]
    } else if left[0] != right[0] {
        left[0] < right[0]
    } else {
        tuple.source_port <= tuple.destination_port
    }
}

/// Echoes are a connection, told apart by their identifier; errors are related to one.
#[inline(always)]
fn icmp(
    header: [u8; 8],
    echo_request: u8,
    echo_reply: u8,
    is_error: fn(u8) -> bool,
    into: &mut Tuple,
) -> Option<()> {
    let kind = header[0];
    into.role = if kind == echo_request {
        Role::Opens
    } else if kind == echo_reply {
        Role::Answers
    } else if is_error(kind) {
        Role::Related
    } else {
        return None;
    };
    if kind == echo_request || kind == echo_reply {
        into.set_ports([header[4], header[5], header[4], header[5]]);
    }
    Some(())
}

/// Destination unreachable, source quench, redirect, time exceeded, parameter problem.
#[inline(always)]
fn is_icmp_error(kind: u8) -> bool {
    matches!(kind, 3 | 4 | 5 | 11 | 12)
}

/// Destination unreachable, packet too big, time exceeded, parameter problem.
#[inline(always)]
fn is_icmpv6_error(kind: u8) -> bool {
    matches!(kind, 1..=4)
}
