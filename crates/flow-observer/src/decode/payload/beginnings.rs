//! Messages that begin in one packet and end in another: ClientHellos, which post-quantum keys make
//! too long for one segment, over TCP and QUIC, and DNS messages over TCP.
//!
//! In: payloads in the order in which they were captured. Out: what [`parse`] says of those that
//! stand alone, and of the last piece of the others what it says of all of them. Pieces may come
//! twice and in any order, but for TCP's first, without which nothing tells that there is a message.
//! How much waits for its end, and how long, is bounded; what is given up is counted as
//! `unfinished`.

use std::{net::IpAddr, sync::Arc};

use foldhash::HashMap;

use super::{Application, PayloadError, Protocol, Scratch, dns, parse, quic, tls};
use crate::{counters::Counters, record::Transport};

/// Messages that wait for their ends. Those ends are a few microseconds behind, unless somebody only
/// begins; then the oldest goes.
const MAX_WAITING: usize = 512;
/// Bytes of one message: what a TLS record may hold, and several times any hello in use.
const MAX_LEN: usize = 16 * 1024;
/// Pieces of one message. Browsers cut a hello into a dozen.
const MAX_PIECES: usize = 32;
/// Long enough for a segment to be sent again, twice.
const PATIENCE_NS: i64 = 5_000_000_000;
/// Initial packets that are looked at in one datagram, or in what the kernel is to make several of.
const MAX_PACKETS: usize = 8;

/// One direction of a connection, at one place where it is seen.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Stream {
    /// Who speaks.
    pub source: IpAddr,
    /// Who is spoken to.
    pub destination: IpAddr,
    /// The ports of both.
    pub ports: (u16, u16),
    /// The device where it is seen: a packet passes several, each time as a whole.
    pub device: u32,
}

/// A payload, and where it belongs.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The direction of the connection.
    pub stream: Stream,
    /// The transport header.
    pub transport: Transport,
    /// The payload.
    pub bytes: &'a [u8],
    /// TCP's sequence number of the first byte.
    pub sequence: u32,
    /// When it was seen; nanoseconds since any moment.
    pub time_ns: i64,
}

/// The beginnings of messages that have no end yet.
#[derive(Debug)]
pub struct Beginnings {
    waiting: HashMap<Stream, Message>,
    /// No message waits longer than this without being looked at.
    sweep_at_ns: i64,
    room: quic::Room,
    joined: Vec<u8>,
    gathered: Vec<u8>,
    counters: Arc<Counters>,
}

/// What is there of a message.
#[derive(Debug)]
struct Message {
    protocol: Protocol,
    begun_ns: i64,
    /// TCP's sequence number of its first byte.
    sequence: u32,
    pieces: Vec<(u64, Box<[u8]>)>,
}

impl Message {
    fn new(protocol: Protocol, piece: &Piece<'_>) -> Self {
        Self {
            protocol,
            begun_ns: piece.time_ns,
            sequence: piece.sequence,
            pieces: Vec::new(),
        }
    }

    /// Takes a piece; false when there is no room for it.
    fn add(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let is_known = |(at, piece): &(u64, Box<[u8]>)| *at == offset && piece.len() >= bytes.len();
        if bytes.is_empty() || self.pieces.iter().any(is_known) {
            return true;
        }
        let len: usize = self.pieces.iter().map(|(_, piece)| piece.len()).sum();
        if self.pieces.len() >= MAX_PIECES || len + bytes.len() > MAX_LEN {
            return false;
        }
        self.pieces.push((offset, bytes.into()));
        true
    }

    /// Puts together what there is without a gap.
    fn join(&self, joined: &mut Vec<u8>) {
        let fragments = self.pieces.iter().map(|(offset, bytes)| quic::Fragment {
            offset: *offset,
            bytes,
        });
        joined.clear();
        quic::join(fragments, joined);
    }
}

impl Beginnings {
    /// Starts with nothing begun.
    #[must_use]
    pub fn new(counters: Arc<Counters>) -> Self {
        Self {
            waiting: HashMap::default(),
            sweep_at_ns: i64::MIN,
            room: quic::Room::default(),
            joined: Vec::new(),
            gathered: Vec::new(),
            counters,
        }
    }

