//! Services that are translated at the socket, by a load balancer such as Cilium's: no packet ever
//! carries the service's address.
//!
//! In: what the socket asked for and what it was given, call by call. Out: the same for the packets
//! of that socket, and so for those of its connection that carry no socket.

use std::sync::Arc;

use crate::{
    recent::Recent,
    translation::{End, Ends, Translation, Translations},
};

/// Sockets that are between the two programs of one call at the same time, half of them.
const CALLS: usize = 256;
/// Sockets that talk to services at the same time, half of them; as many as the kernel's table of
/// processes has. Some 100 bytes each.
const SOCKETS: usize = 16_384;
/// Their connections, which come to some 300 bytes each.
const CONNECTIONS: usize = 16_384;

/// What is known of such services.
#[derive(Debug)]
pub(in crate::assemble) struct SocketTranslations {
    /// What a socket's call asked for, until its outcome is told.
    asked: Recent<u64, End>,
    /// What a socket asked for, by what it was given.
    given: Recent<(u64, End), End>,
    /// Of those sockets, once a packet has told their own address.
    connections: Translations,
}

impl Default for SocketTranslations {
    fn default() -> Self {
        Self {
            asked: Recent::with_generation(CALLS),
            given: Recent::with_generation(SOCKETS),
            connections: Translations::with_capacity(CONNECTIONS),
        }
    }
}

impl SocketTranslations {
    /// One program has seen `peer` in a call. Tells what the socket asked for, as far as that is
    /// known.
    pub(super) fn call(&mut self, point: u8, socket_cookie: u64, peer: End) -> Option<End> {
        const PRE_FORWARD: u8 = 1;
        const POST_FORWARD: u8 = 2;
        if point == PRE_FORWARD {
            self.asked.insert(socket_cookie, peer);
            return Some(peer);
        }
        if point == POST_FORWARD
            && let Some(asked) = self.asked.remove(&socket_cookie)
        {
            self.given.insert((socket_cookie, peer), asked);
            return Some(asked);
        }
        self.given.get_mut(&(socket_cookie, peer)).copied()
    }

    /// Whether nothing was translated at a socket, as on hosts without such a load balancer.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// The translated connection of a packet, of this socket if it is known.
    pub(super) fn connection(
        &mut self,
        socket_cookie: u64,
        protocol: u8,
        ends: &Ends,
    ) -> Option<Arc<Translation>> {
        if self.is_empty() {
            return None;
        }
        if let Some(known) = self.connections.find(protocol, ends) {
            let known = Arc::clone(known);
            let is_reply = known.place(ends)?.is_reply;
            if socket_cookie == 0 || is_reply || known.socket_cookie == socket_cookie {
                return Some(known);
            }
            // Nobody tells when a connection ends: the port is another socket's by now.
            self.connections.remove(protocol, &known.original);
        }
        let &mut asked = self.given.get_mut(&(socket_cookie, ends.destination))?;
        let translation = Translation {
            protocol,
            original: Ends {
                destination: asked,
                ..*ends
            },
            translated: *ends,
            socket_cookie,
        };
        self.connections.insert(translation, 0);
        self.connections.find(protocol, ends).cloned()
    }
}
