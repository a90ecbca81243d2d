//! One field of a filter, ready to be asked. Made by `rule`, evaluated for every event.

use flow_api::flow::Verdict;

use crate::cel::{Expression, Subject};
use crate::event_type::EventTypes;
use crate::http;
use crate::ip::IpSet;
use crate::name_set::{NamePatterns, NodePatterns};
use crate::one_of::OneOf;
use crate::pod::NamePrefixes;
use crate::protocol::Protocol;
use crate::regexp_set::RegexpSet;
use crate::selector_set::LabelSelectors;
use crate::view::{EndpointView, EventKind, FlowView, InterfaceView, Side, TcpFlags, WorkloadView};

/// A field's entries, any of which may match.
///
/// In the order in which a rule asks, cheap questions first: numbers, then text, then patterns, then
/// regular expressions, then what needs the whole flow.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    EventType(EventTypes),
    Verdict(OneOf<i32>),
    DropReason(OneOf<i32>),
    Reply(OneOf<bool>),
    Encrypted(OneOf<bool>),
    TrafficDirection(OneOf<i32>),
    IpVersion(OneOf<i32>),
    Protocol(OneOf<Protocol>),
    Port(Side, OneOf<u16>),
    TcpFlags(OneOf<TcpFlags>),
    Identity(Side, OneOf<u32>),
    IpTraceId(OneOf<u64>),
    HttpStatusCode(OneOf<u32>),
    Ip(Side, IpSet),
    SourceIpTranslated(IpSet),
    Uuid(OneOf<String>),
    TraceId(OneOf<String>),
    ClusterName(Side, OneOf<String>),
    Pod(Side, NamePrefixes),
    Service(Side, NamePrefixes),
    /// Kinds and names.
    Workload(Side, OneOf<(String, String)>),
    /// Indexes and names.
    Interface(OneOf<(u32, String)>),
    /// In upper case.
    HttpMethod(OneOf<String>),
    /// Keys and values.
    HttpHeader(OneOf<(String, String)>),
    NodeName(NodePatterns),
    Fqdn(Side, NamePatterns),
    Label(Side, LabelSelectors),
    NodeLabel(LabelSelectors),
    DnsQuery(RegexpSet),
    HttpUrl(RegexpSet),
    HttpPath(RegexpSet),
    Expression(Vec<Expression>),
}

