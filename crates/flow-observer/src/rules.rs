//! What an observation means: the rules that hold for every source.
//!
//! A source says what it saw ([`Observation`], addresses, endpoints); verdict, reply, direction and
//! the numbers of the event type follow from that, here and nowhere else.

use std::net::IpAddr;

use flow_api::flow::{self, TrafficDirection, Verdict};
use probe_events::{TracePoint, TraceReason};

use crate::{
    record::{Endpoint, FlowRecord, Observation, PolicyVerdict, Transport},
    source::Namespace,
};

/// `CiliumEventType.type` of a drop.
const MESSAGE_DROP: i32 = 1;
/// `CiliumEventType.type` of a debug capture.
const MESSAGE_CAPTURE: i32 = 3;
/// `CiliumEventType.type` of a trace.
const MESSAGE_TRACE: i32 = 4;
/// `CiliumEventType.type` of a policy verdict.
const MESSAGE_POLICY_VERDICT: i32 = 5;
/// `CiliumEventType.type` of a socket trace.
const MESSAGE_TRACE_SOCK: i32 = 7;

/// `SocketTranslationPoint` before and after, on the way out and back.
const SOCK_PRE_FORWARD: u8 = 1;
const SOCK_POST_FORWARD: u8 = 2;
const SOCK_PRE_REVERSE: u8 = 3;
const SOCK_POST_REVERSE: u8 = 4;

impl FlowRecord {
    /// What became of the packet.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match &self.observation {
            Observation::Trace { .. } | Observation::Closing { .. } | Observation::Captured => {
                Verdict::Forwarded
            }
            Observation::KernelDrop(_) | Observation::DatapathDrop { .. } => Verdict::Dropped,
            Observation::PolicyVerdict(decided) => policy_verdict(decided),
            Observation::DebugCapture { .. } => Verdict::Unknown,
            Observation::Socket { point, .. } => match *point {
                SOCK_PRE_FORWARD | SOCK_PRE_REVERSE => Verdict::Traced,
                SOCK_POST_FORWARD | SOCK_POST_REVERSE => Verdict::Translated,
                _ => Verdict::Unknown,
            },
        }
    }

    /// Hubble's number for why the packet was dropped; 0 for one that was not.
    #[must_use]
    pub fn drop_reason(&self) -> u32 {
        match &self.observation {
            Observation::KernelDrop(drop) => drop.code.into(),
            Observation::DatapathDrop { code, .. } => (*code).into(),
            Observation::PolicyVerdict(decided) if decided.verdict < 0 => {
                decided.verdict.unsigned_abs()
            }
            _ => 0,
        }
    }

    /// Whether the packet answers another; `None` where that is not known, as for drops.
    #[must_use]
    pub fn is_reply(&self) -> Option<bool> {
        match &self.observation {
            Observation::Trace { reason, .. } | Observation::Closing { reason, .. } => {
                is_reply(*reason)
            }
            Observation::PolicyVerdict(decided) => (decided.verdict >= 0).then_some(false),
            Observation::Captured
            | Observation::KernelDrop(_)
            | Observation::DatapathDrop { .. }
            | Observation::DebugCapture { .. }
            | Observation::Socket { .. } => None,
        }
    }

    /// What kind of flow it is.
    #[must_use]
    pub fn flow_type(&self) -> flow::FlowType {
        match self.observation {
            Observation::Socket { .. } => flow::FlowType::Sock,
            _ => flow::FlowType::L3L4,
        }
    }

    /// Hubble's number for this kind of event, and for the point or reason.
    #[must_use]
    pub fn event_type(&self) -> (i32, i32) {
        match &self.observation {
            Observation::Trace { point, .. } | Observation::Closing { point, .. } => {
                (MESSAGE_TRACE, i32::from(*point as u8))
            }
            // No trace point has this number in common with a capture: clients show it as a number.
            Observation::Captured => (MESSAGE_TRACE, CAPTURED_SUB_TYPE),
            Observation::KernelDrop(drop) => (MESSAGE_DROP, drop.code.into()),
            Observation::DatapathDrop { code, .. } => (MESSAGE_DROP, (*code).into()),
            Observation::PolicyVerdict(_) => (MESSAGE_POLICY_VERDICT, 0),
            Observation::DebugCapture { point } => (MESSAGE_CAPTURE, i32::from(*point)),
            Observation::Socket { point, .. } => (MESSAGE_TRACE_SOCK, i32::from(*point)),
        }
    }
}

