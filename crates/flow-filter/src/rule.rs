//! One `FlowFilter` message as a list of conditions that must all hold.

use flow_api::flow::FlowFilter;

use crate::cel::{Expression, Subject};
use crate::condition::Condition;
use crate::error::{FilterError, NameError, RegexpError};
use crate::event_type;
use crate::http;
use crate::ip::IpSet;
use crate::label::LabelSelector;
use crate::pattern::{NamePattern, NodePattern};
use crate::pod::NamePrefix;
use crate::port;
use crate::protocol::Protocol;
use crate::regexp_set::{Budget, RegexpSet};
use crate::view::{EventKind, FlowView, Side, TcpFlags};

/// A compiled message. Without conditions it matches everything.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    conditions: Vec<Condition>,
}

impl Rule {
    pub(crate) fn compile(filter: &FlowFilter, budget: &mut Budget) -> Result<Self, FilterError> {
        let mut conditions = conditions(filter, budget)?;
        // Stable, so that equally cheap ones stay in the order of compiling.
        conditions.sort_by_key(Condition::cost);
        Ok(Self { conditions })
    }

    pub(crate) fn matches<V: FlowView>(&self, event: &V, subject: &Subject<'_>) -> bool {
        match event.kind() {
            EventKind::Flow => self
                .conditions
                .iter()
                .all(|condition| condition.matches(event, subject)),
            other => self
                .conditions
                .iter()
                .all(|condition| condition.matches_other(other, subject)),
        }
    }

    /// See [`Condition::fields`].
    pub(crate) fn fields(&self) -> Option<Vec<&'static str>> {
        let fields = self.conditions.iter().map(Condition::fields);
        Some(fields.collect::<Option<Vec<_>>>()?.concat())
    }

    pub(crate) fn matches_everything(&self) -> bool {
        self.conditions.is_empty()
    }
}

/// Compiles field by field, in Hubble's order, which decides whose error a client sees.
fn conditions(filter: &FlowFilter, budget: &mut Budget) -> Result<Vec<Condition>, FilterError> {
    let mut conditions = Conditions(Vec::new());
    conditions.add(&filter.uuid, Condition::Uuid);
    conditions.add(&filter.event_type, Condition::EventType);
    conditions.add(&filter.verdict, Condition::Verdict);
    conditions.add(&filter.drop_reason_desc, Condition::DropReason);
    conditions.add(&filter.reply, Condition::Reply);
    conditions.add(&filter.encrypted, Condition::Encrypted);
    for (side, identities) in sides(&filter.source_identity, &filter.destination_identity) {
        conditions.add(identities, |identities| {
            Condition::Identity(side, identities)
        });
    }
    conditions.parse(&filter.protocol, Condition::Protocol, |entry| {
        Protocol::parse(entry).ok_or_else(|| FilterError::UnknownProtocol {
            entry: entry.clone(),
        })
    })?;
    for (side, ips) in sides(&filter.source_ip, &filter.destination_ip) {
        conditions.add_ips(ips, |ips| Condition::Ip(side, ips))?;
    }
    conditions.add_ips(&filter.source_ip_xlated, Condition::SourceIpTranslated)?;
    for (side, pods) in sides(&filter.source_pod, &filter.destination_pod) {
        conditions.parse(
            pods,
            |pods| Condition::Pod(side, pods),
            |entry| NamePrefix::parse(entry).map_err(FilterError::InvalidPod),
        )?;
    }
    for (side, workloads) in sides(&filter.source_workload, &filter.destination_workload) {
        conditions.convert(
            workloads,
            |workloads| Condition::Workload(side, workloads),
            |wanted| (wanted.kind.clone(), wanted.name.clone()),
        );
    }
    for (side, services) in sides(&filter.source_service, &filter.destination_service) {
        conditions.parse(
            services,
            |services| Condition::Service(side, services),
            |entry| {
                NamePrefix::parse(entry)
                    .map_err(|reason| FilterError::InvalidService { side, reason })
            },
        )?;
    }
    for (side, names) in sides(&filter.source_fqdn, &filter.destination_fqdn) {
        conditions.parse(
            names,
            |names| Condition::Fqdn(side, names),
            |entry| NamePattern::parse(entry).map_err(FilterError::InvalidName),
        )?;
    }
    conditions.search(
        &filter.dns_query,
        Condition::DnsQuery,
        budget,
        |_, reason| FilterError::InvalidDnsQuery { reason },
    )?;
    for (side, labels) in sides(&filter.source_label, &filter.destination_label) {
        conditions.parse(
            labels,
            |labels| Condition::Label(side, labels),
            |entry| {
                LabelSelector::parse(entry)
                    .map_err(|reason| FilterError::InvalidLabel { side, reason })
            },
        )?;
    }
    conditions.parse(&filter.node_labels, Condition::NodeLabel, |entry| {
        LabelSelector::parse(entry).map_err(|reason| FilterError::InvalidNodeLabel { reason })
    })?;
    for (side, ports) in sides(&filter.source_port, &filter.destination_port) {
        conditions.parse(
            ports,
            |ports| Condition::Port(side, ports),
            |entry| {
                port::parse(entry).map_err(|reason| FilterError::InvalidPort {
                    side,
                    entry: entry.clone(),
                    reason,
                })
            },
        )?;
    }
    conditions.add_http(filter, budget)?;
    conditions.convert(&filter.tcp_flags, Condition::TcpFlags, |flags| {
        TcpFlags::from(flags)
    });
    conditions.parse(&filter.node_name, Condition::NodeName, |entry| {
        NodePattern::parse(entry).map_err(FilterError::InvalidName)
    })?;
    for (side, names) in sides(
        &filter.source_cluster_name,
        &filter.destination_cluster_name,
    ) {
        conditions.parse(
            names,
            |names| Condition::ClusterName(side, names),
            |entry| {
                if entry.is_empty() {
                    return Err(FilterError::InvalidClusterName(NameError::Empty));
                }
                Ok(entry.clone())
            },
        )?;
    }
    conditions.add(&filter.ip_version, Condition::IpVersion);
    conditions.add(&filter.trace_id, Condition::TraceId);
    conditions.add(&filter.traffic_direction, Condition::TrafficDirection);
    if let Some(fields) = &filter.experimental {
        conditions.parse(&fields.cel_expression, Condition::Expression, |entry| {
            Expression::compile(entry, budget).map_err(FilterError::InvalidExpression)
        })?;
    }
    conditions.convert(&filter.interface, Condition::Interface, |wanted| {
        (wanted.index, wanted.name.clone())
    });
    conditions.add(&filter.ip_trace_id, Condition::IpTraceId);
    Ok(conditions.0)
}

