//! How filters look at the observer's events.

use std::{borrow::Cow, cell::OnceCell, sync::Arc};

use flow_api::flow::Flow;
use flow_filter::{
    EndpointView, EventKind, EventType, Filter, FlowView, InterfaceView, IpView, L4Protocol,
    ServiceView, Side, TcpFlags, WorkloadView,
};

use crate::{
    encode::{NodeFacts, flow_message, uuid_digits},
    record::{FlowRecord, Observation, Party, Transport},
    ring::Event,
};

/// Whether a filter lets an event through. Events that are no flows are not for filters to judge.
pub(crate) fn matches(filter: &Filter, event: &Event, node: &NodeFacts) -> bool {
    match event {
        Event::Flow(flow) => filter.matches(&RecordView::new(flow, node)),
        Event::Message(flow) => filter.matches(&*flow.message),
        Event::Recorded(response) => response.flow().is_none_or(|flow| filter.matches(flow)),
        Event::Agent(_) | Event::Debug(_) | Event::Lost(_) => true,
    }
}

/// A flow of the ring, together with what all flows of a node share.
pub(crate) struct RecordView<'a> {
    flow: &'a FlowRecord,
    node: &'a NodeFacts,
    /// Only some filters ask for them.
    node_labels: OnceCell<Arc<[String]>>,
}

impl<'a> RecordView<'a> {
    pub(crate) fn new(flow: &'a FlowRecord, node: &'a NodeFacts) -> Self {
        Self {
            flow,
            node,
            node_labels: OnceCell::new(),
        }
    }

    /// The flow itself.
    pub(crate) fn record(&self) -> &'a FlowRecord {
        self.flow
    }

    fn party(&self, side: Side) -> &Party {
        match side {
            Side::Source => &self.flow.source,
            Side::Destination => &self.flow.destination,
        }
    }
}

impl FlowView for RecordView<'_> {
    type Endpoint<'a>
        = &'a Party
    where
        Self: 'a;

    fn kind(&self) -> EventKind {
        EventKind::Flow
    }

    fn has_uuid(&self, is_wanted: impl FnOnce(&str) -> bool) -> bool {
        std::str::from_utf8(&uuid_digits(self.flow.uuid)).is_ok_and(is_wanted)
    }

    fn event_type(&self) -> Option<EventType> {
        let (message, sub_type) = self.flow.event_type();
        Some(EventType { message, sub_type })
    }

    fn verdict(&self) -> i32 {
        self.flow.verdict().into()
    }

    fn drop_reason(&self) -> i32 {
        self.flow.drop_reason().cast_signed()
    }

    fn is_encrypted(&self) -> bool {
        matches!(self.flow.observation, Observation::Trace { encrypted, .. } if encrypted)
            && self.flow.packet.ip.is_some()
    }

    fn is_reply(&self) -> Option<bool> {
        self.flow.is_reply()
    }

    fn traffic_direction(&self) -> i32 {
        self.flow.direction.into()
    }

    fn ip(&self, side: Side) -> Option<IpView<'_>> {
        let ip = self.flow.packet.ip?;
        Some(IpView::Address(match side {
            Side::Source => self.flow.original_source().unwrap_or(ip.source),
            Side::Destination => ip.destination,
        }))
    }

    fn source_ip_translated(&self) -> Option<IpView<'_>> {
        let translated = self.flow.original_source().and(self.flow.packet.ip)?.source;
        Some(IpView::Address(translated))
    }

    fn ip_trace_id(&self) -> u64 {
        self.flow.rare.as_ref().map_or(0, |rare| rare.ip_trace_id)
    }

    fn ip_version(&self) -> i32 {
        match self.flow.packet.ip {
            None => 0,
            Some(ip) if ip.source.is_ipv4() => 1,
            Some(_) => 2,
        }
    }

    fn l4_protocol(&self) -> Option<L4Protocol> {
        Some(match self.flow.packet.transport? {
            Transport::Tcp { .. } => L4Protocol::Tcp,
            Transport::Udp { .. } => L4Protocol::Udp,
            Transport::Sctp { .. } => L4Protocol::Sctp,
            Transport::Icmpv4 { .. } => L4Protocol::Icmpv4,
            Transport::Icmpv6 { .. } => L4Protocol::Icmpv6,
            Transport::Vrrp { .. } => L4Protocol::Vrrp,
            Transport::Igmp { .. } => L4Protocol::Igmp,
        })
    }

    fn port(&self, side: Side) -> Option<u16> {
        match self.flow.packet.transport? {
            Transport::Tcp {
                source_port,
                destination_port,
                ..
            }
            | Transport::Udp {
                source_port,
                destination_port,
            }
            | Transport::Sctp {
                source_port,
                destination_port,
                ..
            } => Some(match side {
                Side::Source => source_port,
                Side::Destination => destination_port,
            }),
            Transport::Icmpv4 { .. }
            | Transport::Icmpv6 { .. }
            | Transport::Vrrp { .. }
            | Transport::Igmp { .. } => None,
        }
    }

    fn tcp_flags(&self) -> Option<TcpFlags> {
        match self.flow.packet.transport? {
            Transport::Tcp { flags, .. } => Some(flags),
            _ => None,
        }
    }

    fn endpoint(&self, side: Side) -> Option<&Party> {
        Some(self.party(side))
    }

    fn service(&self, side: Side) -> Option<ServiceView<'_>> {
        let service = self.party(side).service.as_ref()?;
        Some(ServiceView {
            name: &service.name,
            namespace: &service.namespace,
        })
    }

    fn names(&self, side: Side) -> impl Iterator<Item = &str> {
        let names = self.party(side).names.iter();
        names.flat_map(|names| &names.all).map(|name| &*name.text)
    }

    fn node_labels(&self) -> impl Iterator<Item = &str> {
        let labels = self.node_labels.get_or_init(|| self.node.labels());
        labels.iter().map(String::as_str)
    }

    fn node_name(&self) -> &str {
        &self.node.name
    }

    fn interface(&self) -> Option<InterfaceView<'_>> {
        let interface = self.flow.interface.as_ref()?;
        Some(InterfaceView {
            index: interface.index,
            name: &interface.name,
        })
    }

    fn message(&self) -> Cow<'_, Flow> {
        Cow::Owned(flow_message(self.flow, self.node))
    }
}

impl EndpointView for Party {
    fn identity(&self) -> u32 {
        self.identity
    }

    fn cluster_name(&self) -> &str {
        &self.endpoint.cluster_name
    }

    fn namespace(&self) -> &str {
        &self.endpoint.namespace
    }

    fn pod_name(&self) -> &str {
        &self.endpoint.pod_name
    }

    fn labels(&self) -> impl Iterator<Item = &str> {
        self.endpoint.labels.iter().map(String::as_str)
    }

    fn workloads(&self) -> impl Iterator<Item = WorkloadView<'_>> {
        self.endpoint.workloads.iter().map(|workload| WorkloadView {
            kind: &workload.kind,
            name: &workload.name,
        })
    }
}
