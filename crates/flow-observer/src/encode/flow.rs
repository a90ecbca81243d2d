//! A record as the bytes of a `flow.Flow`.
//!
//! Fields are written in the order of their numbers, which is prost's order too: the bytes are those
//! that prost would make of the same flow.

use std::{borrow::Cow, sync::Arc};

use probe_events::{TracePoint, TraceReason};

use super::{
    NodeFacts, Select, Writer,
    packet::{self, put_ethernet, put_layer4, put_tunnel},
    party::{put_names, put_party, put_service},
    put_timestamp, uuid_digits,
};
use crate::{
    decode::{datapath_file, summary::summary},
    record::{FlowRecord, Interface, Observation},
};

/// Who writes our flows.
pub(crate) const EMITTER: (&str, &str) = ("Palomar", env!("CARGO_PKG_VERSION"));

/// What the flows of a node share, looked up once for many of them.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    node_name: &'a str,
    node_labels: Arc<[String]>,
}

impl<'a> Surroundings<'a> {
    pub(crate) fn now(node: &'a NodeFacts) -> Self {
        Self {
            node_name: &node.name,
            node_labels: node.labels(),
        }
    }

    pub(crate) fn node_name(&self) -> &'a str {
        self.node_name
    }
}

/// Writes the wanted fields of a flow.
pub(crate) fn put_flow<S: Select>(
    record: &FlowRecord,
    around: &Surroundings<'_>,
    select: S,
    writer: &mut Writer<'_>,
) {
    let (kind, sub_type) = record.event_type();
    let facts = Facts::of(record);
    put_part(writer, select, 1, Some(record.time_ns), put_timestamp);
    if select.has(2) {
        writer.signed(2, i32::from(record.verdict()).into());
    }
    if select.has(3) {
        writer.number(3, record.drop_reason().into());
    }
    put_part(writer, select, 4, record.packet.ethernet, put_ethernet);
    put_part(
        writer,
        select,
        5,
        packet::addresses(record),
        |ip, part, writer| {
            ip.put(part, writer);
        },
    );
    put_part(writer, select, 6, packet::transport(record), put_layer4);
    if let Some(part) = select.field(8) {
        put_party(8, &record.source, part, writer);
    }
    if let Some(part) = select.field(9) {
        put_party(9, &record.destination, part, writer);
    }
    if select.has(10) {
        writer.signed(10, i32::from(record.flow_type()).into());
    }
    if select.has(11) {
        writer.text(11, around.node_name);
    }
    if select.has(13) {
        put_names(13, &record.source, writer);
    }
    if select.has(14) {
        put_names(14, &record.destination, writer);
    }
    put_part::<(), _>(writer, select, 15, None, |(), _, _| {});
    let is_reply = record.is_reply();
    if select.has(16) {
        writer.flag(16, is_reply.unwrap_or(false));
    }
    put_part(writer, select, 19, Some(()), |(), part, writer| {
        put_pair(writer, part, [kind.into(), sub_type.into()]);
    });
    put_part(
        writer,
        select,
        20,
        record.source.service.as_deref(),
        put_service,
    );
    put_part(
        writer,
        select,
        21,
        record.destination.service.as_deref(),
        put_service,
    );
    if select.has(22) {
        writer.signed(22, i32::from(record.direction).into());
    }
    if select.has(23) {
        writer.number(23, facts.policy_match_type.into());
    }
    if select.has(24) {
        writer.number(24, facts.observation_point.into());
    }
    if select.has(25) {
        writer.signed(25, record.drop_reason().cast_signed().into());
    }
    put_part(writer, select, 26, is_reply, |is_reply, part, writer| {
        if part.has(1) {
            writer.flag(1, is_reply);
        }
    });
    if select.has(27) {
        writer.number(27, facts.capture_point.into());
    }
    put_part(
        writer,
        select,
        28,
        record.interface.as_deref(),
        put_interface,
    );
    let rare = record.rare.as_deref();
    if select.has(29) {
        writer.number(29, rare.map_or(0, |rare| rare.proxy_port).into());
    }
    put_part::<(), _>(writer, select, 30, None, |(), _, _| {});
    if select.has(31) {
        writer.number(31, facts.translation_point.into());
    }
    if select.has(32) {
        writer.number(32, record.socket_cookie);
    }
    if select.has(33) {
        writer.number(33, facts.cgroup_id);
    }
    if select.has(34) {
        writer.element(34, &uuid_digits(record.uuid));
    }
    if select.has(35) {
        writer.number(35, facts.auth_type.into());
    }
    if select.has(36) {
        writer.number(36, facts.trace_reason.into());
    }
    if select.has(37) {
        writer.elements(37, around.node_labels.iter().map(String::as_str));
    }
    put_part(
        writer,
        select,
        38,
        dropped_in(record),
        |(name, line), part, writer| {
            if part.has(1) {
                writer.text(1, &name);
            }
            if part.has(2) {
                writer.number(2, line);
            }
        },
    );
    put_part(writer, select, 39, record.tunnel.as_deref(), put_tunnel);
    let trace_id = rare.map_or(0, |rare| rare.ip_trace_id);
    put_part(
        writer,
        select,
        40,
        (trace_id != 0).then_some(trace_id),
        |id, part, writer| {
            if part.has(1) {
                writer.number(1, id);
            }
        },
    );
    put_part(
        writer,
        select,
        41,
        Some(EMITTER),
        |(name, version), part, writer| {
            if part.has(1) {
                writer.text(1, name);
            }
            if part.has(2) {
                writer.text(2, version);
            }
        },
    );
    put_part::<(), _>(writer, select, AGGREGATE, None, |(), _, _| {});
    if select.has(SUMMARY) {
        writer.text(SUMMARY, &summary(record));
    }
    put_part::<(), _>(writer, select, EXTENSIONS, None, |(), _, _| {});
}

