//! The messages of the wire contract as events that can be filtered.

use std::borrow::Cow;

use flow_api::flow::{self, Flow, layer4, layer7};
use flow_api::observer::{GetFlowsResponse, get_flows_response::ResponseTypes};

use crate::view::{
    EndpointView, EventKind, EventType, FlowView, HttpView, InterfaceView, IpView, L4Protocol,
    L7Protocol, ServiceView, Side, TcpFlags, WorkloadView,
};

/// Answers a question with what the flow inside a response says, or with what stands after `or`
/// when the response carries none.
macro_rules! ask_the_carried_flow {
    ($($question:ident($($argument:ident: $kind:ty)?) -> $answer:ty, or $none:expr;)*) => {$(
        fn $question(&self $(, $argument: $kind)?) -> $answer {
            carried_flow(self).map_or($none, |flow| FlowView::$question(flow $(, $argument)?))
        }
    )*};
}

impl FlowView for Flow {
    type Endpoint<'a> = &'a flow::Endpoint;

    fn kind(&self) -> EventKind {
        EventKind::Flow
    }

    fn has_uuid(&self, is_wanted: impl FnOnce(&str) -> bool) -> bool {
        is_wanted(&self.uuid)
    }

    fn event_type(&self) -> Option<EventType> {
        let event_type = self.event_type.as_ref()?;
        Some(EventType {
            message: event_type.r#type,
            sub_type: event_type.sub_type,
        })
    }

    fn verdict(&self) -> i32 {
        self.verdict
    }

    fn drop_reason(&self) -> i32 {
        self.drop_reason_desc
    }

    fn is_reply(&self) -> Option<bool> {
        self.is_reply
    }

    fn is_encrypted(&self) -> bool {
        self.ip.as_ref().is_some_and(|ip| ip.encrypted)
    }

    fn traffic_direction(&self) -> i32 {
        self.traffic_direction
    }

    fn ip(&self, side: Side) -> Option<IpView<'_>> {
        let ip = self.ip.as_ref()?;
        Some(IpView::Text(match side {
            Side::Source => &ip.source,
            Side::Destination => &ip.destination,
        }))
    }

    fn source_ip_translated(&self) -> Option<IpView<'_>> {
        Some(IpView::Text(&self.ip.as_ref()?.source_xlated))
    }

    fn ip_version(&self) -> i32 {
        self.ip.as_ref().map_or(0, |ip| ip.ip_version)
    }

    fn l4_protocol(&self) -> Option<L4Protocol> {
        Some(match l4(self)? {
            layer4::Protocol::Tcp(_) => L4Protocol::Tcp,
            layer4::Protocol::Udp(_) => L4Protocol::Udp,
            layer4::Protocol::IcmPv4(_) => L4Protocol::Icmpv4,
            layer4::Protocol::IcmPv6(_) => L4Protocol::Icmpv6,
            layer4::Protocol::Sctp(_) => L4Protocol::Sctp,
            layer4::Protocol::Vrrp(_) => L4Protocol::Vrrp,
            layer4::Protocol::Igmp(_) => L4Protocol::Igmp,
        })
    }

    fn port(&self, side: Side) -> Option<u16> {
        let (source, destination) = match l4(self)? {
            layer4::Protocol::Tcp(tcp) => (tcp.source_port, tcp.destination_port),
            layer4::Protocol::Udp(udp) => (udp.source_port, udp.destination_port),
            layer4::Protocol::Sctp(sctp) => (sctp.source_port, sctp.destination_port),
            _ => return None,
        };
        let port = match side {
            Side::Source => source,
            Side::Destination => destination,
        };
        // The message has room for more than a port; Hubble looks at the low 16 bits.
        u16::try_from(port & 0xffff).ok()
    }

    fn tcp_flags(&self) -> Option<TcpFlags> {
        match l4(self)? {
            layer4::Protocol::Tcp(tcp) => tcp.flags.as_ref().map(TcpFlags::from),
            _ => None,
        }
    }

    fn endpoint(&self, side: Side) -> Option<&flow::Endpoint> {
        match side {
            Side::Source => self.source.as_ref(),
            Side::Destination => self.destination.as_ref(),
        }
    }

    fn service(&self, side: Side) -> Option<ServiceView<'_>> {
        let service = match side {
            Side::Source => self.source_service.as_ref()?,
            Side::Destination => self.destination_service.as_ref()?,
        };
        Some(ServiceView {
            namespace: &service.namespace,
            name: &service.name,
        })
    }

    fn names(&self, side: Side) -> impl Iterator<Item = &str> {
        let names = match side {
            Side::Source => &self.source_names,
            Side::Destination => &self.destination_names,
        };
        names.iter().map(String::as_str)
    }

    fn l7_protocol(&self) -> Option<L7Protocol> {
        Some(match l7(self)? {
            layer7::Record::Dns(_) => L7Protocol::Dns,
            layer7::Record::Http(_) => L7Protocol::Http,
            #[expect(
                deprecated,
                reason = "still part of the contract, and still filtered by"
            )]
            layer7::Record::Kafka(_) => L7Protocol::Kafka,
        })
    }

    fn dns_query(&self) -> Option<&str> {
        match l7(self)? {
            layer7::Record::Dns(dns) => Some(&dns.query),
            _ => None,
        }
    }

    fn http(&self) -> Option<HttpView<'_>> {
        let http = http(self)?;
        Some(HttpView {
            code: http.code,
            method: &http.method,
            url: &http.url,
        })
    }

    fn http_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        http(self)
            .into_iter()
            .flat_map(|http| &http.headers)
            .map(|header| (header.key.as_str(), header.value.as_str()))
    }

    fn node_name(&self) -> &str {
        &self.node_name
    }

    fn node_labels(&self) -> impl Iterator<Item = &str> {
        self.node_labels.iter().map(String::as_str)
    }

    fn interface(&self) -> Option<InterfaceView<'_>> {
        let interface = self.interface.as_ref()?;
        Some(InterfaceView {
            index: interface.index,
            name: &interface.name,
        })
    }

    fn trace_id(&self) -> &str {
        let parent = self
            .trace_context
            .as_ref()
            .and_then(|context| context.parent.as_ref());
        parent.map_or("", |parent| &parent.trace_id)
    }

    fn ip_trace_id(&self) -> u64 {
        self.ip_trace_id.as_ref().map_or(0, |id| id.trace_id)
    }

    fn message(&self) -> Cow<'_, Flow> {
        Cow::Borrowed(self)
    }
}