/// Sub type of packets from capture files: beyond all trace points.
const CAPTURED_SUB_TYPE: i32 = 255;

fn policy_verdict(decided: &PolicyVerdict) -> Verdict {
    match decided.verdict {
        ..0 => Verdict::Dropped,
        1.. => Verdict::Redirected,
        0 if decided.is_audited => Verdict::Audit,
        0 => Verdict::Forwarded,
    }
}

fn is_reply(reason: TraceReason) -> Option<bool> {
    match reason {
        TraceReason::Unknown | TraceReason::Srv6Encap | TraceReason::Srv6Decap => None,
        _ => Some(reason == TraceReason::Reply),
    }
}

/// At our own trace points, as seen from the pod at whose device the packet was: a packet that
/// comes from it goes out, unless it answers one that came in. Other devices belong to no pod.
pub(crate) fn probe_direction(point: TracePoint, reason: TraceReason) -> TrafficDirection {
    let outward = match point {
        TracePoint::FromEndpoint => true,
        TracePoint::ToEndpoint => false,
        _ => return TrafficDirection::Unknown,
    };
    match reason {
        TraceReason::Unknown => TrafficDirection::Unknown,
        _ if outward != (reason == TraceReason::Reply) => TrafficDirection::Egress,
        _ => TrafficDirection::Ingress,
    }
}

/// A packet dropped in the namespace that holds its source goes out, one dropped where its
/// destination is comes in. In between, on the node, the local pod decides: its own first.
pub(crate) fn kernel_drop_direction(
    ends: Option<(IpAddr, IpAddr)>,
    namespace: &Namespace,
    source: &Endpoint,
    destination: &Endpoint,
) -> TrafficDirection {
    let Some((from, to)) = ends else {
        return TrafficDirection::Unknown;
    };
    if namespace.addresses.contains(&from) {
        TrafficDirection::Egress
    } else if namespace.addresses.contains(&to) {
        TrafficDirection::Ingress
    } else if source.id != 0 {
        TrafficDirection::Egress
    } else if destination.id != 0 {
        TrafficDirection::Ingress
    } else {
        TrafficDirection::Unknown
    }
}

/// Of Cilium's traces, as seen from the endpoint on whose behalf the datapath ran; none is told for
/// some. `from_it` says whether the packet comes from that endpoint. One that was translated before
/// comes from an endpoint even where the address does not say so.
pub(crate) fn datapath_direction(
    from_it: Option<bool>,
    reason: TraceReason,
    is_translated: bool,
) -> TrafficDirection {
    let is_reply = reason == TraceReason::Reply;
    match from_it {
        _ if reason == TraceReason::Unknown => TrafficDirection::Unknown,
        None => TrafficDirection::Unknown,
        Some(from_it) if from_it != is_reply => TrafficDirection::Egress,
        Some(_) if is_translated => TrafficDirection::Egress,
        Some(_) => TrafficDirection::Ingress,
    }
}

/// Of policy verdicts: it is part of what was decided.
pub(crate) fn policy_direction(decided: &PolicyVerdict) -> TrafficDirection {
    if decided.is_ingress {
        TrafficDirection::Ingress
    } else {
        TrafficDirection::Egress
    }
}

/// Whether a socket's address was translated on the way back: the other side is then the source.
pub(crate) fn is_reverse_translation(point: u8) -> bool {
    matches!(point, SOCK_PRE_REVERSE | SOCK_POST_REVERSE)
}

/// Of Cilium's drops, as above; a dropped packet is taken for no reply.
pub(crate) fn datapath_drop_direction(from_it: Option<bool>) -> TrafficDirection {
    match from_it {
        None => TrafficDirection::Unknown,
        Some(true) => TrafficDirection::Egress,
        Some(false) => TrafficDirection::Ingress,
    }
}

