//! Where a message was seen, and whether that is where it is told.
//!
//! ```text
//!   client's device                                     server's device
//!   from-endpoint ──▶ to-stack, to-network … from-network ──▶ to-endpoint    request
//!   to-endpoint   ◀── …                                   ◀── from-endpoint  response
//! ```
//!
//! A message is told at the client's device where the client is an endpoint of this node, else at
//! the server's where that is, else where it is seen first. Only at those devices do packets have
//! the addresses that the endpoint itself uses.

use std::net::SocketAddr;

use flow_api::flow::TrafficDirection;
use probe_events::TracePoint;

use crate::enrich::HOST;
use crate::record::{FlowRecord, Observation, PacketHeaders, Party, Transport};

/// A message at a place where it may be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sighting {
    pub(super) time_ns: i64,
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    /// As seen from the endpoint that the message is told for.
    pub(super) direction: TrafficDirection,
    pub(super) place: Place,
    /// An endpoint's own device.
    pub(super) is_device: bool,
    /// The request comes in from outside, and may be on its way to an endpoint under another
    /// address: then it is told there instead.
    pub(super) may_be_held: bool,
    /// A response that answers nothing known may be on its way to an endpoint under another
    /// address, and will be told there.
    pub(super) needs_request: bool,
}

/// A trace point of a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    /// `None` for captures.
    point: Option<TracePoint>,
    ifindex: u32,
}

impl Sighting {
    /// `None` where such a message is not told.
    pub(super) fn of(flow: &FlowRecord, is_response: bool) -> Option<Self> {
        let point = match flow.observation {
            Observation::Trace { point, .. } => Some(point),
            Observation::Captured => None,
            _ => return None,
        };
        let (source, destination) = ends(&flow.packet)?;
        let sender = (source, &flow.source);
        let receiver = (destination, &flow.destination);
        let ((client, client_party), (server, server_party)) = if is_response {
            (receiver, sender)
        } else {
            (sender, receiver)
        };
        let is_device = matches!(
            point,
            Some(TracePoint::FromEndpoint | TracePoint::ToEndpoint)
        );
        let mut sighting = Self {
            time_ns: flow.time_ns,
            client,
            server,
            direction: TrafficDirection::Unknown,
            place: Place {
                point,
                ifindex: flow.interface.as_ref().map_or(0, |it| it.index),
            },
            is_device,
            may_be_held: false,
            needs_request: false,
        };
        // What comes from an endpoint is seen first at its device; what goes to one, there last.
        let is_last = point.is_none_or(|point| point == TracePoint::ToEndpoint);
        if is_local(client_party) {
            sighting.direction = TrafficDirection::Egress;
            return (!is_response || is_last).then_some(sighting);
        }
        if is_local(server_party) {
            sighting.direction = TrafficDirection::Ingress;
            return (is_response || is_last).then_some(sighting);
        }
        sighting.direction = direction(client_party, server_party, point, is_response);
        sighting.may_be_held = !is_response
            && matches!(
                point,
                Some(TracePoint::FromNetwork | TracePoint::FromOverlay)
            );
        sighting.needs_request = is_response && point.is_some() && !is_device;
        Some(sighting)
    }
}

fn is_local(party: &Party) -> bool {
    party.endpoint.id != 0
}

/// For messages between none of this node's known endpoints: as seen from the node itself, or from
/// whatever is behind the device.
fn direction(
    client: &Party,
    server: &Party,
    point: Option<TracePoint>,
    is_response: bool,
) -> TrafficDirection {
    if client.identity == HOST {
        return TrafficDirection::Egress;
    }
    if server.identity == HOST {
        return TrafficDirection::Ingress;
    }
    match (point, is_response) {
        (Some(TracePoint::FromEndpoint), false) | (Some(TracePoint::ToEndpoint), true) => {
            TrafficDirection::Egress
        }
        (Some(TracePoint::ToEndpoint), false) | (Some(TracePoint::FromEndpoint), true) => {
            TrafficDirection::Ingress
        }
        _ => TrafficDirection::Unknown,
    }
}

fn ends(packet: &PacketHeaders) -> Option<(SocketAddr, SocketAddr)> {
    let ip = packet.ip?;
    let (source_port, destination_port) = match packet.transport? {
        Transport::Tcp {
            source_port,
            destination_port,
            ..
        }
        | Transport::Udp {
            source_port,
            destination_port,
        } => (source_port, destination_port),
        _ => return None,
    };
    Some((
        (ip.source, source_port).into(),
        (ip.destination, destination_port).into(),
    ))
}
