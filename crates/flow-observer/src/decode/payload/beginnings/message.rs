//! What is there of a message that waits for its end.

use super::{Application, PayloadError, Piece, Protocol, quic};
use crate::decode::payload::{dns, http, tls};

/// Bytes of one message: what a TLS record may hold, several times any hello in use, and twice what
/// web servers take of a head.
pub(super) const MAX_LEN: usize = 16 * 1024;
/// Pieces of one message. Browsers cut a hello into a dozen; programs write a head line by line.
const MAX_PIECES: usize = 64;

/// What is there of a message.
#[derive(Debug)]
pub(super) struct Message {
    /// `None` as long as the first piece is missing.
    pub(super) protocol: Option<Protocol>,
    /// When any of it was seen first.
    pub(super) since_ns: i64,
    /// When its first piece was.
    pub(super) first_ns: i64,
    /// TCP's sequence number of its first byte.
    pub(super) sequence: u32,
    pieces: Vec<(u64, Box<[u8]>)>,
}

impl Message {
    pub(super) fn new(protocol: Protocol, first: &Piece<'_>) -> Self {
        Self {
            protocol: Some(protocol),
            since_ns: first.time_ns,
            first_ns: first.time_ns,
            sequence: first.sequence,
            pieces: Vec::new(),
        }
    }

    /// One of which nothing is known but where it begins.
    pub(super) fn without_first(sequence: u32, now_ns: i64) -> Self {
        Self {
            protocol: None,
            since_ns: now_ns,
            first_ns: now_ns,
            sequence,
            pieces: Vec::new(),
        }
    }

    /// The first piece is there.
    pub(super) fn begin(&mut self, protocol: Protocol, now_ns: i64) {
        self.protocol = Some(protocol);
        self.first_ns = now_ns;
    }

    /// Whether all that is known of it is that it begins there.
    pub(super) fn is_early(&self, sequence: u32) -> bool {
        self.protocol.is_none() && self.sequence == sequence
    }

    /// Where a segment stands in the message, when it is one over TCP that has begun.
    pub(super) fn offset(&self, sequence: u32) -> Option<u32> {
        let offset = sequence.wrapping_sub(self.sequence);
        let is_stream = self.protocol.is_some_and(|it| it != Protocol::Quic);
        (is_stream && (offset as usize) < MAX_LEN).then_some(offset)
    }

    /// A short name for counters.
    pub(super) fn name(&self) -> &'static str {
        self.protocol.map_or("early", Protocol::name)
    }

    /// Bytes of all pieces.
    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(|(_, piece)| piece.len()).sum()
    }

    /// Takes a piece; false when there is no room for it.
    pub(super) fn add(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let is_known = |(at, piece): &(u64, Box<[u8]>)| *at == offset && piece.len() >= bytes.len();
        if bytes.is_empty() || self.pieces.iter().any(is_known) {
            return true;
        }
        if self.pieces.len() >= MAX_PIECES || self.len() + bytes.len() > MAX_LEN {
            return false;
        }
        self.pieces.push((offset, bytes.into()));
        true
    }

    /// Puts together what there is without a gap.
    pub(super) fn join(&self, joined: &mut Vec<u8>) {
        let fragments = self.pieces.iter().map(|(offset, bytes)| quic::Fragment {
            offset: *offset,
            bytes,
        });
        joined.clear();
        quic::join(fragments, joined);
    }
}

/// Whether an application says all that is looked for.
pub(super) fn is_enough(application: &Application<'_>) -> bool {
    let has_name = |hello: &tls::ClientHello<'_>| !hello.is_cut || hello.server_name.is_some();
    match application {
        Application::Dns(message) => !message.is_cut(),
        Application::Tls(hello) => has_name(hello),
        Application::Quic(initial) => initial.client_hello.as_ref().is_some_and(has_name),
        Application::HttpRequest(request) => !request.is_cut || request.is_full(),
        Application::HttpResponse(response) => !response.is_cut || response.is_full(),
    }
}

/// What a message says as far as it is there.
pub(super) fn read<'a>(
    protocol: Protocol,
    joined: &'a [u8],
    gathered: &'a mut Vec<u8>,
) -> Result<Application<'a>, PayloadError> {
    match protocol {
        Protocol::Dns => super::super::domain_names(joined, dns::Framing::Stream)?.ok_or(
            PayloadError::Malformed {
                protocol,
                what: "operation",
            },
        ),
        Protocol::Http => match http::may_hold(joined) {
            Some(http::Head::Request) => http::request(joined).map(Application::HttpRequest),
            _ => http::response(joined).map(Application::HttpResponse),
        },
        Protocol::Quic => quic::Initial::of_handshake(joined).map(Application::Quic),
        Protocol::Tls => tls::parse(joined, gathered).map(Application::Tls),
    }
}
