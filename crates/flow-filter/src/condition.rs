//! One field of a filter, ready to be asked. Made by `rule`, evaluated for every event.

use std::ops::RangeInclusive;

use flow_api::flow::{EventTypeFilter, HttpHeader, NetworkInterface, Verdict, Workload};

use crate::cel::{Expression, Subject};
use crate::event_type;
use crate::http;
use crate::ip::IpSet;
use crate::label::LabelSelector;
use crate::pattern::{NamePattern, NodePattern};
use crate::pod::NamePrefix;
use crate::protocol::Protocol;
use crate::regexp::Regexp;
use crate::view::{EndpointView, EventKind, FlowView, Side, TcpFlags};

/// A field's entries, any of which may match.
///
/// In the order in which a rule asks, cheap questions first: numbers, then text, then patterns, then
/// regular expressions, then what needs the whole flow.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    EventType(Vec<EventTypeFilter>),
    Verdict(Vec<i32>),
    DropReason(Vec<i32>),
    Reply(Vec<bool>),
    Encrypted(Vec<bool>),
    TrafficDirection(Vec<i32>),
    IpVersion(Vec<i32>),
    Protocol(Vec<Protocol>),
    Port(Side, Vec<u16>),
    TcpFlags(Vec<TcpFlags>),
    Identity(Side, Vec<u32>),
    IpTraceId(Vec<u64>),
    HttpStatusCode(Vec<RangeInclusive<u32>>),
    Ip(Side, IpSet),
    SourceIpTranslated(IpSet),
    Uuid(Vec<String>),
    TraceId(Vec<String>),
    ClusterName(Side, Vec<String>),
    Pod(Side, Vec<NamePrefix>),
    Service(Side, Vec<NamePrefix>),
    Workload(Side, Vec<Workload>),
    Interface(Vec<NetworkInterface>),
    HttpMethod(Vec<String>),
    HttpHeader(Vec<HttpHeader>),
    NodeName(Vec<NodePattern>),
    Fqdn(Side, Vec<NamePattern>),
    Label(Side, Vec<LabelSelector>),
    NodeLabel(Vec<LabelSelector>),
    DnsQuery(Vec<Regexp>),
    HttpUrl(Vec<Regexp>),
    HttpPath(Vec<Regexp>),
    Expression(Vec<Expression>),
}

impl Condition {
    /// Whether a flow fulfils the condition.
    pub(crate) fn matches<V: FlowView>(&self, flow: &V, subject: &Subject<'_>) -> bool {
        match self {
            Self::EventType(entries) => flow
                .event_type()
                .is_some_and(|seen| entries.iter().any(|entry| event_type::matches(entry, seen))),
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
            Self::HttpStatusCode(codes) => flow
                .http()
                .is_some_and(|http| codes.iter().any(|codes| codes.contains(&http.code))),
            Self::Ip(side, ips) => flow.ip(*side).is_some_and(|ip| ips.contains(ip)),
            Self::SourceIpTranslated(ips) => flow
                .source_ip_translated()
                .is_some_and(|ip| ips.contains(ip)),
            Self::Uuid(uuids) => uuids.iter().any(|uuid| flow.has_uuid(uuid)),
            Self::TraceId(ids) => contains_text(ids, flow.trace_id()),
            Self::ClusterName(side, names) => flow
                .endpoint(*side)
                .is_some_and(|endpoint| contains_text(names, endpoint.cluster_name())),
            Self::Pod(side, pods) => flow.endpoint(*side).is_some_and(|endpoint| {
                pods.iter()
                    .any(|pod| pod.matches(endpoint.namespace(), endpoint.pod_name()))
            }),
            Self::Service(side, services) => flow.service(*side).is_some_and(|seen| {
                services
                    .iter()
                    .any(|service| service.matches(seen.namespace, seen.name))
            }),
            Self::Workload(side, workloads) => flow
                .endpoint(*side)
                .is_some_and(|endpoint| has_workload(&endpoint, workloads)),
            Self::Interface(interfaces) => flow.interface().is_some_and(|seen| {
                interfaces.iter().any(|wanted| {
                    (wanted.index == 0 || wanted.index == seen.index)
                        && (wanted.name.is_empty() || wanted.name == seen.name)
                })
            }),
            Self::HttpMethod(methods) => flow.http().is_some_and(|http| {
                !http.method.is_empty()
                    && methods
                        .iter()
                        .any(|method| method.eq_ignore_ascii_case(http.method))
            }),
            Self::HttpHeader(headers) => flow.http_headers().any(|(key, value)| {
                headers
                    .iter()
                    .any(|wanted| wanted.key == key && wanted.value == value)
            }),
            Self::NodeName(patterns) => patterns
                .iter()
                .any(|pattern| pattern.matches(flow.node_name())),
            Self::Fqdn(side, patterns) => flow
                .names(*side)
                .any(|name| patterns.iter().any(|pattern| pattern.matches(name))),
            Self::Label(side, selectors) => match flow.endpoint(*side) {
                Some(endpoint) => selectors
                    .iter()
                    .any(|selector| selector.matches(|| endpoint.labels())),
                None => match_no_labels(selectors),
            },
            Self::NodeLabel(selectors) => selectors
                .iter()
                .any(|selector| selector.matches(|| flow.node_labels())),
            Self::DnsQuery(patterns) => flow
                .dns_query()
                .is_some_and(|query| find_any(patterns, query)),
            Self::HttpUrl(patterns) => flow
                .http()
                .is_some_and(|http| !http.url.is_empty() && find_any(patterns, http.url)),
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
            Self::EventType(entries) => entries
                .iter()
                .any(|entry| event_type::matches_other(entry, kind)),
            Self::Expression(expressions) => subject.matches_other(expressions),
            Self::IpTraceId(ids) => ids.contains(&0),
            Self::Label(_, selectors) | Self::NodeLabel(selectors) => match_no_labels(selectors),
            Self::TraceId(ids) => contains_text(ids, ""),
            _ => false,
        }
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

fn contains_text(wanted: &[String], text: &str) -> bool {
    wanted.iter().any(|wanted| wanted == text)
}

/// Whether a workload of the endpoint is one of those wanted. An empty kind or name is any.
fn has_workload(endpoint: &impl EndpointView, wanted: &[Workload]) -> bool {
    endpoint.workloads().any(|workload| {
        wanted.iter().any(|wanted| {
            (wanted.kind.is_empty() || wanted.kind == workload.kind)
                && (wanted.name.is_empty() || wanted.name == workload.name)
        })
    })
}

fn match_no_labels(selectors: &[LabelSelector]) -> bool {
    selectors
        .iter()
        .any(|selector| selector.matches(std::iter::empty))
}

fn find_any(patterns: &[Regexp], text: &str) -> bool {
    patterns
        .iter()
        .any(|pattern| pattern.finds(text.as_bytes()))
}
