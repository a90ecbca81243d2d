//! What clients may claim of a server, with the reason for each number.

use std::time::Duration;

/// Bounds of one server. Whatever is beyond them is refused, counted and told in the log.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections: four times what a crowded node sees, and few enough that what each may
    /// hold stays in bounds.
    pub connections: usize,
    /// The same of one peer: an address of TCP (of IPv6 its /64), a user of the Unix socket. Half
    /// of all, so that nobody keeps everybody else out.
    pub connections_per_peer: usize,
    /// Connections that have not said yet that they speak the protocol. When one more comes, the
    /// oldest of them is cut: an honest one is through in milliseconds.
    pub handshakes: usize,
    /// How long TLS and the first bytes of HTTP/2 may take.
    pub handshake_timeout: Duration,
    /// Calls at the same time on one connection. A client that wants more waits, as the protocol
    /// has it.
    pub calls_per_connection: u32,
    /// Calls at the same time in all. Each may hold what [`Limits::send_buffer_bytes`] says and
    /// about as much again, so this is what bounds the memory that clients can claim by not reading.
    pub calls: usize,
    /// What was encoded for a stream and not sent yet. Two chunks of the codec: one on its way, one
    /// ready.
    pub send_buffer_bytes: usize,
    /// The longest message of a client, as of other gRPC servers. A filter list of 10,000 addresses
    /// has some 300 kB.
    pub request_bytes: usize,
    /// The requests of all open calls together. Filters are made of requests and live as long as
    /// their call, so this bounds them, too.
    pub request_bytes_in_all: usize,
    /// How long a request may take to arrive.
    pub request_timeout: Duration,
    /// All headers of a call: gRPC's take some hundred bytes.
    pub header_bytes: u32,
    /// What a client may send on one stream, or on one connection, before it is read. Requests are
    /// read at once.
    pub receive_window_bytes: u32,
    /// A connection of TCP that is silent for so long is asked whether it still lives.
    pub keepalive: Duration,
    /// It is cut when it has not answered after so long. A client may be suspended for a moment.
    pub keepalive_timeout: Duration,
    /// How long open calls may take to end when the server closes.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_peer: 2048,
            handshakes: 256,
            handshake_timeout: Duration::from_secs(10),
            calls_per_connection: 256,
            calls: 2048,
            send_buffer_bytes: 128 * 1024,
            request_bytes: 4 * 1024 * 1024,
            request_bytes_in_all: 64 * 1024 * 1024,
            request_timeout: Duration::from_secs(10),
            header_bytes: 16 * 1024,
            receive_window_bytes: 64 * 1024,
            keepalive: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(3),
        }
    }
}
