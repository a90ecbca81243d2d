//! What a filter may ask of an event. A type becomes filterable by answering these questions, with
//! borrowed or copied values only, so that filtering need not allocate.
//!
//! Every question but [`FlowView::kind`] has an answer for "does not have it", and that is the
//! default: a view implements what it holds.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use flow_api::flow::Flow;

/// An event of the stream, most often a flow, as a filter sees it.
///
/// All questions but [`kind`](Self::kind) are asked of flows only ([`EventKind::Flow`]); for other
/// events the kind alone decides. Enums travel as their wire numbers, so that values of a newer
/// contract pass through.
pub trait FlowView {
    /// How this view lends an endpoint; [`NoEndpoint`] for a view that has none.
    type Endpoint<'a>: EndpointView
    where
        Self: 'a;

    /// What sort of event this is.
    fn kind(&self) -> EventKind;

    /// Whether the flow's uuid is a wanted text. A flow without one has the empty text.
    fn has_uuid(&self, is_wanted: impl FnOnce(&str) -> bool) -> bool {
        is_wanted("")
    }

    /// The monitor event type the flow came from.
    fn event_type(&self) -> Option<EventType> {
        None
    }

    /// `flow.Verdict`, 0 where unknown.
    fn verdict(&self) -> i32 {
        0
    }

    /// `flow.DropReason`, 0 where unknown or not dropped.
    fn drop_reason(&self) -> i32 {
        0
    }

    /// Whether the packet answers another; `None` where that is not known.
    fn is_reply(&self) -> Option<bool> {
        None
    }

    /// Whether the packet was encrypted on the wire.
    fn is_encrypted(&self) -> bool {
        false
    }

    /// `flow.TrafficDirection`, 0 where unknown.
    fn traffic_direction(&self) -> i32 {
        0
    }

    /// The IP address of one side.
    fn ip(&self, _side: Side) -> Option<IpView<'_>> {
        None
    }

    /// The source address after translation (masquerading).
    fn source_ip_translated(&self) -> Option<IpView<'_>> {
        None
    }

    /// `flow.IPVersion`, 0 for a flow without IP.
    fn ip_version(&self) -> i32 {
        0
    }

    /// The transport protocol.
    fn l4_protocol(&self) -> Option<L4Protocol> {
        None
    }

    /// The port of one side, for TCP, UDP and SCTP.
    fn port(&self, _side: Side) -> Option<u16> {
        None
    }

    /// The flags of a TCP segment, where known.
    fn tcp_flags(&self) -> Option<TcpFlags> {
        None
    }

    /// Who is behind the address of one side.
    fn endpoint(&self, _side: Side) -> Option<Self::Endpoint<'_>> {
        None
    }

    /// The service of one side.
    fn service(&self, _side: Side) -> Option<ServiceView<'_>> {
        None
    }

    /// The DNS names known for the address of one side, without a trailing dot.
    fn names(&self, _side: Side) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// The application protocol.
    fn l7_protocol(&self) -> Option<L7Protocol> {
        None
    }

    /// The name asked for by a DNS record, with its trailing dot.
    fn dns_query(&self) -> Option<&str> {
        None
    }

    /// The HTTP request or response.
    fn http(&self) -> Option<HttpView<'_>> {
        None
    }

    /// Key and value of each header of the HTTP request or response.
    fn http_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        std::iter::empty()
    }

    /// The node that saw the flow: `node`, or `cluster/node`.
    fn node_name(&self) -> &str {
        ""
    }

    /// That node's labels, as `key=value`.
    fn node_labels(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// The network interface the packet was seen at.
    fn interface(&self) -> Option<InterfaceView<'_>> {
        None
    }

    /// The trace id carried by the application protocol; empty for none.
    fn trace_id(&self) -> &str {
        ""
    }

    /// The trace id carried in IP options; 0 for none.
    fn ip_trace_id(&self) -> u64 {
        0
    }

    /// The whole flow, for CEL expressions, which may ask about anything. Asked once at most, and
    /// after all other questions, since a view of something else has to make it.
    fn message(&self) -> Cow<'_, Flow> {
        Cow::default()
    }
}

