//! Which packets hold the beginning of a message that user space can read.

use crate::{
    tuple::Tuple,
    walk::{Bytes, Headers, TCP, UDP},
};

const DNS_PORT: u16 = 53;
const DNS_HEADER: usize = 12;

/// Whether this is DNS, the head of an HTTP/1 message, a TLS ClientHello or a QUIC Initial.
#[inline(always)]
pub(crate) fn begins_message(bytes: &Bytes, headers: &Headers, tuple: &Tuple) -> bool {
    let at = tuple.payload as usize;
    if at == 0 {
        return false;
    }
    if tuple.source_port == DNS_PORT || tuple.destination_port == DNS_PORT {
        return bytes.at::<1>(at + DNS_HEADER).is_some();
    }
    match headers.protocol {
        TCP => bytes
            .at(at)
            .is_some_and(|first: [u8; 6]| is_http(first) || is_client_hello(first)),
        UDP => bytes.at(at).is_some_and(is_quic_initial),
        _ => false,
    }
}

/// A request line's method or a status line's version (RFC 9110, section 9; RFC 9112, section 4).
#[inline(always)]
fn is_http(first: [u8; 6]) -> bool {
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
fn is_client_hello(first: [u8; 6]) -> bool {
    first[0] == 0x16 && first[1] == 0x03 && first[5] == 0x01
}

/// A long header of the Initial type (RFC 9000, section 17.2; RFC 9369, section 3.2).
#[inline(always)]
fn is_quic_initial(first: [u8; 5]) -> bool {
    const VERSION_1: u32 = 1;
    const VERSION_2: u32 = 0x6b33_43cf;
    let version = u32::from_be_bytes([first[1], first[2], first[3], first[4]]);
    match first[0] & 0xf0 {
        0xc0 => version == VERSION_1,
        0xd0 => version == VERSION_2,
        _ => false,
    }
}
