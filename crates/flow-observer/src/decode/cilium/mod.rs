//! Records of Cilium's datapath and agent.
//!
//! In: one record as the datapath wrote it into its perf buffer, or as the agent's monitor socket
//! hands it on; its first byte is the type. Out: its fields, and the bytes of its packet. Lengths
//! and versions are those of Cilium 1.19, older layouts included (bpf/lib: drop.h, trace.h,
//! policy_log.h, dbg.h, trace_sock.h). Records of the datapath are decoded without allocating.

mod access_log;
mod agent;
mod agent_event;
mod debug;
mod debug_event;
mod dropped;
mod header;
mod l7;
mod payload;
mod policy_verdict;
mod requests;
mod socket;
mod trace;

pub use access_log::{
    AccessLog, DnsRecord, GenericRecord, HttpRecord, KafkaRecord, LoggedEndpoint,
};
pub use agent::AgentNotification;
pub(crate) use agent_event::{agent_event, deleted_endpoint};
pub use debug::{DebugCapture, DebugMessage};
pub(crate) use debug_event::debug_event;
pub use dropped::DropNotify;
pub use header::{CaptureHeader, Overlay, Packet, PacketFlags, PacketStart};
pub(crate) use l7::flow as l7_flow;
pub use payload::{Payload, PayloadKind};
pub use policy_verdict::PolicyVerdictNotify;
pub(crate) use requests::Requests;
pub use socket::{SocketProtocol, TraceSockNotify};
pub use trace::TraceNotify;

use super::gob::GobError;

/// Type of drop records.
pub const TYPE_DROP: u8 = 1;
/// Type of debug messages.
pub const TYPE_DEBUG: u8 = 2;
/// Type of debug captures.
pub const TYPE_CAPTURE: u8 = 3;
/// Type of trace records.
pub const TYPE_TRACE: u8 = 4;
/// Type of policy verdicts.
pub const TYPE_POLICY_VERDICT: u8 = 5;
/// Type of socket records.
pub const TYPE_TRACE_SOCK: u8 = 7;
/// Type of the proxy's access log.
pub const TYPE_ACCESS_LOG: u8 = 129;
/// Type of the agent's notifications.
pub const TYPE_AGENT: u8 = 130;

/// One record, decoded. What is boxed is rare.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Record<'a> {
    /// The datapath dropped a packet.
    Drop(DropNotify, Packet<'a>),
    /// The datapath tells what it is doing.
    Debug(DebugMessage),
    /// A packet that was captured for debugging.
    Capture(DebugCapture, Packet<'a>),
    /// A packet passed a trace point.
    Trace(TraceNotify, Packet<'a>),
    /// A policy decided about a packet.
    PolicyVerdict(PolicyVerdictNotify, Packet<'a>),
    /// A socket's address was translated.
    Socket(TraceSockNotify),
    /// The proxy saw a request or response.
    AccessLog(Box<AccessLog>),
    /// The agent did something.
    Agent(AgentNotification),
}

/// Why a record could not be decoded. It is counted and skipped; the stream goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CiliumError {
    /// Fewer bytes than the layout takes; an agent of another version, or a torn record.
    #[error("truncated {kind} record: {len} bytes, need {need}")]
    Truncated {
        /// Kind of record.
        kind: &'static str,
        /// Bytes received.
        len: usize,
        /// Bytes needed.
        need: usize,
    },
    /// A layout that is newer than this build.
    #[error("{kind} record of version {version}, the newest known is {newest}")]
    UnknownVersion {
        /// Kind of record.
        kind: &'static str,
        /// Its version.
        version: u8,
        /// The newest version that is understood.
        newest: u8,
    },
    /// A record of another kind, such as the datapath's packet recorder.
    #[error("unknown record type {0}")]
    UnknownType(u8),
    /// No bytes at all.
    #[error("empty record")]
    Empty,
    /// An agent's record is no value that could be read.
    #[error("unreadable {kind} record")]
    Gob {
        /// Kind of record.
        kind: &'static str,
        /// What is wrong with it.
        #[source]
        source: GobError,
    },
    /// An access-log record whose time is no RFC 3339 text.
    #[error("the access log record has no readable time")]
    Timestamp,
    /// An agent's record holds something else than it should.
    #[error("the {kind} record is no struct")]
    NoStruct {
        /// Kind of record.
        kind: &'static str,
    },
}

impl CiliumError {
    /// A short name for counters.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "truncated_record",
            Self::UnknownVersion { .. } => "unknown_version",
            Self::UnknownType(_) => "unknown_type",
            Self::Empty => "empty_record",
            Self::Gob { source, .. } => source.reason(),
            Self::Timestamp => "bad_timestamp",
            Self::NoStruct { .. } => "no_struct",
        }
    }
}

/// Decodes one record.
///
/// # Errors
/// When it is cut, of an unknown type or version, or holds no readable value.
pub fn decode(record: &[u8]) -> Result<Record<'_>, CiliumError> {
    let (&kind, value) = record.split_first().ok_or(CiliumError::Empty)?;

    match kind {
        TYPE_TRACE => {
            TraceNotify::read(record).map(|(notify, packet)| Record::Trace(notify, packet))
        }
        TYPE_DROP => DropNotify::read(record).map(|(notify, packet)| Record::Drop(notify, packet)),
        TYPE_POLICY_VERDICT => PolicyVerdictNotify::read(record)
            .map(|(notify, packet)| Record::PolicyVerdict(notify, packet)),
        TYPE_TRACE_SOCK => TraceSockNotify::read(record).map(Record::Socket),
        TYPE_CAPTURE => {
            DebugCapture::read(record).map(|(capture, packet)| Record::Capture(capture, packet))
        }
        TYPE_DEBUG => DebugMessage::read(record).map(Record::Debug),
        TYPE_ACCESS_LOG => AccessLog::read(value).map(|log| Record::AccessLog(Box::new(log))),
        TYPE_AGENT => AgentNotification::read(value).map(Record::Agent),
        kind => Err(CiliumError::UnknownType(kind)),
    }
}

/// How many bytes of a perf sample are the record, the rest being padding. All of them where the
/// record does not tell, or tells more than there are.
#[must_use]
pub fn record_length(sample: &[u8]) -> usize {
    let packet = |offset: Result<usize, CiliumError>| {
        let captured = sample.get(12..14)?;
        Some(offset.ok()? + usize::from(u16::from_ne_bytes(captured.try_into().ok()?)))
    };
    let version = sample.get(14).copied().unwrap_or(u8::MAX);
    let length = match sample.first() {
        Some(&TYPE_TRACE) => packet(trace::data_offset(version)),
        Some(&TYPE_DROP) => packet(dropped::data_offset(version)),
        Some(&TYPE_POLICY_VERDICT) => packet(Ok(policy_verdict::LENGTH)),
        Some(&TYPE_CAPTURE) => sample
            .get(8..12)
            .and_then(|captured| captured.try_into().ok())
            .map(|captured| {
                debug::CAPTURE_LENGTH.saturating_add(u32::from_ne_bytes(captured) as usize)
            }),
        Some(&TYPE_DEBUG) => Some(debug::MESSAGE_LENGTH),
        _ => None,
    };
    length.map_or(sample.len(), |length| length.min(sample.len()))
}

#[cfg(test)]
pub(crate) mod tests;