impl Condition {
    /// Whether a flow fulfils the condition.
    pub(crate) fn matches<V: FlowView>(&self, flow: &V, subject: &Subject<'_>) -> bool {
        match self {
            Self::EventType(types) => flow.event_type().is_some_and(|seen| types.contain(seen)),
            Self::Verdict(verdicts) => verdicts.contains(&flow.verdict()),
            Self::DropReason(reasons) => is_dropped(flow) && reasons.contains(&flow.drop_reason()),
            Self::Reply(wanted) => flow
                .is_reply()
                // A packet that was dropped early did not get as far as connection tracking.
                .or_else(|| is_dropped(flow).then_some(false))
                .is_some_and(|is_reply| wanted.contains(&is_reply)),
            Self::Encrypted(wanted) => wanted.contains(&flow.is_encrypted()),
            Self::TrafficDirection(directions) => directions.contains(&flow.traffic_direction()),
            Self::IpVersion(versions) => versions.contains(&flow.ip_version()),
            Self::Protocol(protocols) => protocols.iter().any(|protocol| protocol.matches(flow)),
            Self::Port(side, ports) => flow.port(*side).is_some_and(|port| ports.contains(&port)),
            Self::TcpFlags(entries) => flow
                .tcp_flags()
                .is_some_and(|seen| entries.iter().any(|wanted| seen.contains(*wanted))),
            Self::Identity(side, identities) => flow
                .endpoint(*side)
                .is_some_and(|endpoint| identities.contains(&endpoint.identity())),
            Self::IpTraceId(ids) => ids.contains(&flow.ip_trace_id()),
            Self::HttpStatusCode(codes) => {
                flow.http().is_some_and(|http| codes.contains(&http.code))
            }
            Self::Ip(side, ips) => flow.ip(*side).is_some_and(|ip| ips.contains(ip)),
            Self::SourceIpTranslated(ips) => flow
                .source_ip_translated()
                .is_some_and(|ip| ips.contains(ip)),
            Self::Uuid(uuids) => flow.has_uuid(|uuid| uuids.contains(uuid)),
            Self::TraceId(ids) => ids.contains(flow.trace_id()),
            Self::ClusterName(side, names) => flow
                .endpoint(*side)
                .is_some_and(|endpoint| names.contains(endpoint.cluster_name())),
            Self::Pod(side, pods) => flow
                .endpoint(*side)
                .is_some_and(|endpoint| pods.matches(endpoint.namespace(), endpoint.pod_name())),
            Self::Service(side, services) => flow
                .service(*side)
                .is_some_and(|seen| services.matches(seen.namespace, seen.name)),
            Self::Workload(side, workloads) => flow.endpoint(*side).is_some_and(|endpoint| {
                endpoint
                    .workloads()
                    .any(|seen| is_workload(workloads, seen))
            }),
            Self::Interface(interfaces) => flow
                .interface()
                .is_some_and(|seen| is_interface(interfaces, seen)),
            Self::HttpMethod(methods) => flow
                .http()
                .is_some_and(|http| !http.method.is_empty() && is_method(methods, http.method)),
            Self::HttpHeader(headers) => flow
                .http_headers()
                .any(|(key, value)| contains_pair(headers, (key, value))),
            Self::NodeName(patterns) => patterns.matches(flow.node_name()),
            Self::Fqdn(side, patterns) => flow.names(*side).any(|name| patterns.matches(name)),
            Self::Label(side, selectors) => match flow.endpoint(*side) {
                Some(endpoint) => selectors.matches(|| endpoint.labels()),
                None => selectors.matches(std::iter::empty),
            },
            Self::NodeLabel(selectors) => selectors.matches(|| flow.node_labels()),
            Self::DnsQuery(patterns) => flow
                .dns_query()
                .is_some_and(|query| patterns.finds(query.as_bytes())),
            Self::HttpUrl(patterns) => flow
                .http()
                .is_some_and(|http| !http.url.is_empty() && patterns.finds(http.url.as_bytes())),
            Self::HttpPath(patterns) => flow
                .http()
                .is_some_and(|http| http::path_matches(patterns, http.url)),
            Self::Expression(expressions) => subject.matches(expressions, || flow.message()),
        }
    }

    /// Whether an event that is no flow fulfils the condition. Most fields ask about a flow and
    /// refuse; the others take it for a flow that has nothing.
    pub(crate) fn matches_other(&self, kind: EventKind, subject: &Subject<'_>) -> bool {
        match self {
            Self::Encrypted(wanted) => wanted.contains(&false),
            Self::EventType(types) => types.contain_other(kind),
            Self::Expression(expressions) => subject.matches_other(expressions),
            Self::IpTraceId(ids) => ids.contains(&0),
            Self::Label(_, selectors) | Self::NodeLabel(selectors) => {
                selectors.matches(std::iter::empty)
            }
            Self::TraceId(ids) => ids.contains(""),
            _ => false,
        }
    }

