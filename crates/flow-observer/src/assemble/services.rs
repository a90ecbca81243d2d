//! Which services the sides of a flow are.
//!
//! The address that clients use names its service. One behind it does where the translation of the
//! connection is known: from the host's connection tracking, or from the socket that a load balancer
//! gave another address. Else it does where it serves no other service. A port that a service has at
//! all nodes is its address there.

mod sockets;

use std::sync::Arc;

use probe_events::TraceReason;

pub(super) use self::sockets::SocketTranslations;
use super::{Assembler, Surroundings};
use crate::{
    enrich::{
        Known, Snapshot,
        facts::{NodePort, Port},
    },
    record::{FlowRecord, Observation, PacketHeaders, Party, Service},
    rules,
    source::Moment,
    translation::{End, Ends, Place, SCTP, TCP, Translation, UDP},
};

impl Assembler {
    /// Adds the translation that a flow's connection goes through, and the services that follow from
    /// it, to a flow that is complete but for them.
    #[inline]
    pub(super) fn add_translation(&mut self, flow: &mut FlowRecord, around: &Surroundings) {
        let is_socket = matches!(flow.observation, Observation::Socket { .. });
        // Hosts that translate nothing pay no more than this.
        if around.has_translations || is_socket || !self.sockets.is_empty() {
            self.find_translation(flow, around);
        }
    }

    fn find_translation(&mut self, flow: &mut FlowRecord, around: &Surroundings) {
        // What has no ports is not translated.
        let Some((protocol, ends)) = Ends::of(&flow.packet) else {
            return;
        };
        let snapshot = &*around.snapshot;
        if let Observation::Socket { point, .. } = flow.observation {
            let (peer, side) = if rules::is_reverse_translation(point) {
                (ends.source, &mut flow.source)
            } else {
                (ends.destination, &mut flow.destination)
            };
            let original = self.sockets.call(point, flow.socket_cookie, peer);
            if let Some(original) = original {
                rename(side, snapshot, protocol, original);
            }
            return;
        }
        let Some((translation, place)) = self.translation(flow, protocol, &ends) else {
            return;
        };
        // Translated twice: at the socket first. An answer carries the answering socket.
        let cookie = if place.is_reply {
            0
        } else {
            flow.socket_cookie
        };
        let original = self
            .sockets
            .connection(cookie, protocol, &translation.original)
            .map_or(translation.original, |first| first.original);
        let (client, server) = if place.is_reply {
            (&mut flow.destination, &mut flow.source)
        } else {
            (&mut flow.source, &mut flow.destination)
        };
        let is_masked = translation.original.source != translation.translated.source;
        if place.is_masqueraded && is_masked {
            // The port is whichever was free, and no service's if it looks like one.
            client.service = None;
        }
        rename(server, snapshot, protocol, original.destination);
        flow.translation = Some(translation);
        // As in Hubble, a flow whose source is masqueraded is that of whoever is behind the mask.
        if let Some(source) = flow.original_source() {
            let endpoint = snapshot.endpoint(source);
            flow.source.endpoint = Arc::clone(endpoint);
            flow.source.identity = endpoint.identity;
        }
    }

    fn translation(
        &mut self,
        flow: &FlowRecord,
        protocol: u8,
        ends: &Ends,
    ) -> Option<(Arc<Translation>, Place)> {
        let translation = self
            .facts
            .translation(protocol, ends, moment(&flow.observation))
            .or_else(|| self.sockets.connection(flow.socket_cookie, protocol, ends))?;
        let place = translation.place(ends)?;
        Some((translation, place))
    }
}

/// When in the life of its connection a packet was seen.
fn moment(observation: &Observation) -> Moment {
    match observation {
        Observation::Trace {
            reason: TraceReason::New | TraceReason::Reopened,
            ..
        }
        | Observation::KernelDrop(_)
        | Observation::DatapathDrop { .. } => Moment::First,
        Observation::Closing { .. } => Moment::Over,
        _ => Moment::Later,
    }
}

/// Puts the services of a packet's addresses to its sides, of which this is known.
#[inline]
pub(super) fn add(
    snapshot: &Snapshot,
    packet: &PacketHeaders,
    known: (Known<'_>, Known<'_>),
    parties: &mut (Party, Party),
) {
    let is_service = |known: &Known<'_>| {
        known.has_frontends || known.has_backends || (known.is_node && snapshot.has_node_ports())
    };
    // Most addresses are no service's, and what has no ports is none.
    if (is_service(&known.0) || is_service(&known.1))
        && let Some((protocol, ends)) = Ends::of(packet)
    {
        parties.0.service = service(snapshot, known.0, protocol, ends.source);
        parties.1.service = service(snapshot, known.1, protocol, ends.destination);
    }
}

/// Gives a side the service of `original`, for which it is there, if that is one; else it keeps its
/// own.
fn rename(side: &mut Party, snapshot: &Snapshot, protocol: u8, original: End) {
    let known = snapshot.look_up(original.ip);
    if let Some(service) = service(snapshot, known, protocol, original) {
        side.service = Some(service);
    }
}

/// The service of an end that nobody looked up before.
pub(super) fn of(snapshot: &Snapshot, protocol: u8, end: End) -> Option<Arc<Service>> {
    service(snapshot, snapshot.look_up(end.ip), protocol, end)
}

/// The service that is meant by an address and a port.
fn service(snapshot: &Snapshot, known: Known<'_>, protocol: u8, end: End) -> Option<Arc<Service>> {
    let meant = |protocol| snapshot.frontend(at(protocol, end));
    let of_node = |protocol| {
        let port = end.port;
        snapshot.node_port(NodePort { protocol, port })
    };
    let behind = || snapshot.backend(at(protocol, end));
    let (is_meant, is_behind) = (known.has_frontends, known.has_backends);
    let service = is_meant
        .then(|| by_protocol(protocol, meant))
        .flatten()
        .or_else(|| known.is_node.then(|| by_protocol(protocol, of_node))?)
        .or_else(|| is_behind.then(behind).flatten());
    service.cloned()
}

/// The service whose clients use a port. As in Hubble, that of another protocol will do.
fn by_protocol<'a>(
    protocol: u8,
    find: impl Fn(u8) -> Option<&'a Arc<Service>>,
) -> Option<&'a Arc<Service>> {
    find(protocol).or_else(|| {
        let others = [TCP, UDP, SCTP].into_iter().filter(|it| *it != protocol);
        others.filter_map(find).next()
    })
}

fn at(protocol: u8, end: End) -> Port {
    Port {
        ip: end.ip,
        protocol,
        port: end.port,
    }
}

#[cfg(test)]
mod tests;