/// One side of a flow: what is known about the workload behind an address.
pub trait EndpointView {
    /// The numeric security identity, 0 where unknown.
    fn identity(&self) -> u32 {
        0
    }

    /// The cluster's name.
    fn cluster_name(&self) -> &str {
        ""
    }

    /// The Kubernetes namespace.
    fn namespace(&self) -> &str {
        ""
    }

    /// The pod's name.
    fn pod_name(&self) -> &str {
        ""
    }

    /// Labels as `source:key=value`.
    fn labels(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// The workloads that own the pod.
    fn workloads(&self) -> impl Iterator<Item = WorkloadView<'_>> {
        std::iter::empty()
    }
}

/// The [`EndpointView`] of views that never have an endpoint.
#[derive(Clone, Copy, Debug)]
pub enum NoEndpoint {}

impl EndpointView for NoEndpoint {}

impl<T: EndpointView> EndpointView for &T {
    fn identity(&self) -> u32 {
        T::identity(self)
    }

    fn cluster_name(&self) -> &str {
        T::cluster_name(self)
    }

    fn namespace(&self) -> &str {
        T::namespace(self)
    }

    fn pod_name(&self) -> &str {
        T::pod_name(self)
    }

    fn labels(&self) -> impl Iterator<Item = &str> {
        T::labels(self)
    }

    fn workloads(&self) -> impl Iterator<Item = WorkloadView<'_>> {
        T::workloads(self)
    }
}

/// What sort of event a view shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventKind {
    /// A notification of the node's agent.
    Agent {
        /// `flow.AgentEventType`.
        sub_type: i32,
    },
    /// A debug message of the datapath.
    Debug {
        /// `flow.DebugEventType`.
        sub_type: i32,
    },
    /// An observed packet or request.
    Flow,
    /// A counted gap in the stream.
    Lost,
    /// Anything else that travels with flows, such as a node's state.
    Other,
}

/// Which end of a flow is meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// Where the packet came from.
    Source,
    /// Where it went.
    Destination,
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Source => "source",
            Self::Destination => "destination",
        })
    }
}

/// `flow.CiliumEventType`: the monitor event behind a flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EventType {
    /// The message type, such as 1 for a drop, 4 for a trace, 129 for L7.
    pub message: i32,
    /// Within the type: the drop reason, the trace point and so on.
    pub sub_type: i32,
}

/// An IP address, as text or as a number. Both answer filters alike, provided that the text is the
/// canonical one (RFC 5952 for IPv6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IpView<'a> {
    /// A parsed address.
    Address(IpAddr),
    /// An address as it stands in a message. Empty text is no address.
    Text(&'a str),
}

/// The transport protocols a flow can have.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum L4Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP for IPv4.
    Icmpv4,
    /// ICMP for IPv6.
    Icmpv6,
    /// SCTP.
    Sctp,
    /// VRRP.
    Vrrp,
    /// IGMP.
    Igmp,
}

/// The application protocols a flow can have.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum L7Protocol {
    /// DNS.
    Dns,
    /// HTTP.
    Http,
    /// Kafka.
    Kafka,
}

/// A service that a flow came from or went to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServiceView<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// A workload that owns a pod.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WorkloadView<'a> {
    /// Such as `Deployment`.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// An HTTP request or response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HttpView<'a> {
    /// The status code; 0 for a request.
    pub code: u32,
    /// The method.
    pub method: &'a str,
    /// The URL, absolute or from the path on.
    pub url: &'a str,
}

/// A network interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InterfaceView<'a> {
    /// Its index, 0 where unknown.
    pub index: u32,
    /// Its name, empty where unknown.
    pub name: &'a str,
}

/// The nine flags of a TCP segment, as they stand in its header: FIN is bit 0, NS is bit 8
/// (RFC 9293 section 3.1, RFC 3540).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TcpFlags(u16);

impl TcpFlags {
    /// From bytes 12 and 13 of the TCP header, or from byte 13 alone. Bits above NS are not kept.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & 0x1ff)
    }

    /// The flags as header bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all flags of `other` are set here as well.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
