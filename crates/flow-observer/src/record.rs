//! A flow as the observer keeps it: numbers inline, metadata shared.
//!
//! Protobuf appears only when a reader wants the bytes (`encode`). What a flow was called when it
//! happened is part of it, and does not change when the names do.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, OnceLock},
};

use flow_api::flow;
use flow_filter::TcpFlags;
use probe_events::{TracePoint, TraceReason};

use crate::{decode::payload::ApplicationSummary, process::Process, translation::Translation};

/// One observed packet, or what is left to say of a connection.
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
    /// What was around these headers. Packets of a connection have the same, and share it.
    pub tunnel: Option<Arc<Tunnel>>,
    /// Who sent it.
    pub source: Party,
    /// Who was to receive it.
    pub destination: Party,
    /// As seen from the endpoint that the observation belongs to.
    pub direction: flow::TrafficDirection,
    /// Where it was seen; drops have none, as in Hubble. Flows at the same place share it.
    pub interface: Option<Arc<Interface>>,
    /// Cookie of the sending socket, 0 when unknown.
    pub socket_cookie: u64,
    /// What this report of a connection stands for.
    pub counts: Counts,
    /// Who on this node is behind the connection.
    pub process: Option<Arc<Process>>,
    /// What became of the addresses on the way of the connection.
    pub translation: Option<Arc<Translation>>,
    /// What few flows have; on its own so that the others stay small.
    pub rare: Option<Box<Rare>>,
}

/// The ring keeps up to 65,535 flows for readers that may come, and each is copied into it: a byte
/// more here is a byte more for each of them, and time for each event.
const _: () = assert!(size_of::<FlowRecord>() <= 272);

/// One side of a flow, as it was known when the flow happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Party {
    /// Who is behind the address.
    pub endpoint: Arc<Endpoint>,
    /// The identity: that of the event where it has one, else that of the endpoint.
    pub identity: u32,
    /// What the other side calls the address.
    pub names: Option<Arc<Names>>,
    /// The service that is meant by the address and the port.
    pub service: Option<Arc<Service>>,
}

impl Party {
    /// An endpoint by its own identity.
    #[must_use]
    pub fn of(endpoint: &Arc<Endpoint>) -> Self {
        Self {
            endpoint: Arc::clone(endpoint),
            identity: endpoint.identity,
            names: None,
            service: None,
        }
    }
}

/// What an address is called.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Names {
    /// The latest first; at least one.
    pub all: Vec<Name>,
}

/// A name of an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Name {
    /// In lower case, without the final dot.
    pub text: Arc<str>,
    /// Where it is known from.
    pub origin: NameOrigin,
    /// When it was last told; nanoseconds since 1970.
    pub told_ns: i64,
}

/// Where a name is known from.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum NameOrigin {
    /// An answer of a DNS server.
    Dns,
    /// The server name of a TLS connection.
    Tls,
    /// The server name of a QUIC connection.
    Quic,
    /// The host of an HTTP request.
    Http,
    /// The inventory file.
    Inventory,
}

impl NameOrigin {
    /// Its name, as in `dns`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Http => "http",
            Self::Inventory => "inventory",
        }
    }
}

/// A service.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Service {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

/// Traffic of a connection since its last report at the same place, zeros where nobody counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// In the direction of the reported packet, itself included.
    pub forward: Traffic,
    /// In the other direction.
    pub backward: Traffic,
    /// TCP segments that this node's sockets sent again.
    pub tcp_retransmits: u32,
    /// TCP resets that this node's sockets sent.
    pub tcp_resets_sent: u32,
}

/// An amount of traffic.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// Packets as they go over a wire: a packet that is still to be segmented counts as many.
    pub packets: u64,
    /// Bytes, with link layer headers.
    pub bytes: u64,
}

/// What few flows have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rare {
    /// The port of the proxy that the packet went to or came from.
    pub proxy_port: u32,
    /// The source before it was translated (masqueraded); the packet's own is the translated one.
    pub original_source: Option<IpAddr>,
    /// The trace identifier of an IP option; 0 for none.
    pub ip_trace_id: u64,
    /// What the payload said.
    pub application: Option<ApplicationSummary>,
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
        /// It was encrypted on the wire.
        encrypted: bool,
    },
    /// No packet: a connection ended, or was silent for long, with packets that were not reported.
    Closing {
        /// Where they passed.
        point: TracePoint,
        /// What was known of the connection.
        reason: TraceReason,
    },
    /// It is in a capture file, which does not tell where it was seen.
    Captured,
    /// The kernel dropped it. Packets that were dropped at the same place for the same reason share
    /// what there is to say.
    KernelDrop(Arc<KernelDrop>),
    /// Cilium's datapath dropped it.
    DatapathDrop {
        /// Hubble's number for the reason.
        code: u8,
        /// Number of the source file.
        file: u8,
        /// Line in it.
        line: u16,
    },
    /// A policy decided about it.
    PolicyVerdict(PolicyVerdict),
    /// The datapath was asked to show it while it was at work on it.
    DebugCapture {
        /// Hubble's `DebugCapturePoint`.
        point: u8,
    },
    /// No packet: the address of a socket was translated, or would have been.
    Socket {
        /// Hubble's `SocketTranslationPoint`.
        point: u8,
        /// The cgroup of the socket's owner.
        cgroup_id: u64,
    },
}

