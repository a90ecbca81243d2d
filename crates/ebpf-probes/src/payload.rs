//! Which packets hold the beginning of a message that user space can read.

use crate::{
    tuple::Tuple,
    walk::{TCP, UDP},
};

const DNS_PORT: u16 = 53;
const DNS_HEADER: u32 = 12;
/// So many bytes of a message tell what it is.
pub(crate) const TELLING_BYTES: usize = 6;

/// Whether a packet of this length can hold a message that is told by its first bytes, or holds one
/// that is told by its ports.
pub(crate) enum Hint {
    /// There is none.
    None,
    /// DNS, by its port.
    Message,
    /// What [`begins_message`] says of the first bytes.
    AskBytes,
}

#[inline(always)]
pub(crate) fn hint(tuple: &Tuple, packet_len: u32) -> Hint {
    let at = tuple.payload;
    if at == 0 || packet_len < at + TELLING_BYTES as u32 {
        return Hint::None;
    }
    if tuple.source_port != DNS_PORT && tuple.destination_port != DNS_PORT {
        return Hint::AskBytes;
    }
    if packet_len > at + DNS_HEADER {
        Hint::Message
    } else {
        Hint::None
    }
}

/// Whether this is the head of an HTTP/1 message, a TLS ClientHello or a QUIC Initial.
#[inline(always)]
pub(crate) fn begins_message(first: [u8; TELLING_BYTES], protocol: u8) -> bool {
    match protocol {
        TCP => is_http(first) || is_client_hello(first),
        UDP => is_quic_initial(first),
        _ => false,
    }
}

/// A request line's method or a status line's version (RFC 9110, section 9; RFC 9112, section 4).
#[inline(always)]
fn is_http(first: [u8; TELLING_BYTES]) -> bool {
    let word = u32::from_le_bytes([first[0], first[1], first[2], first[3]]);
    const fn of(text: &[u8; 4]) -> u32 {
        u32::from_le_bytes(*text)
    }
    const GET: u32 = of(b"GET ");
    const HEAD: u32 = of(b"HEAD");
    const POST: u32 = of(b"POST");
    const PUT: u32 = of(b"PUT ");
    const DELETE: u32 = of(b"DELE");
    const OPTIONS: u32 = of(b"OPTI");
    const PATCH: u32 = of(b"PATC");
    const CONNECT: u32 = of(b"CONN");
    const TRACE: u32 = of(b"TRAC");
    const ANSWER: u32 = of(b"HTTP");
    matches!(
        word,
        GET | HEAD | POST | PUT | DELETE | OPTIONS | PATCH | CONNECT | TRACE | ANSWER
    )
}

/// A handshake record of TLS 1.0 or later, as its version says, whose message is a ClientHello
/// (RFC 8446, sections 4 and 5.1).
#[inline(always)]
fn is_client_hello(first: [u8; TELLING_BYTES]) -> bool {
    first[0] == 0x16 && first[1] == 0x03 && first[5] == 0x01
}

/// A long header of the Initial type (RFC 9000, section 17.2; RFC 9369, section 3.2).
#[inline(always)]
fn is_quic_initial(first: [u8; TELLING_BYTES]) -> bool {
    const VERSION_1: u32 = 1;
    const VERSION_2: u32 = 0x6b33_43cf;
    let version = u32::from_be_bytes([first[1], first[2], first[3], first[4]]);
    match first[0] & 0xf0 {
        0xc0 => version == VERSION_1,
        0xd0 => version == VERSION_2,
        _ => false,
    }
}
