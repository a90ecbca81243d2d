//! Records with a packet: traces, drops, policy verdicts and debug captures.

use std::net::IpAddr;

use probe_events::{TracePoint, TraceReason};

use crate::{
    assemble::{Assembler, Surroundings, application::Payload},
    decode::{
        Dissected,
        cilium::{DebugCapture, DropNotify, Packet, PolicyVerdictNotify, TraceNotify},
    },
    enrich::Told,
    record::{FlowRecord, Observation, PolicyVerdict, Rare},
    ring::Event,
    rules,
};

impl Assembler {
    /// Beside the flow, what of its payload was captured goes to `payload`.
    pub(super) fn trace<'events, 'packet>(
        &mut self,
        notify: &TraceNotify,
        packet: &Packet<'packet>,
        around: &Surroundings,
        events: &'events mut Vec<Event>,
        payload: &mut Payload<'packet>,
    ) -> Option<&'events mut FlowRecord> {
        let (Some(point), Some(reason)) = (
            TracePoint::from_number(notify.header.subtype),
            TraceReason::from_number(notify.reason),
        ) else {
            return self.undecodable("unknown_number");
        };
        let mut dissected = Dissected::default();
        self.dissect(packet, &mut dissected)?;
        let headers = &dissected.headers;
        // Who translated the source knows who it was before.
        let original_source = notify.original_source.filter(|_| headers.ip.is_some());
        let source_id = notify.header.source;
        let numbers = match point {
            TracePoint::FromEndpoint => (Told::Number(source_id), Told::Nothing),
            TracePoint::ToEndpoint => (Told::Nothing, Told::Number(notify.destination_endpoint)),
            TracePoint::ToStack | TracePoint::ToOverlay => sender(source_id),
            _ => (Told::Nothing, Told::Nothing),
        };
        let identities = (notify.source_identity, notify.destination_identity);
        let ends = self.ends(headers, original_source, identities, numbers, around);
        let direction = rules::datapath_direction(
            ends.is_from(source_id),
            reason,
            notify.original_source.is_some(),
        );
        let observation = Observation::Trace {
            point,
            reason,
            encrypted: notify.encrypted && headers.ip.is_some(),
        };
        let proxy_port = match point {
            TracePoint::ToProxy => notify.destination_endpoint.into(),
            _ => 0,
        };
        let interface = self.places.device_unless_zero(notify.ifindex);
        let tunnel = self.places.tunnel(dissected.tunnel.as_ref());
        let flow = self.begin(events, around.now_ns, observation, headers, ends.parties)?;
        flow.direction = direction;
        flow.interface = interface;
        flow.tunnel = tunnel;
        flow.rare = rare(proxy_port, original_source, notify.ip_trace_id);
        let is_whole = packet.bytes.len() >= packet.original_len as usize;
        *payload = Payload::of(packet.bytes, is_whole, &dissected);
        Some(flow)
    }

    pub(super) fn datapath_drop<'events>(
        &mut self,
        notify: &DropNotify,
        packet: &Packet<'_>,
        around: &Surroundings,
        events: &'events mut Vec<Event>,
    ) -> Option<&'events mut FlowRecord> {
        let mut dissected = Dissected::default();
        self.dissect(packet, &mut dissected)?;
        let headers = &dissected.headers;
        let source_id = notify.header.source;
        let numbers = match notify.destination_endpoint {
            0 => sender(source_id),
            // Numbers of endpoints have 16 bits.
            id => (Told::Nothing, Told::Number(id as u16)),
        };
        let identities = (notify.source_identity, notify.destination_identity);
        let ends = self.ends(headers, None, identities, numbers, around);
        let direction = rules::datapath_drop_direction(ends.is_from(source_id));
        let observation = Observation::DatapathDrop {
            code: notify.header.subtype,
            file: notify.file,
            line: notify.line,
        };
        let tunnel = self.places.tunnel(dissected.tunnel.as_ref());
        let flow = self.begin(events, around.now_ns, observation, headers, ends.parties)?;
        flow.direction = direction;
        flow.tunnel = tunnel;
        flow.rare = rare(0, None, notify.ip_trace_id);
        Some(flow)
    }

    pub(super) fn policy_verdict<'events>(
        &mut self,
        notify: &PolicyVerdictNotify,
        packet: &Packet<'_>,
        around: &Surroundings,
        events: &'events mut Vec<Event>,
    ) -> Option<&'events mut FlowRecord> {
        let mut dissected = Dissected::default();
        self.dissect(packet, &mut dissected)?;
        let headers = &dissected.headers;
        let decided_for = Told::Number(notify.header.source);
        let (identities, numbers) = if notify.is_ingress {
            ((notify.remote_identity, 0), (Told::Nothing, decided_for))
        } else {
            ((0, notify.remote_identity), (decided_for, Told::Nothing))
        };
        let ends = self.ends(headers, None, identities, numbers, around);
        let decided = PolicyVerdict {
            verdict: notify.verdict,
            is_ingress: notify.is_ingress,
            is_audited: notify.audited,
            match_type: notify.match_type,
            auth_type: notify.auth_type,
        };
        let observation = Observation::PolicyVerdict(decided);
        let tunnel = self.places.tunnel(dissected.tunnel.as_ref());
        let flow = self.begin(events, around.now_ns, observation, headers, ends.parties)?;
        flow.tunnel = tunnel;
        flow.direction = rules::policy_direction(&decided);
        Some(flow)
    }

    pub(super) fn debug_capture<'events>(
        &mut self,
        capture: &DebugCapture,
        packet: &Packet<'_>,
        around: &Surroundings,
        events: &'events mut Vec<Event>,
    ) -> Option<&'events mut FlowRecord> {
        let mut dissected = Dissected::default();
        self.dissect(packet, &mut dissected)?;
        let headers = &dissected.headers;
        let numbers = (Told::Nothing, Told::Nothing);
        let ends = self.ends(headers, None, (0, 0), numbers, around);
        let observation = Observation::DebugCapture {
            point: capture.point,
        };
        let (ifindex, proxy_port) = match capture.point {
            4..=7 | 10 | 11 => (capture.argument1, 0),
            8 | 9 => (0, u32::from_be(capture.argument1)),
            _ => (0, 0),
        };
        let interface = self.places.device_unless_zero(ifindex);
        let tunnel = self.places.tunnel(dissected.tunnel.as_ref());
        let flow = self.begin(events, around.now_ns, observation, headers, ends.parties)?;
        flow.interface = interface;
        flow.tunnel = tunnel;
        flow.rare = rare(proxy_port, None, 0);
        Some(flow)
    }
}

/// Of a packet on its way out of the node's pods: the datapath ran on behalf of the sender, if that
/// is one of them.
fn sender(id: u16) -> (Told, Told) {
    (Told::Perhaps(id), Told::Nothing)
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
