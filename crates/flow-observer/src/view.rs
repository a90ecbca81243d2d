//! How filters look at the observer's events.

use flow_filter::{
    EndpointView, EventKind, EventType, FlowView, InterfaceView, IpView, L4Protocol, Side,
    TcpFlags, WorkloadView,
};

use crate::{
    encode::{NodeFacts, uuid_text},
    record::{Endpoint, FlowRecord, Observation, Transport},
    ring::Event,
};

/// An event of the ring, together with what all events of a node share.
pub(crate) struct EventView<'a> {
    pub(crate) event: &'a Event,
    pub(crate) node: &'a NodeFacts,
}

impl EventView<'_> {
    fn flow(&self) -> Option<&FlowRecord> {
        match self.event {
            Event::Flow(flow) => Some(flow),
            Event::Lost(_) => None,
        }
    }

    fn transport(&self) -> Option<Transport> {
        self.flow()?.packet.transport
    }
}

impl FlowView for EventView<'_> {
    type Endpoint<'a>
        = &'a Endpoint
    where
        Self: 'a;

    fn kind(&self) -> EventKind {
        match self.event {
            Event::Flow(_) => EventKind::Flow,
            Event::Lost(_) => EventKind::Lost,
        }
    }

    fn has_uuid(&self, uuid: &str) -> bool {
        self.flow().is_some_and(|flow| uuid_text(flow.uuid) == uuid)
    }

    fn event_type(&self) -> Option<EventType> {
        self.flow().map(|flow| {
            let (message, sub_type) = flow.event_type();
            EventType { message, sub_type }
        })
    }

    fn verdict(&self) -> i32 {
        self.flow().map_or(0, |flow| flow.verdict().into())
    }

    fn drop_reason(&self) -> i32 {
        match self.flow().map(|flow| &flow.observation) {
            Some(Observation::Drop { code, .. }) => i32::from(*code),
            _ => 0,
        }
    }

    fn is_reply(&self) -> Option<bool> {
        self.flow()?.is_reply()
    }

    fn traffic_direction(&self) -> i32 {
        self.flow().map_or(0, |flow| flow.direction.into())
    }

    fn ip(&self, side: Side) -> Option<IpView<'_>> {
        let ip = self.flow()?.packet.ip?;
        Some(IpView::Address(match side {
            Side::Source => ip.source,
            Side::Destination => ip.destination,
        }))
    }

    fn ip_version(&self) -> i32 {
        match self.flow().and_then(|flow| flow.packet.ip) {
            None => 0,
            Some(ip) if ip.source.is_ipv4() => 1,
            Some(_) => 2,
        }
    }

    fn l4_protocol(&self) -> Option<L4Protocol> {
        Some(match self.transport()? {
            Transport::Tcp { .. } => L4Protocol::Tcp,
            Transport::Udp { .. } => L4Protocol::Udp,
            Transport::Sctp { .. } => L4Protocol::Sctp,
            Transport::Icmpv4 { .. } => L4Protocol::Icmpv4,
            Transport::Icmpv6 { .. } => L4Protocol::Icmpv6,
        })
    }

    fn port(&self, side: Side) -> Option<u16> {
        match self.transport()? {
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
            } => Some(match side {
                Side::Source => source_port,
                Side::Destination => destination_port,
            }),
            Transport::Icmpv4 { .. } | Transport::Icmpv6 { .. } => None,
        }
    }

    fn tcp_flags(&self) -> Option<TcpFlags> {
        match self.transport()? {
            Transport::Tcp { flags, .. } => Some(flags),
            _ => None,
        }
    }

    fn endpoint(&self, side: Side) -> Option<&Endpoint> {
        self.flow().map(|flow| match side {
            Side::Source => &*flow.source,
            Side::Destination => &*flow.destination,
        })
    }

    fn node_name(&self) -> &str {
        self.flow().map_or("", |_| &self.node.name)
    }

    fn interface(&self) -> Option<InterfaceView<'_>> {
        let interface = self.flow()?.interface.as_ref()?;
        Some(InterfaceView {
            index: interface.index,
            name: &interface.name,
        })
    }
}

impl EndpointView for Endpoint {
    fn identity(&self) -> u32 {
        self.identity
    }

    fn cluster_name(&self) -> &str {
        &self.cluster_name
    }

    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn pod_name(&self) -> &str {
        &self.pod_name
    }

    fn labels(&self) -> impl Iterator<Item = &str> {
        self.labels.iter().map(String::as_str)
    }

    fn workloads(&self) -> impl Iterator<Item = WorkloadView<'_>> {
        self.workloads.iter().map(|workload| WorkloadView {
            kind: &workload.kind,
            name: &workload.name,
        })
    }
}