fn sides<T>(source: T, destination: T) -> [(Side, T); 2] {
    [(Side::Source, source), (Side::Destination, destination)]
}

/// The conditions so far. A field without entries asks for nothing and adds none.
struct Conditions(Vec<Condition>);

impl Conditions {
    fn add<T: Clone, C: From<Vec<T>>>(
        &mut self,
        entries: &[T],
        condition: impl FnOnce(C) -> Condition,
    ) {
        self.convert(entries, condition, T::clone);
    }

    fn convert<T, U, C: From<Vec<U>>>(
        &mut self,
        entries: &[T],
        condition: impl FnOnce(C) -> Condition,
        convert: impl FnMut(&T) -> U,
    ) {
        if !entries.is_empty() {
            let converted: Vec<U> = entries.iter().map(convert).collect();
            self.0.push(condition(converted.into()));
        }
    }

    fn parse<T, U, C: From<Vec<U>>>(
        &mut self,
        entries: &[T],
        condition: impl FnOnce(C) -> Condition,
        parse: impl FnMut(&T) -> Result<U, FilterError>,
    ) -> Result<(), FilterError> {
        if !entries.is_empty() {
            let parsed: Vec<U> = entries.iter().map(parse).collect::<Result<_, _>>()?;
            self.0.push(condition(parsed.into()));
        }
        Ok(())
    }

    fn search(
        &mut self,
        patterns: &[String],
        condition: impl FnOnce(RegexpSet) -> Condition,
        budget: &mut Budget,
        error: impl FnOnce(&str, RegexpError) -> FilterError,
    ) -> Result<(), FilterError> {
        if !patterns.is_empty() {
            let patterns = RegexpSet::compile(patterns, budget);
            self.0.push(condition(
                patterns.map_err(|(entry, reason)| error(entry, reason))?,
            ));
        }
        Ok(())
    }

    fn add_ips(
        &mut self,
        entries: &[String],
        condition: impl FnOnce(IpSet) -> Condition,
    ) -> Result<(), FilterError> {
        if !entries.is_empty() {
            self.0.push(condition(IpSet::compile(entries)?));
        }
        Ok(())
    }

    fn add_http(&mut self, filter: &FlowFilter, budget: &mut Budget) -> Result<(), FilterError> {
        let may_ask = |is_asked: bool, attribute| {
            if is_asked && !event_type::allow_http(&filter.event_type) {
                return Err(FilterError::HttpNeedsL7Events { attribute });
            }
            Ok(())
        };
        may_ask(!filter.http_status_code.is_empty(), "status code")?;
        self.parse(
            &filter.http_status_code,
            |ranges: Vec<_>| Condition::HttpStatusCode(ranges.into_iter().flatten().collect()),
            |entry| http::parse_status_codes(entry),
        )?;
        may_ask(!filter.http_method.is_empty(), "method")?;
        self.convert(&filter.http_method, Condition::HttpMethod, |method| {
            method.to_ascii_uppercase()
        });
        may_ask(!filter.http_path.is_empty(), "path")?;
        self.search(
            &filter.http_path,
            Condition::HttpPath,
            budget,
            |entry, reason| FilterError::InvalidHttpPath {
                entry: entry.to_owned(),
                reason,
            },
        )?;
        may_ask(!filter.http_url.is_empty(), "url")?;
        self.search(
            &filter.http_url,
            Condition::HttpUrl,
            budget,
            |entry, reason| FilterError::InvalidHttpUrl {
                entry: entry.to_owned(),
                reason,
            },
        )?;
        may_ask(!filter.http_header.is_empty(), "headers")?;
        self.convert(&filter.http_header, Condition::HttpHeader, |wanted| {
            (wanted.key.clone(), wanted.value.clone())
        });
        Ok(())
    }
}
