//! Which packets hold the beginning of a message that user space can read.

use probe_events::MAX_AWAITED_BYTES;

use crate::{
    tuple::Tuple,
    walk::{TCP, UDP},
};

const DNS_PORT: u16 = 53;
const DNS_HEADER: u32 = 12;
const TLS_RECORD_HEADER: u32 = 5;
/// So many bytes of a message tell what it is.
pub(crate) const TELLING_BYTES: usize = 6;

/// Whether a packet of this length can hold a message that is told by its first bytes, or holds one
/// that is told by its ports.
#[derive(Clone, Copy)]
pub(crate) enum Hint {
    /// There is none.
    None,
    /// DNS, by its port.
    Message,
    /// What [`begun`] says of the first bytes.
    AskBytes,
}

#[inline(always)]
pub(crate) fn hint(tuple: &Tuple, protocol: u8, packet_len: u32) -> Hint {
    let at = tuple.payload;
    if at == 0 || packet_len <= at {
        return Hint::None;
    }
    if tuple.source_port != DNS_PORT && tuple.destination_port != DNS_PORT {
        return if packet_len < at + TELLING_BYTES as u32 {
            Hint::None
        } else {
            Hint::AskBytes
        };
    }
    // Over TCP a message may come in any pieces, its length alone among them.
    if protocol == TCP || packet_len > at + DNS_HEADER {
        Hint::Message
    } else {
        Hint::None
    }
}

/// What a packet begins.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    /// A message that user space can read.
    pub(crate) is_message: bool,
    /// Of these, a ClientHello, which is captured further.
    pub(crate) is_hello: bool,
    /// Bytes of it that are not in the packet.
    pub(crate) awaits: u16,
}

impl Begun {
    pub(crate) const NOTHING: Self = Self {
        is_message: false,
        is_hello: false,
        awaits: 0,
    };
    /// A message that is read as far as it is in the packet.
    pub(crate) const MESSAGE: Self = Self {
        is_message: true,
        is_hello: false,
        awaits: 0,
    };
}

/// Whether this is the head of an HTTP/1 message, a TLS ClientHello or a QUIC Initial, given the
/// first bytes of a payload and how long it is.
#[inline(always)]
pub(crate) fn begun(first: [u8; TELLING_BYTES], protocol: u8, len: u32) -> Begun {
    match protocol {
        TCP if is_client_hello(first) => {
            let record = u32::from(u16::from_be_bytes([first[3], first[4]])) + TLS_RECORD_HEADER;
            let rest = record.saturating_sub(len).min(u32::from(MAX_AWAITED_BYTES));
            Begun {
                is_message: true,
                is_hello: true,
                awaits: rest as u16,
            }
        }
        TCP if is_http(first) => Begun::MESSAGE,
        // What a hello has no room for here is in another Initial, which tells of itself.
        UDP if is_quic_initial(first) => Begun {
            is_hello: true,
            ..Begun::MESSAGE
        },
        _ => Begun::NOTHING,
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
