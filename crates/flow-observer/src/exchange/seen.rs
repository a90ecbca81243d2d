//! Which messages were heard of lately, so that each is told once.
//!
//! Three things bring the same message again: the same packet at the next place of the node, under
//! the same addresses or translated ones, and a packet that is sent again. In all of them the bytes
//! are the same, and so is the number: where the bytes stand in their TCP connection, or the
//! identifier of a DNS message.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::SocketAddr,
};

use super::sighting::{Place, Sighting};
use crate::recent::Recent;

/// How many messages are remembered at least, some 150 bytes each. At 100,000 a second that is
/// as long as a packet may take through a node.
const REMEMBERED: usize = 10_000;
/// Bytes of a message that tell it from others: many enough to reach what differs, few enough to be
/// in the capture at every place, behind whatever headers of tunnels.
const TELLING_BYTES: usize = 512;
/// How long a packet may take from one place of a node to the next.
const PASSAGE_NS: u64 = 100_000_000;
/// A question that is asked again within this time is the same one; resolvers wait for seconds
/// before they ask again, and then it is news.
const SAME_QUESTION_NS: u64 = 1_000_000_000;

/// Stands for a message, wherever it is seen.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Mark {
    digest: u64,
    /// What tells the message from others is an identifier that its sender chose, rather than its
    /// place in a stream.
    is_datagram: bool,
}

/// Whether a message is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Again {
    /// It is new, or so old that it is.
    No,
    /// It was told at another place, between other addresses.
    Elsewhere,
    /// It was seen between the same addresses.
    Repeated,
}

/// Messages that were heard of lately.
#[derive(Debug)]
pub(super) struct Seen {
    hasher: RandomState,
    latest: Recent<Mark, Before>,
}

/// The last sighting of a message.
#[derive(Clone, Copy, Debug)]
struct Before {
    time_ns: i64,
    client: SocketAddr,
    server: SocketAddr,
    place: Place,
    was_told: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            latest: Recent::with_generation(REMEMBERED),
        }
    }
}

impl Seen {
    /// The mark of a message of a TCP connection that begins at this place of its stream.
    pub(super) fn segment(&self, sequence: u32, bytes: &[u8]) -> Mark {
        self.mark(false, sequence, bytes)
    }

    /// The mark of a message in a datagram. Its identifier is within the bytes.
    pub(super) fn datagram(&self, bytes: &[u8]) -> Mark {
        self.mark(true, 0, bytes)
    }

    fn mark(&self, is_datagram: bool, number: u32, bytes: &[u8]) -> Mark {
        let telling = bytes.get(..TELLING_BYTES).unwrap_or(bytes);
        Mark {
            digest: self.hasher.hash_one((number, telling)),
            is_datagram,
        }
    }

    /// Whether the message was heard of before.
    pub(super) fn look(&mut self, mark: Mark, sighting: &Sighting) -> Again {
        let Some(before) = self.latest.get_mut(&mark) else {
            return Again::No;
        };
        let elapsed_ns = sighting.time_ns.abs_diff(before.time_ns);
        if (before.client, before.server) == (sighting.client, sighting.server) {
            return if mark.is_datagram && elapsed_ns > SAME_QUESTION_NS {
                Again::No
            } else {
                Again::Repeated
            };
        }
        // The same bytes between other addresses at the same place are somebody else's.
        if before.was_told && before.place != sighting.place && elapsed_ns <= PASSAGE_NS {
            Again::Elsewhere
        } else {
            Again::No
        }
    }

    /// Remembers a sighting.
    pub(super) fn insert(&mut self, mark: Mark, sighting: &Sighting, was_told: bool) {
        let before = Before {
            time_ns: sighting.time_ns,
            client: sighting.client,
            server: sighting.server,
            place: sighting.place,
            was_told,
        };
        self.latest.insert(mark, before);
    }

    #[cfg(test)]
    pub(super) fn is_bounded(&self) -> bool {
        self.latest.len() <= 2 * REMEMBERED
    }
}
