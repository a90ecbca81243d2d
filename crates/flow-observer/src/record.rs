//! A flow as the observer keeps it: numbers inline, metadata shared.
//!
//! Protobuf appears only when a reader wants the bytes (`encode`). What a flow was called when it
//! happened is part of it, and does not change when the names do.

use std::{net::IpAddr, sync::Arc};

use flow_api::flow;
use flow_filter::TcpFlags;
use probe_events::{TracePoint, TraceReason};

/// One observed packet.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowRecord {
    /// Wall clock, nanoseconds since 1970.
    pub time_ns: i64,
    /// Random (version 4) identifier.
    pub uuid: u128,
    /// What was observed.
    pub observation: Observation,
    /// The packet's headers.
    pub packet: PacketHeaders,
    /// Who sent it.
    pub source: Arc<Endpoint>,
    /// Who was to receive it.
    pub destination: Arc<Endpoint>,
    /// As seen from the endpoint that the observation belongs to.
    pub direction: flow::TrafficDirection,
    /// Where it was seen; drops have none, as in Hubble.
    pub interface: Option<Interface>,
    /// Cookie of the sending socket, 0 when unknown.
    pub socket_cookie: u64,
}

/// What was observed of a packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// It passed a trace point.
    Trace {
        /// Where.
        point: TracePoint,
        /// What was known of its connection.
        reason: TraceReason,
    },
    /// The kernel dropped it.
    Drop {
        /// Hubble's number for the kernel's reason, see `decode::drop_code`.
        code: u8,
        /// The kernel's name for the reason.
        reason: Arc<str>,
        /// The kernel function that dropped it.
        function: Option<Arc<str>>,
    },
}

/// The headers of a packet, as far as it had them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PacketHeaders {
    /// Source and destination of the Ethernet header.
    pub ethernet: Option<Ethernet>,
    /// Source and destination of the IP header.
    pub ip: Option<Ip>,
    /// The transport header.
    pub transport: Option<Transport>,
}

/// Link layer addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ethernet {
    /// Sender.
    pub source: [u8; 6],
    /// Receiver.
    pub destination: [u8; 6],
}

/// Network layer addresses, of one family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ip {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
}

/// A transport header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(missing_docs, reason = "fields named as in the RFCs")]
pub enum Transport {
    Tcp {
        source_port: u16,
        destination_port: u16,
        flags: TcpFlags,
    },
    Udp {
        source_port: u16,
        destination_port: u16,
    },
    Sctp {
        source_port: u16,
        destination_port: u16,
    },
    Icmpv4 {
        kind: u8,
        code: u8,
    },
    Icmpv6 {
        kind: u8,
        code: u8,
    },
}

/// A network device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its name; empty when it was gone before anybody looked.
    pub name: Arc<str>,
}

/// One side of a flow: who it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Endpoint {
    /// Number on its own node; 0 for everything that is not a local workload.
    pub id: u32,
    /// Security identity.
    pub identity: u32,
    /// Cluster, empty for what is outside of any.
    pub cluster_name: String,
    /// Namespace, empty for what has none.
    pub namespace: String,
    /// Pod, empty for what is none.
    pub pod_name: String,
    /// `source:key=value`, sorted.
    pub labels: Vec<String>,
    /// What owns the pod.
    pub workloads: Vec<Workload>,
}

/// What owns a pod.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Workload {
    /// As in `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl FlowRecord {
    /// Forwarded or dropped.
    #[must_use]
    pub fn verdict(&self) -> flow::Verdict {
        match self.observation {
            Observation::Trace { .. } => flow::Verdict::Forwarded,
            Observation::Drop { .. } => flow::Verdict::Dropped,
        }
    }

    /// Whether the packet answers another; `None` where the beginning of the connection was not
    /// seen, and for drops.
    #[must_use]
    pub fn is_reply(&self) -> Option<bool> {
        match self.observation {
            Observation::Trace {
                reason: TraceReason::Unknown,
                ..
            }
            | Observation::Drop { .. } => None,
            Observation::Trace { reason, .. } => Some(reason == TraceReason::Reply),
        }
    }

    /// Hubble's number for this kind of record, and for the point or reason.
    #[must_use]
    pub fn event_type(&self) -> (i32, i32) {
        match self.observation {
            Observation::Trace { point, .. } => (MESSAGE_TRACE, i32::from(point as u8)),
            Observation::Drop { code, .. } => (MESSAGE_DROP, i32::from(code)),
        }
    }
}

/// `CiliumEventType.type` of a drop.
pub(crate) const MESSAGE_DROP: i32 = 1;
/// `CiliumEventType.type` of a trace.
pub(crate) const MESSAGE_TRACE: i32 = 4;
