//! What the kernel's connection tracking says: messages of ctnetlink.
//!
//! In: a datagram of the netlink socket. Out: one [`Said`] for each message in it. Layouts are those
//! of `linux/netlink.h`, `linux/netfilter/nfnetlink.h` and `linux/netfilter/nfnetlink_conntrack.h`:
//! headers and lengths in the machine's order of bytes, ports in the network's. Of a message's many
//! attributes only the two tuples are read, where they lie.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::libc::{NFNL_SUBSYS_CTNETLINK, NLMSG_DONE, NLMSG_ERROR};

use crate::translation::{End, Ends, SCTP, TCP, Translation, UDP};

/// `struct nlmsghdr`, and `struct nfgenmsg` behind it.
const HEADER_BYTES: usize = 16;
const FAMILY_BYTES: usize = 4;
/// `enum cntl_msg_types`.
pub(super) const CT_NEW: u8 = 0;
pub(super) const CT_GET: u8 = 1;
const CT_DELETE: u8 = 2;
/// The table changed while it was handed out.
const NLM_F_DUMP_INTR: u16 = 0x10;
/// Two bits of an attribute's type are flags.
const ATTRIBUTE_TYPE: u16 = 0x3fff;

/// `enum ctattr_type`.
pub(super) const CTA_TUPLE_ORIG: u16 = 1;
pub(super) const CTA_TUPLE_REPLY: u16 = 2;
/// `enum ctattr_tuple`.
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
/// `enum ctattr_ip`.
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
/// `enum ctattr_l4proto`.
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// One message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Said {
    /// There is a translated connection.
    Is(Translation),
    /// There no longer is.
    Ended(Translation),
    /// About a connection that is not translated, or of a protocol without ports.
    NotOfInterest,
    /// The table was handed out.
    Done,
    /// The table changed while it was handed out: parts may be missing.
    Interrupted,
    /// A question was refused, with this number of an error; 0 is none.
    Refused(i32),
    /// The rest cannot be read.
    Malformed,
}

/// The messages of a datagram.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Said> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = take_message(&mut rest);
        if message.is_none() {
            rest = &[];
        }
        Some(message.unwrap_or(Said::Malformed))
    })
}

fn take_message(rest: &mut &[u8]) -> Option<Said> {
    let (&length, _) = rest.split_first_chunk()?;
    let length = u32::from_ne_bytes(length) as usize;
    let message = rest.get(..length)?;
    let (header, body) = message.split_at_checked(HEADER_BYTES)?;
    *rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    let flags = u16::from_ne_bytes([header[6], header[7]]);
    match i32::from(kind) {
        NLMSG_DONE | NLMSG_ERROR => {
            let (&code, _) = body.split_first_chunk()?;
            return Some(match (i32::from_ne_bytes(code), i32::from(kind)) {
                (0, NLMSG_DONE) if flags & NLM_F_DUMP_INTR != 0 => Said::Interrupted,
                (0, NLMSG_DONE) => Said::Done,
                (code, _) => Said::Refused(code.saturating_neg()),
            });
        }
        _ => {}
    }
    let [command, subsystem] = kind.to_le_bytes();
    if i32::from(subsystem) != NFNL_SUBSYS_CTNETLINK {
        return Some(Said::NotOfInterest);
    }
    let translation = match translation(body.get(FAMILY_BYTES..)?) {
        Ok(Some(translation)) => translation,
        Ok(None) => return Some(Said::NotOfInterest),
        Err(Malformed) => return Some(Said::Malformed),
    };
    Some(match command {
        CT_NEW => Said::Is(translation),
        CT_DELETE => Said::Ended(translation),
        _ => Said::NotOfInterest,
    })
}

/// An attribute that is shorter than it says, or than its kind needs.
struct Malformed;

/// `None` for what is not translated.
fn translation(attributes: &[u8]) -> Result<Option<Translation>, Malformed> {
    let (mut original, mut reply) = (None, None);
    for attribute in Attributes(attributes) {
        let (kind, value) = attribute?;
        match kind {
            CTA_TUPLE_ORIG => original = tuple(value)?,
            CTA_TUPLE_REPLY => reply = tuple(value)?,
            _ => {}
        }
        // They are the first two.
        if original.is_some() && reply.is_some() {
            break;
        }
    }
    let (Some((protocol, original)), Some((_, reply))) = (original, reply) else {
        return Ok(None);
    };
    let translated = reply.reversed();
    Ok((original != translated).then_some(Translation {
        protocol,
        original,
        translated,
        socket_cookie: 0,
    }))
}

/// Protocol and ends; `None` for protocols without ports.
fn tuple(attributes: &[u8]) -> Result<Option<(u8, Ends)>, Malformed> {
    let (mut addresses, mut ports, mut protocol) = ([None; 2], [None; 2], None);
    for attribute in Attributes(attributes) {
        let (kind, value) = attribute?;
        for inner in Attributes(value) {
            let (inner, value) = inner?;
            match (kind, inner) {
                (CTA_TUPLE_IP, CTA_IP_V4_SRC) => addresses[0] = Some(ipv4(value)?),
                (CTA_TUPLE_IP, CTA_IP_V4_DST) => addresses[1] = Some(ipv4(value)?),
                (CTA_TUPLE_IP, CTA_IP_V6_SRC) => addresses[0] = Some(ipv6(value)?),
                (CTA_TUPLE_IP, CTA_IP_V6_DST) => addresses[1] = Some(ipv6(value)?),
                (CTA_TUPLE_PROTO, CTA_PROTO_NUM) => protocol = Some(bytes::<1>(value)?[0]),
                (CTA_TUPLE_PROTO, CTA_PROTO_SRC_PORT) => ports[0] = Some(port(value)?),
                (CTA_TUPLE_PROTO, CTA_PROTO_DST_PORT) => ports[1] = Some(port(value)?),
                _ => {}
            }
        }
    }
    let (
        Some(protocol @ (TCP | UDP | SCTP)),
        [Some(source), Some(destination)],
        [Some(from), Some(to)],
    ) = (protocol, addresses, ports)
    else {
        return Ok(None);
    };
    let end = |ip, port| End { ip, port };
    let ends = Ends {
        source: end(source, from),
        destination: end(destination, to),
    };
    Ok(Some((protocol, ends)))
}

fn ipv4(value: &[u8]) -> Result<IpAddr, Malformed> {
    Ok(Ipv4Addr::from(bytes::<4>(value)?).into())
}

fn ipv6(value: &[u8]) -> Result<IpAddr, Malformed> {
    Ok(Ipv6Addr::from(bytes::<16>(value)?).into())
}

fn port(value: &[u8]) -> Result<u16, Malformed> {
    Ok(u16::from_be_bytes(bytes(value)?))
}

fn bytes<const N: usize>(value: &[u8]) -> Result<[u8; N], Malformed> {
    value.first_chunk().copied().ok_or(Malformed)
}

/// `struct nlattr`: length with these four bytes (2), type (2), value, zeros to a multiple of four.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        const HEADER: usize = 4;
        let &[a, b, c, d, ..] = self.0 else {
            let is_over = self.0.is_empty();
            self.0 = &[];
            return (!is_over).then_some(Err(Malformed));
        };
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let kind = u16::from_ne_bytes([c, d]) & ATTRIBUTE_TYPE;
        let Some(value) = self.0.get(HEADER..length) else {
            self.0 = &[];
            return Some(Err(Malformed));
        };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok((kind, value)))
    }
}

#[cfg(test)]
pub(super) mod tests;
