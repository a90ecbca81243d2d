//! Which services the sides of a flow are.
//!
//! The address that clients use names its service. One behind it does where the translation of the
//! connection is known: from the host's connection tracking, or from the socket that a load balancer
//! gave another address. Else it does where it serves no other service.

mod sockets;

use std::sync::Arc;

use probe_events::TraceReason;

pub(super) use self::sockets::SocketTranslations;
use super::{Assembler, Surroundings};
use crate::{
    enrich::{Snapshot, facts::Port},
    record::{FlowRecord, Observation, Service},
    rules,
    source::Moment,
    translation::{End, Ends, Place, SCTP, TCP, Translation, UDP},
};

impl Assembler {
    /// Adds the services to a flow that is complete but for them, and the translation that its
    /// connection goes through.
    pub(super) fn add_services(&mut self, flow: &mut FlowRecord, around: &Surroundings) {
        // What has no ports belongs to no service.
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
            side.service = behind(snapshot, protocol, original, peer);
            return;
        }
        let Some((translation, place)) = self.translation(flow, protocol, &ends) else {
            flow.source.service = service(snapshot, protocol, ends.source);
            flow.destination.service = service(snapshot, protocol, ends.destination);
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
        let seen = if place.is_reply {
            ends.reversed()
        } else {
            ends
        };
        client.service = service(snapshot, protocol, seen.source);
        server.service = behind(
            snapshot,
            protocol,
            Some(original.destination),
            seen.destination,
        );
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
        | Observation::Drop(_) => Moment::First,
        Observation::Closing { .. } => Moment::Over,
        _ => Moment::Later,
    }
}

/// The service of `end`, which is there for `original`.
fn behind(
    snapshot: &Snapshot,
    protocol: u8,
    original: Option<End>,
    end: End,
) -> Option<Arc<Service>> {
    original
        .and_then(|original| service(snapshot, protocol, original))
        .or_else(|| service(snapshot, protocol, end))
}

/// The service that is meant by an address and a port.
pub(super) fn service(snapshot: &Snapshot, protocol: u8, end: End) -> Option<Arc<Service>> {
    // Most addresses are no service's.
    let known = snapshot.look_up(end.ip);
    let meant = known
        .has_frontends
        .then(|| frontend(snapshot, protocol, end));
    let behind = || snapshot.backend(at(protocol, end));
    let service = meant
        .flatten()
        .or_else(|| known.has_backends.then(behind).flatten());
    service.cloned()
}

/// The service whose clients use this end. As in Hubble, the port of another protocol will do.
fn frontend(snapshot: &Snapshot, protocol: u8, end: End) -> Option<&Arc<Service>> {
    snapshot.frontend(at(protocol, end)).or_else(|| {
        let others = [TCP, UDP, SCTP].into_iter().filter(|it| *it != protocol);
        others
            .filter_map(|protocol| snapshot.frontend(at(protocol, end)))
            .next()
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
