//! What metrics ask of a flow beyond what filters do.

use std::borrow::Cow;

use flow_api::flow::{DropReason, Flow, Layer7, layer4::Protocol};
use flow_filter::{EventKind, FlowView};

use super::names;
use crate::{
    decode::{icmpv4_text, icmpv6_text},
    record::{Observation, Transport},
    view::RecordView,
};

/// Numbers of `flow.CiliumEventType`.
pub(crate) mod event_type {
    pub(crate) const DROP: i32 = 1;
    pub(crate) const CAPTURE: i32 = 3;
    pub(crate) const TRACE: i32 = 4;
    pub(crate) const POLICY_VERDICT: i32 = 5;
    pub(crate) const L7: i32 = 129;
}

/// A flow that can be counted.
pub(crate) trait Measured: FlowView {
    /// The request or response.
    fn layer7(&self) -> Option<&Layer7> {
        None
    }

    /// The identifier of the trace that a request belongs to; empty for none.
    fn request_trace(&self) -> &str {
        ""
    }

    /// What an ICMP message is, as in `EchoRequest`.
    fn icmp(&self) -> Option<Cow<'static, str>>;

    /// What the first chunk of an SCTP packet is, where the flow tells, and where it is one of those
    /// by which connections begin and end.
    fn sctp_chunk(&self) -> Option<&'static str> {
        None
    }

    /// `flow.PolicyMatchType`.
    fn match_type(&self) -> u32 {
        0
    }

    /// The number of the event's type; `None` where the flow does not say.
    fn event(&self) -> Option<i32> {
        debug_assert_eq!(self.kind(), EventKind::Flow);
        self.event_type().map(|it| it.message)
    }

    /// Why it was dropped.
    fn drop_reason_name(&self) -> Cow<'static, str> {
        let number = self.drop_reason();
        match DropReason::try_from(number) {
            Ok(reason) => reason.as_str_name().into(),
            Err(_) => number.to_string().into(),
        }
    }
}

impl Measured for RecordView<'_> {
    fn icmp(&self) -> Option<Cow<'static, str>> {
        match self.record().packet.transport? {
            Transport::Icmpv4 { kind, code } => Some(icmpv4_text(kind, code)),
            Transport::Icmpv6 { kind, code } => Some(icmpv6_text(kind, code)),
            _ => None,
        }
    }

    fn sctp_chunk(&self) -> Option<&'static str> {
        match self.record().packet.transport? {
            Transport::Sctp { chunk, .. } => names::sctp_chunk(chunk?),
            _ => None,
        }
    }

    fn match_type(&self) -> u32 {
        match self.record().observation {
            Observation::PolicyVerdict(decided) => decided.match_type.into(),
            _ => 0,
        }
    }
}

impl Measured for Flow {
    fn layer7(&self) -> Option<&Layer7> {
        self.l7.as_ref()
    }

    fn request_trace(&self) -> &str {
        let parent = self
            .trace_context
            .as_ref()
            .and_then(|it| it.parent.as_ref());
        parent.map_or("", |it| &it.trace_id)
    }

    fn icmp(&self) -> Option<Cow<'static, str>> {
        // Both are a byte in a packet; the message has room for more, which says nothing.
        let byte = |number: u32| number.to_le_bytes()[0];
        match self.l4.as_ref()?.protocol.as_ref()? {
            Protocol::IcmPv4(it) => Some(icmpv4_text(byte(it.r#type), byte(it.code))),
            Protocol::IcmPv6(it) => Some(icmpv6_text(byte(it.r#type), byte(it.code))),
            _ => None,
        }
    }

    fn match_type(&self) -> u32 {
        self.policy_match_type
    }
}
