//! Messages that begin in one packet and end in another: ClientHellos, which post-quantum keys make
//! too long for one segment, over TCP and QUIC, DNS messages over TCP, and the heads of HTTP.
//!
//! In: payloads in the order in which they were captured. Out: what [`parse`] says of those that
//! stand alone, and of the last piece of the others what it says of all of them. Pieces may come
//! twice and in any order. Before TCP's first piece nothing tells that there is a message; so what
//! comes before it is kept only where the opening of the connection tells that it is missing. How much
//! waits for its end, and how long, is bounded; what is given up is counted as `unfinished`.

mod message;

use std::{net::IpAddr, sync::Arc};

use flow_filter::TcpFlags;
use foldhash::HashMap;

use self::message::{Message, is_enough};
use super::{Application, PayloadError, Protocol, Scratch, parse, quic};
use crate::{counters::Counters, recent::Recent, record::Transport};

/// Messages that wait for their ends. Those ends are a few microseconds behind, unless somebody only
/// begins; then the oldest goes.
const MAX_WAITING: usize = 512;
/// Long enough for a segment to be sent again, twice.
const PATIENCE_NS: i64 = 5_000_000_000;
/// Initial packets that are looked at in one datagram, or in what the kernel is to make several of.
const MAX_PACKETS: usize = 8;
/// Connections that were opened and of which the client has said nothing yet, at least; up to twice as
/// many. They take a round trip each, so that these are some 10,000 new ones a second.
const OPENED: usize = 1024;

const SYN: TcpFlags = TcpFlags::from_bits(0x02);
const ACK: TcpFlags = TcpFlags::from_bits(0x10);

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
    /// Whether all of it was captured. What goes on behind a cut is not waited for.
    pub is_whole: bool,
    /// Whether all packets of the stream are captured, so that the rest of an HTTP head will come, and
    /// what overtook the first segment is here. Those of ClientHellos and of DNS always will.
    pub is_followed: bool,
}

/// What was said, and where it begins.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// What was said.
    pub application: Application<'a>,
    /// The payload from its first byte on, put together if it came in several packets. Of QUIC, what
    /// was encrypted.
    pub bytes: &'a [u8],
    /// TCP's sequence number of that byte.
    pub sequence: u32,
    /// When that byte was seen.
    pub time_ns: i64,
}

/// The beginnings of messages that have no end yet.
#[derive(Debug)]
pub struct Beginnings {
    waiting: HashMap<Stream, Message>,
    /// TCP's sequence number of the first byte that a client will send, and when it opened the
    /// connection.
    opened: Recent<Stream, (u32, i64)>,
    /// No message waits longer than this without being looked at.
    sweep_at_ns: i64,
    room: quic::Room,
    joined: Vec<u8>,
    gathered: Vec<u8>,
    counters: Arc<Counters>,
}

impl Beginnings {
    /// Starts with nothing begun.
    #[must_use]
    pub fn new(counters: Arc<Counters>) -> Self {
        Self {
            waiting: HashMap::default(),
            opened: Recent::with_generation(OPENED),
            sweep_at_ns: i64::MIN,
            room: quic::Room::default(),
            joined: Vec::new(),
            gathered: Vec::new(),
            counters,
        }
    }

    /// Bytes of messages that can wait at most.
    pub const MAX_HELD_BYTES: usize = MAX_WAITING * message::MAX_LEN;