fn l4(flow: &Flow) -> Option<&layer4::Protocol> {
    flow.l4.as_ref()?.protocol.as_ref()
}

fn l7(flow: &Flow) -> Option<&layer7::Record> {
    flow.l7.as_ref()?.record.as_ref()
}

fn http(flow: &Flow) -> Option<&flow::Http> {
    match l7(flow)? {
        layer7::Record::Http(http) => Some(http),
        _ => None,
    }
}

impl EndpointView for flow::Endpoint {
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

impl From<&flow::TcpFlags> for TcpFlags {
    fn from(flags: &flow::TcpFlags) -> Self {
        let in_header_order = [
            flags.fin, flags.syn, flags.rst, flags.psh, flags.ack, flags.urg, flags.ece, flags.cwr,
            flags.ns,
        ];
        let bits = in_header_order
            .into_iter()
            .enumerate()
            .fold(0, |bits, (position, set)| bits | u16::from(set) << position);
        Self::from_bits(bits)
    }
}

/// A response that carries no flow is [`EventKind::Other`], lost events included: those who filter
/// responses are clients, and Hubble's client does not let lost events pass an event type filter,
/// unlike its server.
impl FlowView for GetFlowsResponse {
    type Endpoint<'a> = &'a flow::Endpoint;

    fn kind(&self) -> EventKind {
        carried_flow(self).map_or(EventKind::Other, Flow::kind)
    }

    ask_the_carried_flow! {
        has_uuid(is_wanted: impl FnOnce(&str) -> bool) -> bool, or false;
        event_type() -> Option<EventType>, or None;
        verdict() -> i32, or 0;
        drop_reason() -> i32, or 0;
        is_reply() -> Option<bool>, or None;
        is_encrypted() -> bool, or false;
        traffic_direction() -> i32, or 0;
        ip(side: Side) -> Option<IpView<'_>>, or None;
        source_ip_translated() -> Option<IpView<'_>>, or None;
        ip_version() -> i32, or 0;
        l4_protocol() -> Option<L4Protocol>, or None;
        port(side: Side) -> Option<u16>, or None;
        tcp_flags() -> Option<TcpFlags>, or None;
        endpoint(side: Side) -> Option<&flow::Endpoint>, or None;
        service(side: Side) -> Option<ServiceView<'_>>, or None;
        l7_protocol() -> Option<L7Protocol>, or None;
        dns_query() -> Option<&str>, or None;
        http() -> Option<HttpView<'_>>, or None;
        node_name() -> &str, or "";
        interface() -> Option<InterfaceView<'_>>, or None;
        trace_id() -> &str, or "";
        ip_trace_id() -> u64, or 0;
        message() -> Cow<'_, Flow>, or Cow::default();
    }

    fn names(&self, side: Side) -> impl Iterator<Item = &str> {
        carried_flow(self)
            .into_iter()
            .flat_map(move |flow| flow.names(side))
    }

    fn http_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        carried_flow(self).into_iter().flat_map(Flow::http_headers)
    }

    fn node_labels(&self) -> impl Iterator<Item = &str> {
        carried_flow(self).into_iter().flat_map(Flow::node_labels)
    }
}

fn carried_flow(response: &GetFlowsResponse) -> Option<&Flow> {
    match response.response_types.as_ref()? {
        ResponseTypes::Flow(flow) => Some(flow),
        ResponseTypes::LostEvents(_) | ResponseTypes::NodeStatus(_) => None,
    }
}
