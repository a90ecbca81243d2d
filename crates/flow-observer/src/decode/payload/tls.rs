//! The ClientHello of TLS (RFC 8446, 4.1.2): which server is meant, and what is offered.
//!
//! In: a TCP payload that begins with a TLS record ([`may_hold`]), or the handshake bytes of a QUIC
//! Initial. Out: a [`ClientHello`] that borrows them. A hello that is spread over several records
//! is put together first; of one that the capture or the segment cut, the extensions that are
//! complete are told.

use std::fmt;

use super::{PayloadError, Protocol, reader::Reader};

const RECORD_HANDSHAKE: u8 = 22;
const RECORD_HEADER_LEN: usize = 5;
/// What a record may hold at most (RFC 8446, 5.1).
const MAX_RECORD_LEN: usize = 1 << 14;
const HANDSHAKE_CLIENT_HELLO: u8 = 1;
const HANDSHAKE_HEADER_LEN: usize = 4;

const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_ALPN: u16 = 16;
const EXTENSION_SUPPORTED_VERSIONS: u16 = 43;
const EXTENSION_ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

const CUT: PayloadError = PayloadError::Cut {
    protocol: Protocol::Tls,
};

fn malformed(what: &'static str) -> PayloadError {
    PayloadError::Malformed {
        protocol: Protocol::Tls,
        what,
    }
}

/// A ClientHello, as far as it was captured.
#[derive(Clone, Copy, Debug)]
pub struct ClientHello<'a> {
    /// The name of the server that is meant (SNI). With an encrypted hello inside, this may be the
    /// name of a provider in front of that server.
    pub server_name: Option<&'a str>,
    /// Whether the extension for an encrypted hello is there (RFC 9849). Browsers also send it
    /// without one, filled with random bytes, and nobody between can tell the difference.
    pub may_be_encrypted: bool,
    /// Whether the hello goes on after these bytes, so that what was not found may yet come.
    pub is_cut: bool,
    legacy_version: Version,
    versions: &'a [u8],
    alpn: &'a [u8],
}

/// Whether a payload begins like a TLS record with a ClientHello.
#[must_use]
pub fn may_hold(payload: &[u8]) -> bool {
    matches!(
        payload,
        [RECORD_HANDSHAKE, 3, 0..=4, _, _, HANDSHAKE_CLIENT_HELLO, ..]
    )
}

/// Reads the ClientHello of a TCP payload. `gathered` is room for one that is spread over records.
///
/// # Errors
/// [`PayloadError::Cut`] when there are too few bytes to tell anything; [`PayloadError::Malformed`]
/// when this is no ClientHello.
pub fn parse<'a>(
    payload: &'a [u8],
    gathered: &'a mut Vec<u8>,
) -> Result<ClientHello<'a>, PayloadError> {
    let mut records = Reader::new(payload);
    let first = next_fragment(&mut records)?.ok_or(CUT)?;
    if is_whole(first) || records.rest().is_empty() {
        return client_hello(first);
    }
    gathered.clear();
    gathered.extend_from_slice(first);
    while !is_whole(gathered) {
        match next_fragment(&mut records)? {
            Some(fragment) => gathered.extend_from_slice(fragment),
            None => break,
        }
    }
    client_hello(gathered)
}

/// What is there of the next record's fragment; `None` when not even its header is.
fn next_fragment<'a>(records: &mut Reader<'a>) -> Result<Option<&'a [u8]>, PayloadError> {
    let Some([kind, major, _, high, low]) = records.array::<RECORD_HEADER_LEN>() else {
        return Ok(None);
    };
    if kind != RECORD_HANDSHAKE || major != 3 {
        return Err(malformed("record type"));
    }
    let len = usize::from(u16::from_be_bytes([high, low]));
    if !(1..=MAX_RECORD_LEN).contains(&len) {
        return Err(malformed("record length"));
    }
    Ok(records.take(len.min(records.rest().len())))
}

/// Whether the first message of these handshake bytes is complete.
fn is_whole(handshake: &[u8]) -> bool {
    message_len(handshake).is_some_and(|len| handshake.len() >= HANDSHAKE_HEADER_LEN + len)
}

fn message_len(handshake: &[u8]) -> Option<usize> {
    let [_, high, middle, low] = *handshake.first_chunk::<HANDSHAKE_HEADER_LEN>()?;
    Some(u32::from_be_bytes([0, high, middle, low]) as usize)
}