    /// Bytes of messages that wait.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.waiting.values().map(Message::len).sum()
    }

    /// Tells what a payload says, together with what came before it. `None` when it is of no
    /// protocol that is read, or the message goes on.
    pub fn hear<'a>(&'a mut self, piece: Piece<'a>, scratch: &'a mut Scratch) -> Option<Heard<'a>> {
        if piece.bytes.is_empty() {
            self.open(&piece);
            return None;
        }
        if !self.waiting.is_empty() {
            self.sweep(piece.time_ns);
            if let Some(offset) = self.offset(&piece) {
                let fits = self.add(&piece.stream, offset, piece.bytes);
                return self.finish(&piece.stream, !fits || !piece.is_whole);
            }
        }
        let overtook = self.place(&piece);
        let parsed = parse(&piece.transport, piece.bytes, scratch);
        match goes_on(&piece, &parsed) {
            None => {
                // Nothing but its port tells DNS, so that the middle of a message may look like one.
                let is_one =
                    |it: &Application<'_>| overtook.is_none() || !matches!(it, Application::Dns(_));
                let application = parsed.ok().flatten().filter(is_one);
                match overtook {
                    Some(first) if application.is_none() => self.keep(&piece, first),
                    _ => self.forget_early(&piece),
                }
                application.map(|application| Heard {
                    application,
                    bytes: piece.bytes,
                    sequence: piece.sequence,
                    time_ns: piece.time_ns,
                })
            }
            Some(Protocol::Quic) => {
                if let Ok(Some(Application::Quic(initial))) = parsed {
                    self.quic(&piece, &initial);
                }
                self.finish(&piece.stream, false)
            }
            Some(protocol) if piece.is_whole => {
                if let Some(first) = overtook {
                    // Only by chance does the middle of a message look like the beginning of one.
                    self.keep(&piece, first);
                    return None;
                }
                self.begin(&piece, protocol);
                // Captures may have packets that are longer than the messages that wait.
                let fits = self.add(&piece.stream, 0, piece.bytes);
                self.finish(&piece.stream, !fits)
            }
            Some(protocol) => {
                self.counters.note("unfinished", protocol.name());
                None
            }
        }
    }

    /// Notes where the first byte of a client will be.
    fn open(&mut self, piece: &Piece<'_>) {
        if let Transport::Tcp { flags, .. } = piece.transport
            && piece.is_followed
            && flags.contains(SYN)
            && !flags.contains(ACK)
        {
            self.give_up(&piece.stream);
            let opened = (piece.sequence, piece.time_ns);
            self.opened.insert(piece.stream, opened);
        }
    }

    /// Where a TCP segment stands in a message that waits for it.
    fn offset(&self, piece: &Piece<'_>) -> Option<u32> {
        if !matches!(piece.transport, Transport::Tcp { .. }) {
            return None;
        }
        self.waiting.get(&piece.stream)?.offset(piece.sequence)
    }

    /// The number of the first byte of a stream, where a segment has overtaken it.
    fn place(&mut self, piece: &Piece<'_>) -> Option<u32> {
        if !piece.is_followed || self.opened.is_empty() {
            return None;
        }
        let &mut (first, opened_ns) = self.opened.get_mut(&piece.stream)?;
        let is_late = piece.time_ns.saturating_sub(opened_ns) >= PATIENCE_NS;
        if piece.sequence == first || is_late {
            self.opened.remove(&piece.stream);
            return None;
        }
        Some(first)
    }

    /// Keeps a segment that overtook the first of its stream.
    fn keep(&mut self, piece: &Piece<'_>, first: u32) {
        match self.waiting.get(&piece.stream) {
            None => self.insert(piece, Message::without_first(first, piece.time_ns)),
            Some(early) if early.is_early(first) => {}
            Some(_) => return,
        }
        let offset = piece.sequence.wrapping_sub(first);
        if !self.add(&piece.stream, offset, piece.bytes) {
            self.give_up(&piece.stream);
            self.opened.remove(&piece.stream);
        }
    }

    /// Takes what the Initial packets of a datagram carry.
    fn quic(&mut self, piece: &Piece<'_>, first: &quic::Initial<'_>) {
        let is_other = |message: &Message| message.protocol != Some(Protocol::Quic);
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

    /// Begins a message with what overtook its first piece, if anything did.
    fn begin(&mut self, piece: &Piece<'_>, protocol: Protocol) {
        match self.waiting.get_mut(&piece.stream) {
            Some(early) if early.is_early(piece.sequence) => {
                early.begin(protocol, piece.time_ns);
            }
            _ => {
                self.give_up(&piece.stream);
                self.insert(piece, Message::new(protocol, piece));
            }
        }
    }

    /// Lets go what overtook a first piece that tells of nothing that goes on.
    fn forget_early(&mut self, piece: &Piece<'_>) {
        if !piece.is_followed {
            return;
        }
        let early = self.waiting.get(&piece.stream);
        if early.is_some_and(|early| early.is_early(piece.sequence)) {
            self.waiting.remove(&piece.stream);
        }
    }

    fn insert(&mut self, piece: &Piece<'_>, message: Message) {
        if self.waiting.len() >= MAX_WAITING {
            let oldest = self.waiting.iter().min_by_key(|(_, it)| it.since_ns);
            if let Some(stream) = oldest.map(|(stream, _)| *stream) {
                self.give_up(&stream);
            }
        }
        if self.waiting.is_empty() {
            self.sweep_at_ns = piece.time_ns.saturating_add(PATIENCE_NS);
        }
        self.waiting.insert(piece.stream, message);
    }

    /// Adds to a message; false when there is no room.
    fn add(&mut self, stream: &Stream, offset: u32, bytes: &[u8]) -> bool {
        let message = self.waiting.get_mut(stream);
        message.is_some_and(|message| message.add(offset.into(), bytes))
    }

    /// Adds to a message by `add`, which is false when there is no room.
    fn go_on(&mut self, stream: &Stream, add: impl FnOnce(&mut Message) -> bool) {
        if let Some(message) = self.waiting.get_mut(stream)
            && !add(message)
        {
            self.give_up(stream);
        }
    }

    /// What a message says, once it says all that is looked for. When this `is_last` of
    /// it, an HTTP head says what is there.
    fn finish(&mut self, stream: &Stream, is_last: bool) -> Option<Heard<'_>> {
        let message = self.waiting.get(stream)?;
        let protocol = message.protocol?;
        message.join(&mut self.joined);
        let is_finished = match message::read(protocol, &self.joined, &mut self.gathered) {
            Ok(application) => is_enough(&application),
            Err(PayloadError::Cut { .. }) => false,
            // What came is no such message, and will not become one.
            Err(_) => true,
        };
        if !is_finished && !is_last {
            return None;
        }
        let message = self.waiting.remove(stream)?;
        if !is_finished {
            self.counters.note("unfinished", protocol.name());
            if protocol != Protocol::Http {
                return None;
            }
        }
        let application = message::read(protocol, &self.joined, &mut self.gathered).ok()?;
        Some(Heard {
            application,
            bytes: &self.joined,
            sequence: message.sequence,
            time_ns: message.first_ns,
        })
    }

    fn give_up(&mut self, stream: &Stream) {
        if let Some(message) = self.waiting.remove(stream) {
            self.counters.note("unfinished", message.name());
        }
    }

    /// Gives up what waits for too long.
    fn sweep(&mut self, now_ns: i64) {
        if now_ns < self.sweep_at_ns {
            return;
        }
        let counters = &self.counters;
        self.waiting.retain(|_, message| {
            let is_patient = now_ns.saturating_sub(message.since_ns) < PATIENCE_NS;
            if !is_patient {
                counters.note("unfinished", message.name());
            }
            is_patient
        });
        self.sweep_at_ns = now_ns.saturating_add(PATIENCE_NS);
    }
}

/// The protocol of a message whose end, or what is looked for in it, is not in this piece and may be
/// in another.
fn goes_on(
    piece: &Piece<'_>,
    parsed: &Result<Option<Application<'_>>, PayloadError>,
) -> Option<Protocol> {
    let is_tcp = matches!(piece.transport, Transport::Tcp { .. });
    let protocol = match parsed {
        Ok(Some(application)) if !is_enough(application) => match application {
            Application::Dns(_) if is_tcp => Protocol::Dns,
            Application::HttpRequest(_) | Application::HttpResponse(_) => Protocol::Http,
            Application::Tls(_) => Protocol::Tls,
            Application::Quic(initial) => initial.fragments().next().map(|_| Protocol::Quic)?,
            Application::Dns(_) => return None,
        },
        Err(PayloadError::Cut { protocol }) if is_tcp => *protocol,
        _ => return None,
    };
    // More of a head than can be kept does not wait for its rest.
    let may_go_on = piece.is_whole && piece.is_followed && piece.bytes.len() <= message::MAX_LEN;
    (protocol != Protocol::Http || may_go_on).then_some(protocol)
}

#[cfg(test)]
mod tests;