    /// Tells what a payload says, together with what came before it. `None` when it is of no
    /// protocol that is read, or the message goes on.
    pub fn hear<'a>(
        &'a mut self,
        piece: Piece<'a>,
        scratch: &'a mut Scratch,
    ) -> Option<Application<'a>> {
        if piece.bytes.is_empty() {
            return None;
        }
        if !self.waiting.is_empty() {
            self.sweep(piece.time_ns);
            if self.is_continued(&piece) {
                let offset = piece
                    .sequence
                    .wrapping_sub(self.waiting.get(&piece.stream)?.sequence);
                self.go_on(&piece.stream, |message| {
                    message.add(offset.into(), piece.bytes)
                });
                return self.finish(&piece.stream);
            }
        }
        let parsed = parse(&piece.transport, piece.bytes, scratch);
        match goes_on(&piece, &parsed) {
            None => parsed.ok().flatten(),
            Some(Protocol::Quic) => {
                if let Ok(Some(Application::Quic(initial))) = parsed {
                    self.quic(&piece, &initial);
                }
                self.finish(&piece.stream)
            }
            Some(protocol) => {
                self.begin(&piece, protocol);
                self.go_on(&piece.stream, |message| message.add(0, piece.bytes));
                None
            }
        }
    }

    /// Whether a TCP segment is part of a message that waits.
    fn is_continued(&self, piece: &Piece<'_>) -> bool {
        let is_tcp = matches!(piece.transport, Transport::Tcp { .. });
        is_tcp
            && self.waiting.get(&piece.stream).is_some_and(|message| {
                let offset = piece.sequence.wrapping_sub(message.sequence);
                message.protocol != Protocol::Quic && (offset as usize) < MAX_LEN
            })
    }

    /// Takes what the Initial packets of a datagram carry.
    fn quic(&mut self, piece: &Piece<'_>, first: &quic::Initial<'_>) {
        let is_other = |message: &Message| message.protocol != Protocol::Quic;
        if self.waiting.get(&piece.stream).is_none_or(is_other) {
            self.begin(piece, Protocol::Quic);
        }
        let take = |message: &mut Message, initial: &quic::Initial<'_>| {
            let mut fragments = initial.fragments();
            fragments.all(|fragment| message.add(fragment.offset, fragment.bytes))
        };
        self.go_on(&piece.stream, |message| take(message, first));
        let mut rest = piece.bytes.get(first.len..).unwrap_or_default();
        for _ in 1..MAX_PACKETS {
            let mut room = std::mem::take(&mut self.room);
            let len = match quic::parse(rest, &mut room) {
                Ok(next) if next.destination_id == first.destination_id => {
                    self.go_on(&piece.stream, |message| take(message, &next));
                    next.len
                }
                _ => 0,
            };
            self.room = room;
            match rest.get(len..) {
                Some(after) if len > 0 => rest = after,
                _ => return,
            }
        }
    }

    fn begin(&mut self, piece: &Piece<'_>, protocol: Protocol) {
        if self.waiting.len() >= MAX_WAITING {
            let oldest = self.waiting.iter().min_by_key(|(_, it)| it.begun_ns);
            if let Some(stream) = oldest.map(|(stream, _)| *stream) {
                self.give_up(&stream);
            }
        }
        self.waiting
            .insert(piece.stream, Message::new(protocol, piece));
        self.sweep_at_ns = self
            .sweep_at_ns
            .max(piece.time_ns.saturating_add(PATIENCE_NS));
    }

    /// Adds to a message by `add`, which is false when there is no room.
    fn go_on(&mut self, stream: &Stream, add: impl FnOnce(&mut Message) -> bool) {
        if let Some(message) = self.waiting.get_mut(stream)
            && !add(message)
        {
            self.give_up(stream);
        }
    }

    /// What a message says, once it says all that is looked for.
    fn finish(&mut self, stream: &Stream) -> Option<Application<'_>> {
        let message = self.waiting.get(stream)?;
        message.join(&mut self.joined);
        let protocol = message.protocol;
        let is_over = match read(protocol, &self.joined, &mut self.gathered) {
            Ok(application) => is_enough(&application),
            Err(PayloadError::Cut { .. }) => false,
            // What came is no such message, and will not become one.
            Err(_) => true,
        };
        if !is_over {
            return None;
        }
        self.waiting.remove(stream);
        read(protocol, &self.joined, &mut self.gathered).ok()
    }

    fn give_up(&mut self, stream: &Stream) {
        if let Some(message) = self.waiting.remove(stream) {
            self.counters.note("unfinished", message.protocol.name());
        }
    }

    /// Gives up what waits for too long.
    fn sweep(&mut self, now_ns: i64) {
        if now_ns < self.sweep_at_ns {
            return;
        }
        let counters = &self.counters;
        self.waiting.retain(|_, message| {
            let is_patient = now_ns.saturating_sub(message.begun_ns) < PATIENCE_NS;
            if !is_patient {
                counters.note("unfinished", message.protocol.name());
            }
            is_patient
        });
        self.sweep_at_ns = now_ns.saturating_add(PATIENCE_NS);
    }
}

/// The protocol of a message whose end, or what is looked for in it, is not in this piece.
fn goes_on(
    piece: &Piece<'_>,
    parsed: &Result<Option<Application<'_>>, PayloadError>,
) -> Option<Protocol> {
    let is_tcp = matches!(piece.transport, Transport::Tcp { .. });
    match parsed {
        Ok(Some(application)) if !is_enough(application) => match application {
            Application::Dns(_) if is_tcp => Some(Protocol::Dns),
            Application::Tls(_) => Some(Protocol::Tls),
            Application::Quic(initial) => initial.fragments().next().map(|_| Protocol::Quic),
            _ => None,
        },
        Err(PayloadError::Cut { protocol }) if is_tcp => {
            matches!(protocol, Protocol::Dns | Protocol::Tls).then_some(*protocol)
        }
        _ => None,
    }
}

/// Whether an application says all that is looked for.
fn is_enough(application: &Application<'_>) -> bool {
    let has_name = |hello: &tls::ClientHello<'_>| !hello.is_cut || hello.server_name.is_some();
    match application {
        Application::Dns(message) => !message.is_cut(),
        Application::Tls(hello) => has_name(hello),
        Application::Quic(initial) => initial.client_hello.as_ref().is_some_and(has_name),
        Application::HttpRequest(_) | Application::HttpResponse(_) => true,
    }
}

fn read<'a>(
    protocol: Protocol,
    joined: &'a [u8],
    gathered: &'a mut Vec<u8>,
) -> Result<Application<'a>, PayloadError> {
    match protocol {
        Protocol::Dns => dns::parse(joined, dns::Framing::Stream).map(Application::Dns),
        Protocol::Quic => quic::Initial::of_handshake(joined).map(Application::Quic),
        Protocol::Tls | Protocol::Http => tls::parse(joined, gathered).map(Application::Tls),
    }
}

#[cfg(test)]
mod tests;