    /// The fields of a flow that the answer depends on, as paths; `None` if it may be any.
    pub(crate) fn fields(&self) -> Option<&'static [&'static str]> {
        type Paths = &'static [&'static str];
        let of = |side: &Side, source: Paths, destination: Paths| match side {
            Side::Source => source,
            Side::Destination => destination,
        };
        Some(match self {
            Self::EventType(_) => &["event_type"],
            Self::Verdict(_) => &["verdict"],
            Self::DropReason(_) => &["verdict", "drop_reason_desc"],
            Self::Reply(_) => &["verdict", "is_reply"],
            Self::Encrypted(_) => &["IP.encrypted"],
            Self::TrafficDirection(_) => &["traffic_direction"],
            Self::IpVersion(_) => &["IP.ipVersion"],
            // Of the record it is enough to know which one it is.
            Self::Protocol(_) => &["l4", "l7.dns.ttl", "l7.http.code", "l7.kafka.error_code"],
            Self::Port(..) | Self::TcpFlags(_) => &["l4"],
            Self::Identity(side, _) => of(side, &["source.identity"], &["destination.identity"]),
            Self::IpTraceId(_) => &["ip_trace_id"],
            Self::HttpStatusCode(_) => &["l7.http.code"],
            Self::Ip(side, _) => of(side, &["IP.source"], &["IP.destination"]),
            Self::SourceIpTranslated(_) => &["IP.source_xlated"],
            Self::Uuid(_) => &["uuid"],
            Self::TraceId(_) => &["trace_context"],
            Self::ClusterName(side, _) => of(
                side,
                &["source.cluster_name"],
                &["destination.cluster_name"],
            ),
            Self::Pod(side, _) => of(
                side,
                &["source.namespace", "source.pod_name"],
                &["destination.namespace", "destination.pod_name"],
            ),
            Self::Service(side, _) => of(side, &["source_service"], &["destination_service"]),
            Self::Workload(side, _) => of(side, &["source.workloads"], &["destination.workloads"]),
            Self::Interface(_) => &["interface"],
            Self::HttpMethod(_) => &["l7.http.method"],
            Self::HttpHeader(_) => &["l7.http.headers"],
            Self::NodeName(_) => &["node_name"],
            Self::Fqdn(side, _) => of(side, &["source_names"], &["destination_names"]),
            Self::Label(side, _) => of(side, &["source.labels"], &["destination.labels"]),
            Self::NodeLabel(_) => &["node_labels"],
            Self::DnsQuery(_) => &["l7.dns.query"],
            Self::HttpUrl(_) | Self::HttpPath(_) => &["l7.http.url"],
            Self::Expression(_) => return None,
        })
    }

    /// The place among the questions of a rule, cheapest first.
    pub(crate) fn cost(&self) -> u8 {
        match self {
            Self::EventType(_)
            | Self::Verdict(_)
            | Self::DropReason(_)
            | Self::Reply(_)
            | Self::Encrypted(_)
            | Self::TrafficDirection(_)
            | Self::IpVersion(_)
            | Self::Protocol(_)
            | Self::Port(..)
            | Self::TcpFlags(_)
            | Self::Identity(..)
            | Self::IpTraceId(_)
            | Self::HttpStatusCode(_) => 0,
            // Cheap as numbers, dear as text.
            Self::Ip(..) | Self::SourceIpTranslated(_) => 1,
            Self::Uuid(_)
            | Self::TraceId(_)
            | Self::ClusterName(..)
            | Self::Pod(..)
            | Self::Service(..)
            | Self::Workload(..)
            | Self::Interface(_)
            | Self::HttpMethod(_)
            | Self::HttpHeader(_) => 2,
            Self::NodeName(_) | Self::Fqdn(..) | Self::Label(..) | Self::NodeLabel(_) => 3,
            Self::DnsQuery(_) | Self::HttpUrl(_) | Self::HttpPath(_) => 4,
            Self::Expression(_) => 5,
        }
    }
}

fn is_dropped<V: FlowView>(flow: &V) -> bool {
    flow.verdict() == i32::from(Verdict::Dropped)
}

fn contains_pair(pairs: &OneOf<(String, String)>, seen: (&str, &str)) -> bool {
    fn parts((first, second): &(String, String)) -> (&str, &str) {
        (first, second)
    }
    pairs.contains_by(|pair| parts(pair).cmp(&seen), |pair| parts(pair) == seen)
}

/// Whether a workload is one of those wanted. An empty kind or name is any.
fn is_workload(wanted: &OneOf<(String, String)>, seen: WorkloadView<'_>) -> bool {
    [
        (seen.kind, seen.name),
        (seen.kind, ""),
        ("", seen.name),
        ("", ""),
    ]
    .into_iter()
    .any(|workload| contains_pair(wanted, workload))
}

/// Whether an interface is one of those wanted. Index 0 and the empty name are any.
fn is_interface(wanted: &OneOf<(u32, String)>, seen: InterfaceView<'_>) -> bool {
    fn parts((index, name): &(u32, String)) -> (u32, &str) {
        (*index, name)
    }
    [
        (seen.index, seen.name),
        (seen.index, ""),
        (0, seen.name),
        (0, ""),
    ]
    .into_iter()
    .any(|seen| wanted.contains_by(|pair| parts(pair).cmp(&seen), |pair| parts(pair) == seen))
}

/// Whether a method, in whatever case, is one of those wanted.
fn is_method(wanted: &OneOf<String>, seen: &str) -> bool {
    let in_upper_case = || seen.bytes().map(|byte| byte.to_ascii_uppercase());
    wanted.contains_by(
        |method| method.bytes().cmp(in_upper_case()),
        |method| method.eq_ignore_ascii_case(seen),
    )
}