/// The kernel hands an echo reply to raw sockets as copies and then finds no ping socket for the
/// original: the packet was received, not dropped.
pub(crate) fn is_received_copy(reason: &str, transport: Option<Transport>) -> bool {
    reason == "NO_SOCKET"
        && matches!(
            transport,
            Some(Transport::Icmpv4 { kind: 0, .. } | Transport::Icmpv6 { kind: 129, .. })
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direction_is_that_of_whoever_opened_the_connection_seen_from_the_pod() {
        use TracePoint::{FromEndpoint, ToEndpoint, ToNetwork};
        use TraceReason::{Established, New, Reply, Unknown};
        let cases = [
            (FromEndpoint, New, TrafficDirection::Egress),
            (FromEndpoint, Reply, TrafficDirection::Ingress),
            (ToEndpoint, Established, TrafficDirection::Ingress),
            (ToEndpoint, Reply, TrafficDirection::Egress),
            (ToEndpoint, Unknown, TrafficDirection::Unknown),
            (ToNetwork, New, TrafficDirection::Unknown),
        ];
        for (point, reason, expected) in cases {
            assert_eq!(
                probe_direction(point, reason),
                expected,
                "{point:?} {reason:?}"
            );
        }
    }

    #[test]
    fn a_drop_goes_out_where_its_source_is_and_comes_in_where_its_destination_is() {
        let ends = Some((IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])));
        let namespace = |last: u8| Namespace {
            addresses: vec![IpAddr::from([10, 0, 0, last])],
            is_own: false,
        };
        let (local, remote) = (
            Endpoint {
                id: 7,
                ..Endpoint::default()
            },
            Endpoint::default(),
        );
        let direction = |at, source, destination| {
            kernel_drop_direction(ends, &namespace(at), source, destination)
        };
        assert_eq!(direction(1, &remote, &remote), TrafficDirection::Egress);
        assert_eq!(direction(2, &local, &remote), TrafficDirection::Ingress);
        assert_eq!(direction(9, &local, &remote), TrafficDirection::Egress);
        assert_eq!(direction(9, &remote, &local), TrafficDirection::Ingress);
        assert_eq!(direction(9, &remote, &remote), TrafficDirection::Unknown);
    }

    #[test]
    fn ciliums_direction_is_that_of_whoever_opened_the_connection_seen_from_its_endpoint() {
        use TraceReason::{Established, New, Related, Reply, Unknown};
        use TrafficDirection::{Egress, Ingress, Unknown as Nobody};
        let cases = [
            (Some(true), New, false, Egress),
            (Some(true), Established, false, Egress),
            (Some(true), Reply, false, Ingress),
            (Some(true), Reply, true, Egress),
            (Some(false), New, false, Ingress),
            (Some(false), Related, false, Ingress),
            (Some(false), New, true, Egress),
            (Some(false), Reply, false, Egress),
            (Some(true), Unknown, false, Nobody),
            (Some(true), Unknown, true, Nobody),
            (None, New, true, Nobody),
        ];
        for (from_it, reason, is_translated, expected) in cases {
            assert_eq!(
                datapath_direction(from_it, reason, is_translated),
                expected,
                "{from_it:?} {reason:?} {is_translated}"
            );
        }
        assert_eq!(datapath_drop_direction(Some(true)), Egress);
        assert_eq!(datapath_drop_direction(Some(false)), Ingress);
        assert_eq!(datapath_drop_direction(None), Nobody);
    }

    #[test]
    fn a_policy_verdict_drops_redirects_audits_or_allows() {
        let verdict = |verdict, is_audited| {
            policy_verdict(&PolicyVerdict {
                verdict,
                is_ingress: true,
                is_audited,
                match_type: 0,
                auth_type: 0,
            })
        };
        assert_eq!(verdict(-133, false), Verdict::Dropped);
        assert_eq!(verdict(15001, true), Verdict::Redirected);
        assert_eq!(verdict(0, true), Verdict::Audit);
        assert_eq!(verdict(0, false), Verdict::Forwarded);
    }

    #[test]
    fn only_a_reason_that_knows_the_connection_tells_replies() {
        let cases = [
            (TraceReason::New, Some(false)),
            (TraceReason::Established, Some(false)),
            (TraceReason::Reply, Some(true)),
            (TraceReason::Related, Some(false)),
            (TraceReason::Unknown, None),
            (TraceReason::Srv6Encap, None),
            (TraceReason::Srv6Decap, None),
        ];
        for (reason, expected) in cases {
            assert_eq!(is_reply(reason), expected, "{reason:?}");
        }
    }
}
