//! A compact record as an agent keeps it: numbers inline, metadata behind an `Arc`.

use std::net::IpAddr;
use std::sync::Arc;

use flow_api::flow;
use flow_filter::{
    EndpointView, EventKind, EventType, FlowView, IpView, L4Protocol, Side, TcpFlags, WorkloadView,
};

/// A flow whose addresses are numbers.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) event_type: (i32, i32),
    pub(crate) verdict: i32,
    pub(crate) is_reply: Option<bool>,
    pub(crate) ips: [IpAddr; 2],
    pub(crate) ports: [u16; 2],
    pub(crate) flags: u16,
    pub(crate) endpoints: [Option<RecordEndpoint>; 2],
    pub(crate) node_name: Arc<str>,
}

/// An identity, and what was known of it when the flow was seen.
#[derive(Clone, Debug)]
pub(crate) struct RecordEndpoint {
    pub(crate) identity: u32,
    pub(crate) metadata: Arc<Metadata>,
}

#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    pub(crate) namespace: String,
    pub(crate) pod_name: String,
    pub(crate) labels: Vec<String>,
    pub(crate) workload: (String, String),
}

impl FlowView for Record {
    type Endpoint<'a> = &'a RecordEndpoint;

    fn kind(&self) -> EventKind {
        EventKind::Flow
    }

    fn event_type(&self) -> Option<EventType> {
        let (message, sub_type) = self.event_type;
        Some(EventType { message, sub_type })
    }

    fn verdict(&self) -> i32 {
        self.verdict
    }

    fn is_reply(&self) -> Option<bool> {
        self.is_reply
    }

    fn ip(&self, side: Side) -> Option<IpView<'_>> {
        Some(IpView::Address(self.ips[index(side)]))
    }

    fn ip_version(&self) -> i32 {
        if self.ips[0].is_ipv4() { 1 } else { 2 }
    }

    fn l4_protocol(&self) -> Option<L4Protocol> {
        Some(L4Protocol::Tcp)
    }

    fn port(&self, side: Side) -> Option<u16> {
        Some(self.ports[index(side)])
    }

    fn tcp_flags(&self) -> Option<TcpFlags> {
        Some(TcpFlags::from_bits(self.flags))
    }

    fn endpoint(&self, side: Side) -> Option<&RecordEndpoint> {
        self.endpoints[index(side)].as_ref()
    }

    fn node_name(&self) -> &str {
        &self.node_name
    }
}

fn index(side: Side) -> usize {
    match side {
        Side::Source => 0,
        Side::Destination => 1,
    }
}

impl EndpointView for RecordEndpoint {
    fn identity(&self) -> u32 {
        self.identity
    }

    fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    fn pod_name(&self) -> &str {
        &self.metadata.pod_name
    }

    fn labels(&self) -> impl Iterator<Item = &str> {
        self.metadata.labels.iter().map(String::as_str)
    }

    fn workloads(&self) -> impl Iterator<Item = WorkloadView<'_>> {
        let (kind, name) = &self.metadata.workload;
        std::iter::once(WorkloadView { kind, name })
    }
}

/// The same flow as a message.
impl From<&Record> for flow::Flow {
    fn from(record: &Record) -> Self {
        let (r#type, sub_type) = record.event_type;
        let bit = |position: u32| record.flags >> position & 1 == 1;
        let flags = flow::TcpFlags {
            fin: bit(0),
            syn: bit(1),
            rst: bit(2),
            psh: bit(3),
            ack: bit(4),
            urg: bit(5),
            ece: bit(6),
            cwr: bit(7),
            ns: bit(8),
        };
        let tcp = flow::Tcp {
            source_port: record.ports[0].into(),
            destination_port: record.ports[1].into(),
            flags: Some(flags),
        };
        Self {
            event_type: Some(flow::CiliumEventType { r#type, sub_type }),
            verdict: record.verdict,
            is_reply: record.is_reply,
            ip: Some(flow::Ip {
                source: record.ips[0].to_string(),
                destination: record.ips[1].to_string(),
                ip_version: FlowView::ip_version(record),
                ..flow::Ip::default()
            }),
            l4: Some(flow::Layer4 {
                protocol: Some(flow::layer4::Protocol::Tcp(tcp)),
            }),
            source: record.endpoints[0].as_ref().map(flow::Endpoint::from),
            destination: record.endpoints[1].as_ref().map(flow::Endpoint::from),
            node_name: record.node_name.to_string(),
            ..Self::default()
        }
    }
}

impl From<&RecordEndpoint> for flow::Endpoint {
    fn from(endpoint: &RecordEndpoint) -> Self {
        let metadata = &endpoint.metadata;
        let (kind, name) = metadata.workload.clone();
        Self {
            identity: endpoint.identity,
            namespace: metadata.namespace.clone(),
            pod_name: metadata.pod_name.clone(),
            labels: metadata.labels.clone(),
            workloads: vec![flow::Workload { name, kind }],
            ..Self::default()
        }
    }
}
