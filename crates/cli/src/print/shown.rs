//! Which fields of a response the formats look at, so that no others need be read.

/// The text formats: what [`Style`](super::Style) makes columns of.
pub(super) const COLUMNS: [&str; 39] = [
    "flow.time",
    "flow.emitter.name",
    "flow.verdict",
    "flow.auth_type",
    "flow.ethernet",
    "flow.IP.source",
    "flow.IP.destination",
    "flow.l4",
    "flow.source.identity",
    "flow.source.namespace",
    "flow.source.pod_name",
    "flow.destination.identity",
    "flow.destination.namespace",
    "flow.destination.pod_name",
    "flow.node_name",
    "flow.source_names",
    "flow.destination_names",
    "flow.l7.type",
    "flow.l7.dns.observation_source",
    // Of these it is enough that they are there.
    "flow.l7.http.code",
    "flow.l7.kafka.error_code",
    "flow.event_type",
    "flow.source_service",
    "flow.destination_service",
    "flow.traffic_direction",
    "flow.policy_match_type",
    "flow.ip_trace_id",
    "flow.is_reply",
    "flow.debug_capture_point",
    "flow.sock_xlate_point",
    "flow.Summary",
    "flow.egress_allowed_by",
    "flow.ingress_allowed_by",
    "flow.egress_denied_by",
    "flow.ingress_denied_by",
    "node_status",
    "lost_events",
    "node_name",
    "time",
];

/// JSON, where it is at hand: of flows and gaps that they are there, whether a node's state is told.
pub(super) const JSON: [&str; 3] = [
    "flow.verdict",
    "node_status.state_change",
    "lost_events.source",
];
