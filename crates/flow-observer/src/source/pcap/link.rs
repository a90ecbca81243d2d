//! Link layers of capture files (the list of `LINKTYPE_` numbers at tcpdump.org).

use crate::decode::Start;

const NULL: u16 = 0;
const ETHERNET: u16 = 1;
/// What systems call raw IP when they forget to translate their own number.
const RAW_OF_SOME: u16 = 12;
const RAW_OF_OPENBSD: u16 = 14;
const RAW: u16 = 101;
const LOOP: u16 = 108;
const LINUX_COOKED: u16 = 113;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
const LINUX_COOKED_2: u16 = 276;

/// Why a packet cannot be read.
const SHORT: &str = "short_packet";
const NOT_IP: &str = "not_ip";

/// A packet behind the headers that only capture files have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stripped<'a> {
    pub(super) start: Start,
    pub(super) bytes: &'a [u8],
}

pub(super) fn is_known(link_type: u16) -> bool {
    matches!(
        link_type,
        NULL | ETHERNET
            | RAW_OF_SOME
            | RAW_OF_OPENBSD
            | RAW
            | LOOP
            | LINUX_COOKED
            | IPV4
            | IPV6
            | LINUX_COOKED_2
    )
}

/// What a link layer that we do not know is called.
pub(super) fn name(link_type: u16) -> &'static str {
    match link_type {
        6 => "token ring",
        9 => "PPP",
        10 => "FDDI",
        50 => "PPP in HDLC framing",
        51 => "PPPoE",
        104 => "Cisco HDLC",
        105 => "IEEE 802.11",
        107 => "frame relay",
        117 => "OpenBSD pflog",
        119 => "IEEE 802.11 with Prism headers",
        127 => "IEEE 802.11 with radiotap headers",
        147..=162 => "reserved for private use",
        163 => "IEEE 802.11 with AVS headers",
        187 | 201 => "Bluetooth HCI",
        189 | 220 | 249 => "USB",
        192 => "per-packet information",
        195 | 215 | 230 => "IEEE 802.15.4",
        227 => "CAN",
        239 => "netfilter log",
        253 => "netlink",
        _ => "unknown",
    }
}

/// Takes off what is no header of the packet itself.
#[inline]
pub(super) fn strip(link_type: u16, bytes: &[u8]) -> Result<Stripped<'_>, &'static str> {
    let (start, header_len) = match link_type {
        ETHERNET => (Start::Ethernet, 0),
        RAW | RAW_OF_SOME | RAW_OF_OPENBSD => (Start::Ip, 0),
        IPV4 => (Start::Ipv4, 0),
        IPV6 => (Start::Ipv6, 0),
        NULL | LOOP => (family(bytes.first_chunk().ok_or(SHORT)?)?, 4),
        LINUX_COOKED => {
            let header: &[u8; 16] = bytes.first_chunk().ok_or(SHORT)?;
            cooked([header[2], header[3]], [header[14], header[15]], 16)?
        }
        LINUX_COOKED_2 => {
            let header: &[u8; 20] = bytes.first_chunk().ok_or(SHORT)?;
            cooked([header[8], header[9]], [header[0], header[1]], 20)?
        }
        _ => return Err("unknown_link_type"),
    };
    Ok(Stripped {
        start,
        bytes: bytes.get(header_len..).ok_or(SHORT)?,
    })
}

/// The address family, as the capturing system numbers it, in whichever byte order: the numbers
/// are small.
fn family(header: &[u8; 4]) -> Result<Start, &'static str> {
    const INET: u32 = 2;
    /// Linux, NetBSD and OpenBSD, FreeBSD, macOS.
    const INET6: [u32; 4] = [10, 24, 28, 30];
    let family = u32::from_le_bytes(*header);
    match if family > 0xffff {
        family.swap_bytes()
    } else {
        family
    } {
        INET => Ok(Start::Ipv4),
        family if INET6.contains(&family) => Ok(Start::Ipv6),
        _ => Err(NOT_IP),
    }
}

/// What both versions of Linux's cooked header tell: the kind of device, and the protocol, which is
/// an EtherType unless the device is of a kind that has its own.
fn cooked(
    device: [u8; 2],
    protocol: [u8; 2],
    header_len: usize,
) -> Result<(Start, usize), &'static str> {
    const ARPHRD_NETLINK: u16 = 824;
    if u16::from_be_bytes(device) == ARPHRD_NETLINK {
        return Err(NOT_IP);
    }
    Ok((Start::EtherType(u16::from_be_bytes(protocol)), header_len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_families_are_known_in_both_byte_orders() {
        for (header, expected) in [
            ([2, 0, 0, 0], Ok(Start::Ipv4)),
            ([0, 0, 0, 2], Ok(Start::Ipv4)),
            ([30, 0, 0, 0], Ok(Start::Ipv6)),
            ([0, 0, 0, 10], Ok(Start::Ipv6)),
            ([7, 0, 0, 0], Err(NOT_IP)),
        ] {
            assert_eq!(family(&header), expected, "{header:?}");
        }
    }

    #[test]
    fn a_packet_shorter_than_its_link_header_is_refused() {
        for (link_type, len) in [
            (NULL, 4),
            (LOOP, 4),
            (LINUX_COOKED, 16),
            (LINUX_COOKED_2, 20),
        ] {
            let header = [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            assert_eq!(strip(link_type, &header[..len - 1]), Err(SHORT));
            assert!(strip(link_type, &header[..len]).is_ok());
        }
    }
}