/// Reads the ClientHello that handshake bytes begin with, without records around them.
///
/// # Errors
/// As [`parse`].
pub fn client_hello(handshake: &[u8]) -> Result<ClientHello<'_>, PayloadError> {
    match handshake.first() {
        None => return Err(CUT),
        Some(&HANDSHAKE_CLIENT_HELLO) => {}
        Some(_) => return Err(malformed("handshake type")),
    }
    let len = message_len(handshake).ok_or(CUT)?;
    let body = handshake.get(HANDSHAKE_HEADER_LEN..).unwrap_or_default();
    let is_whole = body.len() >= len;
    let mut fields = Reader::new(body.get(..len).unwrap_or(body));
    let mut hello = ClientHello {
        server_name: None,
        may_be_encrypted: false,
        is_cut: !is_whole,
        legacy_version: Version(fields.u16().ok_or(CUT)?),
        versions: &[],
        alpn: &[],
    };
    match hello.read(&mut fields) {
        Err(CUT) if is_whole => Err(malformed("length in a ClientHello")),
        Ok(()) | Err(CUT) => Ok(hello),
        Err(error) => Err(error),
    }
}

impl<'a> ClientHello<'a> {
    /// The application protocols that are offered, as in `h2`; nothing when the client left it out.
    pub fn alpn(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut list = Reader::new(self.alpn);
        std::iter::from_fn(move || list.vector8())
    }

    /// The versions that are offered, best first, without the made-up ones that keep servers
    /// tolerant (RFC 8701).
    pub fn versions(&self) -> impl Iterator<Item = Version> + use<'a> {
        // Before TLS 1.3 there was one version, which every older one was implied by.
        let legacy = (self.versions.is_empty() && !self.is_cut).then_some(self.legacy_version);
        let mut list = Reader::new(self.versions);
        std::iter::from_fn(move || list.u16())
            .filter(|number| number & 0x0f0f != 0x0a0a)
            .map(Version)
            .chain(legacy)
    }

    /// The rest of the hello, after its version.
    fn read(&mut self, fields: &mut Reader<'a>) -> Result<(), PayloadError> {
        let _random = fields.array::<32>().ok_or(CUT)?;
        let _session_id = fields.vector8().ok_or(CUT)?;
        let _cipher_suites = fields.vector16().ok_or(CUT)?;
        let _compression_methods = fields.vector8().ok_or(CUT)?;
        if fields.rest().is_empty() && !self.is_cut {
            // Older than extensions.
            return Ok(());
        }
        let len = usize::from(fields.u16().ok_or(CUT)?);
        let rest = fields.rest();
        let mut extensions = Reader::new(rest.get(..len).unwrap_or(rest));
        while !extensions.rest().is_empty() {
            let kind = extensions.u16().ok_or(CUT)?;
            let data = extensions.vector16().ok_or(CUT)?;
            self.extension(kind, data)?;
        }
        if rest.len() < len { Err(CUT) } else { Ok(()) }
    }

    fn extension(&mut self, kind: u16, data: &'a [u8]) -> Result<(), PayloadError> {
        match kind {
            EXTENSION_SERVER_NAME => {
                self.server_name = Some(server_name(data).ok_or(malformed("server name"))?);
            }
            EXTENSION_ALPN => {
                self.alpn = alpn(data).ok_or(malformed("list of application protocols"))?;
            }
            EXTENSION_SUPPORTED_VERSIONS => {
                self.versions = Reader::new(data)
                    .vector8()
                    .filter(|list| !list.is_empty() && list.len() % 2 == 0)
                    .ok_or(malformed("list of versions"))?;
            }
            EXTENSION_ENCRYPTED_CLIENT_HELLO => self.may_be_encrypted = true,
            _ => {}
        }
        Ok(())
    }
}

/// The one host name of a list of names (RFC 6066, 3).
fn server_name(data: &[u8]) -> Option<&str> {
    const KIND_HOST_NAME: u8 = 0;

    let mut list = Reader::new(Reader::new(data).vector16()?);
    let kind = list.u8()?;
    let name = list.vector16()?;
    let is_good = kind == KIND_HOST_NAME
        && (1..=255).contains(&name.len())
        && name.iter().all(u8::is_ascii_graphic);
    str::from_utf8(name).ok().filter(|_| is_good)
}

/// The list of protocol names, each after its length (RFC 7301, 3.1).
fn alpn(data: &[u8]) -> Option<&[u8]> {
    let list = Reader::new(data).vector16()?;
    let mut names = Reader::new(list);
    while !names.rest().is_empty() {
        names.vector8().filter(|name| !name.is_empty())?;
    }
    Some(list)
}

/// A version of TLS by its number on the wire, shown as in `TLS 1.3`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Version(pub u16);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0x0300 => f.write_str("SSL 3.0"),
            0x0301 => f.write_str("TLS 1.0"),
            0x0302 => f.write_str("TLS 1.1"),
            0x0303 => f.write_str("TLS 1.2"),
            0x0304 => f.write_str("TLS 1.3"),
            other => write!(f, "TLS {other:#06x}"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
