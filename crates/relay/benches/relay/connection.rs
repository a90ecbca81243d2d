//! One connection to a mock peer: HTTP/2 as far as it goes.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::atomic::Ordering,
    time::Duration,
};

use flow_api::observer::GetFlowsRequest;
use tokio::{
    io::Interest,
    net::TcpStream,
    time::{Instant, sleep_until},
};

use crate::{
    message::{self, What, put_header},
    peer::{PROGRESS_LAG, Peers, request},
};

const PREFACE: usize = 24;
const HEADER: usize = 9;
/// Frames and flags of RFC 9113.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW: u16 = 4;
const DEFAULT_WINDOW: i64 = 65_535;

/// `:status: 200` and `content-type: application/grpc`, by HPACK.
const RESPONSE: &[u8] = b"\x88\x0f\x10\x10application/grpc";
/// `grpc-status: 0`.
const TRAILERS: &[u8] = b"\x00\x0bgrpc-status\x010";
/// The health `SERVING`, with its prefix; and a status of which nothing is told.
const HEALTHY: &[u8] = &[0, 0, 0, 0, 2, 8, 1];
const STATUS: &[u8] = &[0; 5];

/// Written at a time.
const WRITE: usize = 64 * 1024;

pub(crate) struct Connection<'a> {
    peers: &'a Peers,
    peer: u32,
    stream: TcpStream,
    has_begun: bool,
    is_watched: bool,
    inbox: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    window: i64,
    initial_window: i64,
    requests: BTreeMap<u32, Vec<u8>>,
    calls: Vec<Call>,
}

/// A `GetFlows` call.
struct Call {
    stream: u32,
    window: i64,
    plan: Plan,
}

enum Plan {
    /// What is held, at times of its own.
    Held { next: u64, last: u64, shift: u64 },
    Follow {
        waiting: VecDeque<(Duration, u64, bool)>,
        due: Instant,
        gap: Duration,
        /// When something was sent last.
        sent: Instant,
        promise: bool,
    },
}

impl<'a> Connection<'a> {
    pub(crate) fn new(peers: &'a Peers, peer: u32, stream: TcpStream) -> Self {
        let mut out = Vec::new();
        put_header(&mut out, 0, SETTINGS, 0, 0);
        Self {
            peers,
            peer,
            stream,
            has_begun: false,
            is_watched: false,
            inbox: Vec::new(),
            out,
            written: 0,
            window: DEFAULT_WINDOW,
            initial_window: DEFAULT_WINDOW,
            requests: BTreeMap::new(),
            calls: Vec::new(),
        }
    }