/// Where the kernel dropped a packet, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KernelDrop {
    /// Hubble's number for the reason; see `decode::drop_code`.
    pub code: u8,
    /// The kernel's name for the reason.
    pub reason: Arc<str>,
    /// The kernel function that dropped it.
    pub function: Option<Arc<str>>,
    /// Inode number of the network namespace, 0 when unknown.
    pub netns_inode: u32,
}

/// What a policy decided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PolicyVerdict {
    /// Below 0 dropped, and minus the reason; 0 allowed; above 0 sent to the proxy at this port.
    pub verdict: i32,
    /// On the way in; else on the way out.
    pub is_ingress: bool,
    /// Allowed only because policies are audited.
    pub is_audited: bool,
    /// How the policy matched; Hubble's number.
    pub match_type: u8,
    /// How the peers authenticate; Hubble's `AuthType`.
    pub auth_type: u8,
}

/// The headers of a packet, as far as it had them. Of a packet in a tunnel these are the inner
/// ones; the outer ones are a [`Tunnel`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PacketHeaders {
    /// Source and destination of the Ethernet header.
    pub ethernet: Option<Ethernet>,
    /// The outermost VLAN's number.
    pub vlan: Option<u16>,
    /// The packet is ARP; its addresses, where they are IPv4, are those of `ip`.
    pub arp: Option<Arp>,
    /// Source and destination of the IP header.
    pub ip: Option<Ip>,
    /// The packet is one part of a larger one.
    pub fragment: Option<Fragment>,
    /// The transport header. A fragment that is not the first has none.
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
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Ip {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
}

/// An ARP or RARP message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Arp {
    /// 1 asks, 2 answers; 3 and 4 are RARP's.
    pub operation: u16,
}

/// What tells a fragment of an IP packet from the others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fragment {
    /// The same in all fragments of a packet.
    pub id: u32,
    /// Bytes of the whole packet's payload that lie before this fragment.
    pub offset: u16,
    /// More fragments follow.
    pub more: bool,
    /// Number of the protocol of the whole packet.
    pub protocol: u8,
}

/// The headers around an encapsulated packet.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Tunnel {
    /// The encapsulation.
    pub protocol: TunnelProtocol,
    /// Virtual network identifier, 24 bits.
    pub vni: u32,
    /// The ends of the tunnel.
    pub ip: Ip,
    /// The outer UDP header.
    pub transport: Transport,
}

/// How a packet was encapsulated.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum TunnelProtocol {
    /// RFC 8926.
    Geneve,
    /// RFC 7348.
    Vxlan,
}

/// A transport header.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
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
        /// Type of the first chunk, where it was captured (RFC 9260, section 3.2).
        chunk: Option<u8>,
    },
    Icmpv4 {
        kind: u8,
        code: u8,
    },
    Icmpv6 {
        kind: u8,
        code: u8,
    },
    Vrrp {
        version: u8,
        kind: u8,
        id: u8,
        priority: u8,
    },
    Igmp {
        kind: u8,
        group: Ipv4Addr,
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
// In this order: the numbers, which every look-up reads, lie beside the counter of those who share
// it, which every look-up writes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Endpoint {
    /// Number on its own node; 0 for everything that is not a local workload.
    pub id: u32,
    /// Security identity.
    pub identity: u32,
    /// Cluster, empty for what is outside of any.
    pub cluster_name: Arc<str>,
    /// Namespace, empty for what has none.
    pub namespace: Arc<str>,
    /// Pod, empty for what is none.
    pub pod_name: Box<str>,
    /// `source:key=value`, sorted. Endpoints with the same labels share them.
    pub labels: Arc<[String]>,
    /// What owns the pod.
    pub workloads: Vec<Workload>,
    /// The fields as readers want them.
    pub encoded: EncodedOnce,
}

/// The encoded form of what it is part of, once somebody has asked for it: flows share their ends, so
/// that these are worth keeping. It says nothing beyond the fields that it is made of: copies, which
/// may be changed, are without it, and all are equal.
#[derive(Debug, Default)]
pub struct EncodedOnce(OnceLock<Box<[u8]>>);

impl EncodedOnce {
    /// The encoded form, made by `encode` for whoever is first.
    pub fn get_or_encode(&self, encode: impl FnOnce() -> Vec<u8>) -> &[u8] {
        self.0.get_or_init(|| encode().into())
    }
}

impl Clone for EncodedOnce {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for EncodedOnce {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for EncodedOnce {}

/// What owns a pod.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Workload {
    /// As in `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
}
