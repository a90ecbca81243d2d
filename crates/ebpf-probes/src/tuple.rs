//! Which connection a packet belongs to, read from its headers.

use aya_ebpf::programs::TcContext;
use probe_events::FlowKey;

const ETH_HEADER: usize = 14;
const ETH_P_IPV4: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const SCTP: u8 = 132;

/// What the flow table wants to know of a packet.
pub(crate) struct Tuple {
    /// The connection; `scope` is still to be filled in.
    pub(crate) key: FlowKey,
    /// The sender is the key's end `a`.
    pub(crate) sender_is_a: bool,
    /// What the packet does to the connection.
    pub(crate) role: Role,
}

impl Tuple {
    /// TCP repeats its opening packet when the answer does not come.
    #[inline(always)]
    pub(crate) fn is_tcp(&self) -> bool {
        self.key.protocol == u32::from(TCP)
    }
}

/// What a packet says about the beginning of its connection.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Role {
    /// Whoever sent it opened the connection: TCP SYN, ICMP echo request.
    Opens,
    /// Whoever sent it was asked: TCP SYN+ACK, ICMP echo reply.
    Answers,
    /// Opens a connection if none is known: UDP, SCTP.
    OpensIfNew,
    /// Belongs to a connection that began earlier: the rest of TCP.
    Continues,
    /// Speaks about another packet: ICMP errors.
    Related,
}

/// Reads the connection of an Ethernet frame. `None` where there is none to speak of: no IP, a
/// later fragment, a protocol without connections.
#[inline(always)]
pub(crate) fn of(ctx: &TcContext) -> Option<Tuple> {
    let ether_type = u16::from_be(ctx.load(12).ok()?);
    let mut key = FlowKey::default();
    let mut sender = [0u8; 16];
    let mut receiver = [0u8; 16];
    let (protocol, transport) = match ether_type {
        ETH_P_IPV4 => {
            let header: [u8; 20] = ctx.load(ETH_HEADER).ok()?;
            let fragment_offset = u16::from_be_bytes([header[6] & 0x1f, header[7]]);
            if header[0] >> 4 != 4 || fragment_offset != 0 {
                return None;
            }
            sender[10] = 0xff;
            sender[11] = 0xff;
            sender[12..16].copy_from_slice(&header[12..16]);
            receiver[10] = 0xff;
            receiver[11] = 0xff;
            receiver[12..16].copy_from_slice(&header[16..20]);
            (header[9], ETH_HEADER + usize::from(header[0] & 0xf) * 4)
        }
        ETH_P_IPV6 => {
            let header: [u8; 40] = ctx.load(ETH_HEADER).ok()?;
            sender.copy_from_slice(&header[8..24]);
            receiver.copy_from_slice(&header[24..40]);
            (header[6], ETH_HEADER + 40)
        }
        _ => return None,
    };
    key.protocol = u32::from(protocol);

    let (sender_port, receiver_port, role) = match protocol {
        TCP => {
            let ports: [u8; 4] = ctx.load(transport).ok()?;
            let flags: u8 = ctx.load(transport + 13).ok()?;
            const SYN: u8 = 0x02;
            const ACK: u8 = 0x10;
            let role = match (flags & SYN != 0, flags & ACK != 0) {
                (true, false) => Role::Opens,
                (true, true) => Role::Answers,
                (false, _) => Role::Continues,
            };
            let (source, destination) = split(ports);
            (source, destination, role)
        }
        UDP | SCTP => {
            let (source, destination) = split(ctx.load(transport).ok()?);
            (source, destination, Role::OpensIfNew)
        }
        ICMP => icmp(ctx, transport, 8, 0, is_icmp_error)?,
        ICMPV6 => icmp(ctx, transport, 128, 129, is_icmpv6_error)?,
        _ => return None,
    };

    let sender_is_a = match compare(&sender, &receiver) {
        core::cmp::Ordering::Less => true,
        core::cmp::Ordering::Greater => false,
        core::cmp::Ordering::Equal => sender_port <= receiver_port,
    };
    if sender_is_a {
        key.address_a = sender;
        key.address_b = receiver;
        key.port_a = sender_port;
        key.port_b = receiver_port;
    } else {
        key.address_a = receiver;
        key.address_b = sender;
        key.port_a = receiver_port;
        key.port_b = sender_port;
    }
    Some(Tuple {
        key,
        sender_is_a,
        role,
    })
}

/// Source and destination port, as TCP, UDP and SCTP begin.
#[inline(always)]
fn split(ports: [u8; 4]) -> (u16, u16) {
    (
        u16::from_be_bytes([ports[0], ports[1]]),
        u16::from_be_bytes([ports[2], ports[3]]),
    )
}

/// Echoes are a connection, told apart by their identifier; errors are related to one.
#[inline(always)]
fn icmp(
    ctx: &TcContext,
    transport: usize,
    echo_request: u8,
    echo_reply: u8,
    is_error: fn(u8) -> bool,
) -> Option<(u16, u16, Role)> {
    let header: [u8; 8] = ctx.load(transport).ok()?;
    let kind = header[0];
    let identifier = u16::from_be_bytes([header[4], header[5]]);
    if kind == echo_request {
        Some((identifier, identifier, Role::Opens))
    } else if kind == echo_reply {
        Some((identifier, identifier, Role::Answers))
    } else if is_error(kind) {
        Some((0, 0, Role::Related))
    } else {
        None
    }
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

/// Compares as four words: a byte loop would be unrolled into a large program.
#[inline(always)]
fn compare(left: &[u8; 16], right: &[u8; 16]) -> core::cmp::Ordering {
    // SAFETY: sixteen bytes on either side, read without alignment.
    let (left, right) = unsafe {
        (
            core::ptr::read_unaligned(left.as_ptr().cast::<[u64; 2]>()),
            core::ptr::read_unaligned(right.as_ptr().cast::<[u64; 2]>()),
        )
    };
    // Any order will do as long as it is always the same one.
    if left[0] != right[0] {
        left[0].cmp(&right[0])
    } else {
        left[1].cmp(&right[1])
    }
}