    pub(crate) async fn run(mut self) -> io::Result<()> {
        loop {
            let wake = self.produce();
            let is_full = self.out.len() >= WRITE;
            while self.written < self.out.len() {
                match self.stream.try_write(&self.out[self.written..]) {
                    Ok(written) => self.written += written,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            let is_blocked = self.written < self.out.len();
            if !is_blocked {
                self.out.clear();
                self.written = 0;
                if self.calls.is_empty() {
                    self.out.shrink_to(0);
                }
            }
            if !is_blocked && is_full {
                // There is more. One thread has many peers: all of them get their turn.
                tokio::task::yield_now().await;
                if !self.read()? {
                    return Ok(());
                }
                continue;
            }
            let interest = if is_blocked {
                Interest::READABLE | Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            let alarm = async {
                match wake {
                    Some(wake) => sleep_until(wake).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ready = self.stream.ready(interest) => {
                    if ready?.is_readable() && !self.read()? {
                        return Ok(());
                    }
                }
                () = alarm, if !is_blocked => {}
            }
        }
    }

    /// Reads what is there. `false` at the end.
    fn read(&mut self) -> io::Result<bool> {
        let mut piece = [0; 4096];
        loop {
            match self.stream.try_read(&mut piece) {
                Ok(0) => return Ok(false),
                Ok(len) => self.inbox.extend_from_slice(&piece[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        if !self.has_begun && rest.len() >= PREFACE {
            self.has_begun = true;
            rest = &rest[PREFACE..];
        }
        if self.has_begun {
            while let Some(&[a, b, c, kind, flags, d, e, f, g]) = rest.first_chunk::<HEADER>() {
                let length = u32::from_be_bytes([0, a, b, c]) as usize;
                let Some(payload) = rest.get(HEADER..HEADER + length) else {
                    break;
                };
                self.take(kind, flags, u32::from_be_bytes([d, e, f, g]), payload);
                rest = &rest[HEADER + length..];
            }
        }
        let taken = inbox.len() - rest.len();
        inbox.drain(..taken);
        self.inbox = inbox;
        Ok(true)
    }

    fn take(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let number = |bytes: &[u8]| {
            let bytes = bytes.first_chunk().copied().unwrap_or_default();
            i64::from(u32::from_be_bytes(bytes))
        };
        match kind {
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.chunks_exact(6) {
                    if setting[..2] == INITIAL_WINDOW.to_be_bytes() {
                        let window = number(&setting[2..]);
                        let more = window - self.initial_window;
                        self.initial_window = window;
                        self.calls.iter_mut().for_each(|call| call.window += more);
                    }
                }
                put_header(&mut self.out, 0, SETTINGS, ACK, 0);
            }
            PING if flags & ACK == 0 => {
                put_header(&mut self.out, payload.len(), PING, ACK, 0);
                self.out.extend(payload);
            }
            WINDOW_UPDATE if stream == 0 => self.window += number(payload),
            WINDOW_UPDATE => {
                if let Some(call) = self.calls.iter_mut().find(|call| call.stream == stream) {
                    call.window += number(payload);
                }
            }
            RST_STREAM => self.end(stream),
            HEADERS => {
                self.requests.insert(stream, Vec::new());
            }
            DATA => {
                if let Some(body) = self.requests.get_mut(&stream) {
                    body.extend_from_slice(payload);
                }
            }
            _ => {}
        }
        if matches!(kind, HEADERS | DATA)
            && flags & END_STREAM != 0
            && let Some(body) = self.requests.remove(&stream)
        {
            self.answer(stream, request(&body));
        }
    }

    fn end(&mut self, stream: u32) {
        let before = self.calls.len();
        self.calls.retain(|call| call.stream != stream);
        let ended = before - self.calls.len();
        self.peers.asked.fetch_sub(ended, Ordering::Relaxed);
    }

    fn answer(&mut self, stream: u32, request: Option<GetFlowsRequest>) {
        put_header(&mut self.out, RESPONSE.len(), HEADERS, END_HEADERS, stream);
        self.out.extend(RESPONSE);
        let Some(request) = request else {
            // A relay watches the health of a connection before it asks for anything else.
            let is_health = !std::mem::replace(&mut self.is_watched, true);
            let body = if is_health { HEALTHY } else { STATUS };
            put_header(&mut self.out, body.len(), DATA, 0, stream);
            self.out.extend(body);
            if !is_health {
                self.put_trailers(stream);
            }
            return;
        };
        let behaviour = &self.peers.behaviour;
        let plan = if request.follow {
            let since = request.since.map(|since| {
                Duration::new(since.seconds.unsigned_abs(), since.nanos.unsigned_abs())
            });
            let waiting = self.peers.with_node(self.peer, |node| {
                let is_missing =
                    |flow: &&(Duration, u64, bool)| since.is_some_and(|since| flow.0 >= since);
                node.history.iter().filter(is_missing).copied().collect()
            });
            let gap = Duration::from_secs_f64(1.0 / behaviour.rate.max(1e-3));
            Plan::Follow {
                waiting,
                due: Instant::now() + gap.mul_f64(fastrand::f64()),
                gap,
                sent: Instant::now(),
                promise: false,
            }
        } else {
            Plan::Held {
                next: 0,
                last: behaviour.held,
                shift: fastrand::u64(..1_000_000),
            }
        };
        self.calls.push(Call {
            stream,
            window: self.initial_window,
            plan,
        });
        self.peers.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes as much as there is and may be sent. Returns when there is more.
    fn produce(&mut self) -> Option<Instant> {
        let mut wake = None;
        let mut ended = Vec::new();
        let (peers, peer) = (self.peers, self.peer);
        for call in &mut self.calls {
            let mut output = Output {
                peers,
                peer,
                out: &mut self.out,
                stream: call.stream,
                window: &mut self.window,
                stream_window: &mut call.window,
            };
            match &mut call.plan {
                Plan::Held { next, last, shift } => {
                    while *next < *last {
                        let offset = Duration::new(0, *shift as u32) + Duration::from_millis(*next);
                        if !output.put(What::Flow(*next), peers.began + offset) {
                            break;
                        }
                        *next += 1;
                    }
                    if next == last {
                        ended.push(call.stream);
                    }
                }
                Plan::Follow {
                    waiting,
                    due,
                    gap,
                    sent,
                    promise,
                } => {
                    let now = Instant::now();
                    let is_quiet = peers.quiet.load(Ordering::Relaxed);
                    while *due <= now {
                        *due += *gap;
                        if !is_quiet {
                            let flow = peers.with_node(peer, |node| node.make(&peers.behaviour));
                            peers.made.fetch_add(1, Ordering::Relaxed);
                            peers.lost.fetch_add(u64::from(flow.2), Ordering::Relaxed);
                            waiting.push_back(flow);
                        }
                    }
                    while let Some(&(time, number, is_lost)) = waiting.front() {
                        let what = if is_lost {
                            What::Lost
                        } else {
                            What::Flow(number)
                        };
                        if !output.put(what, time) {
                            break;
                        }
                        waiting.pop_front();
                        (*sent, *promise) = (now, true);
                    }
                    wake = wake.into_iter().chain([*due]).min();
                    if let Some(interval) = peers.behaviour.progress {
                        if *sent + interval <= now && waiting.is_empty() {
                            let passed = message::now()
                                .saturating_sub(PROGRESS_LAG + peers.behaviour.jitter);
                            let passed = peers.with_node(peer, |node| node.clock(passed));
                            output.put(What::Progress, passed);
                            *sent = now;
                        }
                        wake = wake.into_iter().chain([*sent + interval]).min();
                    }
                }
            }
        }
        for stream in ended {
            self.put_trailers(stream);
            self.end(stream);
        }
        wake
    }

    fn put_trailers(&mut self, stream: u32) {
        let flags = END_HEADERS | END_STREAM;
        put_header(&mut self.out, TRAILERS.len(), HEADERS, flags, stream);
        self.out.extend(TRAILERS);
    }
}

/// Where messages of a call go.
struct Output<'a> {
    peers: &'a Peers,
    peer: u32,
    out: &'a mut Vec<u8>,
    stream: u32,
    window: &'a mut i64,
    stream_window: &'a mut i64,
}

impl Output<'_> {
    /// Whether it may be sent now.
    fn put(&mut self, what: What, time: Duration) -> bool {
        let bytes = self.peers.messages.window_bytes(what);
        if self.out.len() >= WRITE || *self.window < bytes || *self.stream_window < bytes {
            return false;
        }
        *self.window -= bytes;
        *self.stream_window -= bytes;
        let messages = &self.peers.messages;
        messages.put(self.out, what, self.stream, self.peer, time);
        true
    }
}
