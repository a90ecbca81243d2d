//! What a server counts about its clients.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a client was turned away or cut off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(usize)]
pub enum Refusal {
    /// As many connections are open as there may be.
    Connections,
    /// The peer has as many open as one may have.
    ConnectionsOfPeer,
    /// It did not say in time what it wants.
    HandshakeTimeout,
    /// It had not said yet what it wants when too many others came.
    HandshakeCut,
    /// It went away before it said what it wants.
    HandshakeEnded,
    /// It spoke something else than HTTP/2.
    NotHttp2,
    /// TLS failed: no certificate of its own, one that is not trusted, an old version.
    Tls,
    /// It broke the rules of HTTP/2.
    Broken,
    /// It did not answer a ping.
    Silent,
    /// As many calls are open as there may be.
    Calls,
    /// A request is longer than one may be.
    RequestSize,
    /// The requests of all open calls are longer than they may be together.
    RequestsInAll,
    /// A request did not arrive in time.
    RequestTimeout,
    /// It did not take its answer in time.
    Slow,
    /// The system had no file descriptor left for one more connection.
    Accept,
}

impl Refusal {
    const ALL: [Self; 15] = [
        Self::Connections,
        Self::ConnectionsOfPeer,
        Self::HandshakeTimeout,
        Self::HandshakeCut,
        Self::HandshakeEnded,
        Self::NotHttp2,
        Self::Tls,
        Self::Broken,
        Self::Silent,
        Self::Calls,
        Self::RequestSize,
        Self::RequestsInAll,
        Self::RequestTimeout,
        Self::Slow,
        Self::Accept,
    ];

    /// Its name in status and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsOfPeer => "connections_of_peer",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HandshakeCut => "handshake_cut",
            Self::HandshakeEnded => "handshake_ended",
            Self::NotHttp2 => "not_http2",
            Self::Tls => "tls",
            Self::Broken => "broken",
            Self::Silent => "silent",
            Self::Calls => "calls",
            Self::RequestSize => "request_size",
            Self::RequestsInAll => "requests_in_all",
            Self::RequestTimeout => "request_timeout",
            Self::Slow => "slow",
            Self::Accept => "accept",
        }
    }
}

/// Numbers of one server.
#[derive(Debug, Default)]
pub struct ServerCounts {
    pub(super) connections: AtomicU64,
    pub(super) calls: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) certificates_taken: AtomicU64,
    pub(super) certificates_refused: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
}

impl ServerCounts {
    /// Connections that are open now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Calls that are open now.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Connections that have come since the start.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Changed certificates that came into use.
    #[must_use]
    pub fn certificates_taken(&self) -> u64 {
        self.certificates_taken.load(Ordering::Relaxed)
    }

    /// Changed certificates that could not be used; the ones before hold.
    #[must_use]
    pub fn certificates_refused(&self) -> u64 {
        self.certificates_refused.load(Ordering::Relaxed)
    }

    /// Who was turned away or cut off, by reason. What never happened is left out.
    pub fn refused(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        let counts = self.refused.iter().map(|it| it.load(Ordering::Relaxed));
        Refusal::ALL
            .into_iter()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        if let Some(count) = self.refused.get(refusal as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_place_and_a_name_of_its_own() {
        let counts = ServerCounts::default();
        for refusal in Refusal::ALL {
            assert_eq!(counts.refused().filter(|it| it.0 == refusal).count(), 0);
            counts.refuse(refusal);
        }
        let names: std::collections::BTreeSet<_> = counts
            .refused()
            .map(|(refusal, _)| refusal.name())
            .collect();
        assert_eq!(names.len(), Refusal::ALL.len());
        assert!(counts.refused().all(|(_, count)| count == 1));
    }
}