/// `Flow.aggregate`.
const AGGREGATE: u32 = 21_007;
/// `Flow.Summary`.
const SUMMARY: u32 = 100_000;
/// `Flow.extensions`; written behind a flow for those who ask.
pub(super) const EXTENSIONS: u32 = 150_000;

/// Writes a message that the flow may have, or that has to be there because parts of it are wanted.
#[inline]
pub(super) fn put_part<T, S: Select>(
    writer: &mut Writer<'_>,
    select: S,
    number: u32,
    value: Option<T>,
    put: impl FnOnce(T, S, &mut Writer<'_>),
) {
    let Some(part) = select.field(number) else {
        return;
    };
    match value {
        Some(value) => writer.message(number, |writer| put(value, part, writer)),
        None if part.is_parts() => writer.message(number, |_| {}),
        None => {}
    }
}

/// A message of two numbers, fields 1 and 2.
#[inline]
pub(super) fn put_pair(writer: &mut Writer<'_>, select: impl Select, numbers: [i64; 2]) {
    for (field, number) in (1..).zip(numbers) {
        if select.has(field) {
            writer.signed(field, number);
        }
    }
}

/// What follows from the kind of the observation.
#[derive(Debug, Default)]
struct Facts {
    observation_point: u8,
    trace_reason: u8,
    policy_match_type: u8,
    auth_type: u8,
    capture_point: u8,
    translation_point: u8,
    cgroup_id: u64,
}

impl Facts {
    #[inline]
    fn of(record: &FlowRecord) -> Self {
        let mut facts = Self::default();
        match &record.observation {
            Observation::Trace { point, reason, .. } | Observation::Closing { point, reason } => {
                facts.observation_point = observation_point(*point);
                facts.trace_reason = trace_reason(*reason);
            }
            Observation::PolicyVerdict(decided) => {
                facts.auth_type = decided.auth_type;
                facts.policy_match_type = decided.match_type;
            }
            Observation::DebugCapture { point } => facts.capture_point = *point,
            Observation::Socket { point, cgroup_id } => {
                facts.translation_point = *point;
                facts.cgroup_id = *cgroup_id;
            }
            Observation::KernelDrop(_)
            | Observation::DatapathDrop { .. }
            | Observation::Captured => {}
        }
        facts
    }
}

/// `TraceObservationPoint`: the datapath's number, but 0 stands for unknown.
fn observation_point(point: TracePoint) -> u8 {
    match point {
        TracePoint::ToEndpoint => 101,
        other => other as u8,
    }
}

/// `TraceReason`: up to the unknown one, Hubble's numbers are higher by one; beyond it, they are the
/// same.
fn trace_reason(reason: TraceReason) -> u8 {
    match reason as u8 {
        5 => 0,
        low @ ..5 => low + 1,
        high => high,
    }
}

/// `FileInfo`: what dropped the packet, and the line in it.
fn dropped_in(record: &FlowRecord) -> Option<(Cow<'_, str>, u64)> {
    match &record.observation {
        Observation::KernelDrop(drop) => Some((drop.function.as_deref()?.into(), 0)),
        Observation::DatapathDrop { file, line, .. } => {
            Some((datapath_file(*file).into(), (*line).into()))
        }
        _ => None,
    }
}

fn put_interface(interface: &Interface, select: impl Select, writer: &mut Writer<'_>) {
    if select.has(1) {
        writer.number(1, interface.index.into());
    }
    if select.has(2) {
        writer.text(2, &interface.name);
    }
}
