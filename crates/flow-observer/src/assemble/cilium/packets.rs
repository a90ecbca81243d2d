//! Records with a packet: traces, drops, policy verdicts and debug captures.

use std::net::IpAddr;

use probe_events::{TracePoint, TraceReason};

use crate::{
    assemble::{Assembler, Surroundings},
    decode::cilium::{DebugCapture, DropNotify, Packet, PolicyVerdictNotify, TraceNotify},
    record::{Dropped, DroppedBy, FlowRecord, Interface, Observation, PolicyVerdict, Rare},
    rules,
};

impl Assembler {
    pub(super) fn trace(
        &mut self,
        notify: &TraceNotify,
        packet: &Packet<'_>,
        around: &Surroundings,
    ) -> Option<FlowRecord> {
        let (Some(point), Some(reason)) = (
            TracePoint::from_number(notify.header.subtype),
            TraceReason::from_number(notify.reason),
        ) else {
            return self.undecodable("unknown_number");
        };
        let headers = self.dissect(packet)?;
        // Who translated the source knows who it was before.
        let original_source = notify.original_source.filter(|_| headers.ip.is_some());
        let ends = headers
            .ip
            .map(|ip| (original_source.unwrap_or(ip.source), ip.destination));
        let source_id = notify.header.source;
        if let Some((source, destination)) = ends {
            match point {
                TracePoint::FromEndpoint => self.cilium.endpoints.learn(source, source_id),
                TracePoint::ToEndpoint => {
                    let id = notify.destination_endpoint;
                    self.cilium.endpoints.learn(destination, id);
                }
                TracePoint::ToStack | TracePoint::ToOverlay => {
                    self.learn_sender(source, source_id, around);
                }
                _ => {}
            }
        }
        let identities = (notify.source_identity, notify.destination_identity);
        let (source, destination) = self.parties(ends, identities, around);
        let observation = Observation::Trace {
            point,
            reason,
            encrypted: notify.encrypted && headers.ip.is_some(),
        };
        let proxy_port = match point {
            TracePoint::ToProxy => notify.destination_endpoint.into(),
            _ => 0,
        };
        Some(FlowRecord {
            direction: rules::datapath_direction(
                self.cilium.endpoints.is_from(source_id, ends),
                reason,
                notify.original_source.is_some(),
            ),
            interface: around.interface_unless_zero(notify.ifindex),
            rare: rare(proxy_port, original_source, notify.ip_trace_id),
            ..self.flow(around.now_ns, observation, headers, source, destination)
        })
    }

    pub(super) fn datapath_drop(
        &mut self,
        notify: &DropNotify,
        packet: &Packet<'_>,
        around: &Surroundings,
    ) -> Option<FlowRecord> {
        let headers = self.dissect(packet)?;
        let ends = headers.ip.map(|ip| (ip.source, ip.destination));
        let source_id = notify.header.source;
        if let Some((source, destination)) = ends {
            match notify.destination_endpoint {
                0 => self.learn_sender(source, source_id, around),
                // Numbers of endpoints have 16 bits.
                id => self.cilium.endpoints.learn(destination, id as u16),
            }
        }
        let identities = (notify.source_identity, notify.destination_identity);
        let (source, destination) = self.parties(ends, identities, around);
        let observation = Observation::Drop(Dropped {
            code: notify.header.subtype,
            by: DroppedBy::Datapath {
                file: notify.file,
                line: notify.line,
            },
        });
        let from_it = self.cilium.endpoints.is_from(source_id, ends);
        Some(FlowRecord {
            direction: rules::datapath_drop_direction(from_it),
            rare: rare(0, None, notify.ip_trace_id),
            ..self.flow(around.now_ns, observation, headers, source, destination)
        })
    }

    pub(super) fn policy_verdict(
        &mut self,
        notify: &PolicyVerdictNotify,
        packet: &Packet<'_>,
        around: &Surroundings,
    ) -> Option<FlowRecord> {
        let headers = self.dissect(packet)?;
        let ends = headers.ip.map(|ip| (ip.source, ip.destination));
        if let Some((source, destination)) = ends {
            let decided_for = if notify.is_ingress {
                destination
            } else {
                source
            };
            let id = notify.header.source;
            self.cilium.endpoints.learn(decided_for, id);
        }
        let identities = if notify.is_ingress {
            (notify.remote_identity, 0)
        } else {
            (0, notify.remote_identity)
        };
        let (source, destination) = self.parties(ends, identities, around);
        let decided = PolicyVerdict {
            verdict: notify.verdict,
            is_ingress: notify.is_ingress,
            is_audited: notify.audited,
            match_type: notify.match_type,
            auth_type: notify.auth_type,
        };
        let observation = Observation::PolicyVerdict(decided);
        Some(FlowRecord {
            direction: rules::policy_direction(&decided),
            ..self.flow(around.now_ns, observation, headers, source, destination)
        })
    }

    pub(super) fn debug_capture(
        &mut self,
        capture: &DebugCapture,
        packet: &Packet<'_>,
        around: &Surroundings,
    ) -> Option<FlowRecord> {
        let headers = self.dissect(packet)?;
        let ends = headers.ip.map(|ip| (ip.source, ip.destination));
        let (source, destination) = self.parties(ends, (0, 0), around);
        let observation = Observation::DebugCapture {
            point: capture.point,
        };
        let (ifindex, proxy_port) = match capture.point {
            4..=7 | 10 | 11 => (capture.argument1, 0),
            8 | 9 => (0, u32::from_be(capture.argument1)),
            _ => (0, 0),
        };
        Some(FlowRecord {
            interface: around.interface_unless_zero(ifindex),
            rare: rare(proxy_port, None, 0),
            ..self.flow(around.now_ns, observation, headers, source, destination)
        })
    }

    /// A packet on its way out of the node's pods: the datapath ran on behalf of the sender, if
    /// that is one of them.
    fn learn_sender(&mut self, source: IpAddr, id: u16, around: &Surroundings) {
        let endpoints = &mut self.cilium.endpoints;
        if endpoints.id(source).is_none() && around.snapshot.endpoint(source).id != 0 {
            endpoints.learn(source, id);
        }
    }
}

impl Surroundings {
    fn interface_unless_zero(&self, index: u32) -> Option<Interface> {
        (index != 0).then(|| self.interface(index))
    }
}

/// Boxed only where there is something in it.
fn rare(proxy_port: u32, original_source: Option<IpAddr>, ip_trace_id: u64) -> Option<Box<Rare>> {
    let is_there = proxy_port != 0 || original_source.is_some() || ip_trace_id != 0;
    is_there.then(|| {
        Box::new(Rare {
            proxy_port,
            original_source,
            ip_trace_id,
            ..Rare::default()
        })
    })
}
