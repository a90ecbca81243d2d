//! A `FlowFilter` message in words.

use flow_api::flow::{
    DropReason, EventTypeFilter, FlowFilter, IpVersion, NetworkInterface, TcpFlags,
    TrafficDirection, Verdict, Workload,
};

use super::{LAYER_4, LAYER_7, Limit, Outline, Test, Values};
use crate::Where;

/// What a message asks for. All of it must hold; without fields that is nothing.
#[must_use]
pub fn of_filter(filter: &FlowFilter) -> Outline {
    let mut parts = Parts(Vec::new());
    parts.limit("uuid", &filter.uuid, String::clone);
    parts.any("event type", &filter.event_type, event_type);
    parts.limit("verdict", &filter.verdict, |number| verdict(*number));
    parts.limit("drop_reason_desc", &filter.drop_reason_desc, |number| {
        name(*number, DropReason::as_str_name)
    });
    if !filter.drop_reason_desc.is_empty() {
        parts.implying([Limit::only("verdict", verdict(Verdict::Dropped.into()))]);
    }
    parts.limit("is_reply", &filter.reply, bool::to_string);
    parts.limit("IP.encrypted", &filter.encrypted, bool::to_string);
    parts.limit("IP.ipVersion", &filter.ip_version, |number| {
        name(*number, IpVersion::as_str_name)
    });
    parts.limit("traffic_direction", &filter.traffic_direction, |number| {
        name(*number, TrafficDirection::as_str_name)
    });
    parts.protocols(&filter.protocol);
    parts.end("source", Ends::of_source(filter));
    parts.end("destination", Ends::of_destination(filter));
    parts.addresses("IP.source_xlated", &filter.source_ip_xlated);
    parts.any("TCP", &filter.tcp_flags, flags);
    if !filter.tcp_flags.is_empty() {
        parts.implying([Limit::only(LAYER_4, "TCP")]);
    }
    parts.any("DNS query matches", &filter.dns_query, String::clone);
    if !filter.dns_query.is_empty() {
        parts.implying([Limit::only(LAYER_7, "dns")]);
    }
    parts.http(filter);
    parts.any("node name looks like", &filter.node_name, String::clone);
    parts.any("node labels match", &filter.node_labels, String::clone);
    parts.any("interface is", &filter.interface, interface);
    parts.any("trace id is", &filter.trace_id, String::clone);
    parts.any("IP trace id is", &filter.ip_trace_id, u64::to_string);
    if let Some(fields) = &filter.experimental {
        let expressions = fields.cel_expression.iter().map(|text| expression(text));
        let expressions: Vec<Outline> = expressions.collect();
        if !expressions.is_empty() {
            parts.0.push(Outline::any(expressions));
        }
    }
    Outline::all(parts.0)
}

/// What CEL says, or the text that says nothing.
fn expression(text: &str) -> Outline {
    match Where::parse(text) {
        Ok(parsed) => parsed.outline(),
        Err(_) => Outline::words(text),
    }
}

/// What a filter asks of one end.
struct Ends<'f> {
    ip: &'f [String],
    pod: &'f [String],
    fqdn: &'f [String],
    label: &'f [String],
    service: &'f [String],
    workload: &'f [Workload],
    cluster: &'f [String],
    port: &'f [String],
    identity: &'f [u32],
    address: &'static str,
}

impl<'f> Ends<'f> {
    fn of_source(filter: &'f FlowFilter) -> Self {
        Self {
            ip: &filter.source_ip,
            pod: &filter.source_pod,
            fqdn: &filter.source_fqdn,
            label: &filter.source_label,
            service: &filter.source_service,
            workload: &filter.source_workload,
            cluster: &filter.source_cluster_name,
            port: &filter.source_port,
            identity: &filter.source_identity,
            address: "IP.source",
        }
    }

    fn of_destination(filter: &'f FlowFilter) -> Self {
        Self {
            ip: &filter.destination_ip,
            pod: &filter.destination_pod,
            fqdn: &filter.destination_fqdn,
            label: &filter.destination_label,
            service: &filter.destination_service,
            workload: &filter.destination_workload,
            cluster: &filter.destination_cluster_name,
            port: &filter.destination_port,
            identity: &filter.destination_identity,
            address: "IP.destination",
        }
    }
}

/// The conditions of a message so far.
struct Parts(Vec<Outline>);

impl Parts {
    /// One of these values of a field.
    fn limit<T>(&mut self, subject: &str, entries: &[T], value: impl Fn(&T) -> String) {
        if entries.is_empty() {
            return;
        }
        let values = Values::only(entries.iter().map(value));
        self.0.push(Outline::Test(Test {
            words: format!("{subject} {}", values.words()),
            limit: Some(Limit::new(subject, values)),
            implies: Vec::new(),
        }));
    }

    /// One of these, in words only.
    fn any<T>(&mut self, what: &str, entries: &[T], words: impl Fn(&T) -> String) {
        if entries.is_empty() {
            return;
        }
        let entries: Vec<String> = entries.iter().map(words).collect();
        let words = format!("{what} {}", entries.join(" or "));
        self.0.push(Outline::words(words));
    }

    /// What else holds where the last condition does.
    fn implying(&mut self, limits: impl IntoIterator<Item = Limit>) {
        if let Some(Outline::Test(test)) = self.0.last_mut() {
            test.implies.extend(limits);
        }
    }

    fn end(&mut self, end: &str, asked: Ends<'_>) {
        self.addresses(asked.address, asked.ip);
        self.any(&format!("{end} pod is"), asked.pod, |entry| named(entry));
        self.namespaces(end, asked.pod);
        self.any(&format!("{end} service is"), asked.service, |entry| {
            named(entry)
        });
        self.any(
            &format!("{end} workload is"),
            asked.workload,
            |workload| match (workload.kind.as_str(), workload.name.as_str()) {
                ("", name) => name.to_owned(),
                (kind, "") => format!("any {kind}"),
                (kind, name) => format!("{kind}/{name}"),
            },
        );
        self.any(&format!("{end} labels match"), asked.label, String::clone);
        self.any(&format!("{end} name looks like"), asked.fqdn, String::clone);
        self.limit(&format!("{end}.cluster_name"), asked.cluster, String::clone);
        self.limit(&format!("{end}.identity"), asked.identity, u32::to_string);
        self.limit(&format!("{end}.port"), asked.port, String::clone);
        if !asked.port.is_empty() {
            let with_ports = ["TCP", "UDP", "SCTP"].map(str::to_owned);
            self.implying([Limit::new(LAYER_4, Values::only(with_ports))]);
        }
    }

    /// What the entries for pods tell about their namespaces.
    fn namespaces(&mut self, end: &str, pods: &[String]) {
        let namespaces: Option<Vec<String>> = pods
            .iter()
            .map(|entry| match entry.split_once('/') {
                None => Some("default".to_owned()),
                Some(("", _)) => None,
                Some((namespace, _)) => Some(namespace.to_owned()),
            })
            .collect();
        if let Some(namespaces) = namespaces.filter(|namespaces| !namespaces.is_empty()) {
            let subject = format!("{end}.namespace");
            self.implying([Limit::new(subject, Values::only(namespaces))]);
        }
    }

    fn addresses(&mut self, subject: &str, entries: &[String]) {
        if entries.iter().any(|entry| entry.contains('/')) {
            self.any(&format!("{subject} is in"), entries, String::clone);
        } else {
            self.limit(subject, entries, String::clone);
        }
    }

    fn protocols(&mut self, entries: &[String]) {
        self.any("protocol is", entries, |entry| entry.to_uppercase());
        let known = |names: fn(&str) -> Option<&'static [&'static str]>| {
            let mut all = Vec::new();
            for entry in entries {
                all.extend(
                    names(&entry.to_lowercase())?
                        .iter()
                        .copied()
                        .map(str::to_owned),
                );
            }
            Some(Values::only(all))
        };
        if entries.is_empty() {
            return;
        }
        if let Some(values) = known(layer_4) {
            self.implying([Limit::new(LAYER_4, values)]);
        }
        if let Some(values) = known(layer_7) {
            self.implying([Limit::new(LAYER_7, values)]);
        }
    }

    fn http(&mut self, filter: &FlowFilter) {
        let before = self.0.len();
        self.any("HTTP status is", &filter.http_status_code, String::clone);
        self.any("HTTP method is", &filter.http_method, String::clone);
        self.any("HTTP path matches", &filter.http_path, String::clone);
        self.any("HTTP URL matches", &filter.http_url, String::clone);
        self.any("HTTP header is", &filter.http_header, |header| {
            format!("{}: {}", header.key, header.value)
        });
        if self.0.len() > before {
            self.implying([Limit::only(LAYER_7, "http")]);
        }
    }
}

fn layer_4(keyword: &str) -> Option<&'static [&'static str]> {
    Some(match keyword {
        "icmp" => &["ICMPv4", "ICMPv6"],
        "icmpv4" => &["ICMPv4"],
        "icmpv6" => &["ICMPv6"],
        "igmp" => &["IGMP"],
        "sctp" => &["SCTP"],
        "tcp" => &["TCP"],
        "udp" => &["UDP"],
        "vrrp" => &["VRRP"],
        _ => return None,
    })
}

fn layer_7(keyword: &str) -> Option<&'static [&'static str]> {
    Some(match keyword {
        "dns" => &["dns"],
        "http" => &["http"],
        "kafka" => &["kafka"],
        _ => return None,
    })
}

/// `namespace/prefix` in words.
fn named(entry: &str) -> String {
    match entry.split_once('/') {
        None => format!("{entry}* in namespace default"),
        Some(("", "")) => "any of a namespace".to_owned(),
        Some(("", prefix)) => format!("{prefix}* in any namespace"),
        Some((namespace, "")) => format!("any in namespace {namespace}"),
        Some((namespace, prefix)) => format!("{prefix}* in namespace {namespace}"),
    }
}

fn event_type(wanted: &EventTypeFilter) -> String {
    let kind = match wanted.r#type {
        0 => "any".to_owned(),
        1 => "drop".to_owned(),
        2 => "debug".to_owned(),
        3 => "capture".to_owned(),
        4 => "trace".to_owned(),
        5 => "policy-verdict".to_owned(),
        7 => "trace-sock".to_owned(),
        129 => "l7".to_owned(),
        130 => "agent".to_owned(),
        number => number.to_string(),
    };
    if wanted.match_sub_type {
        format!("{kind} with sub-type {}", wanted.sub_type)
    } else {
        kind
    }
}

fn flags(flags: &TcpFlags) -> String {
    let names = [
        (flags.fin, "FIN"),
        (flags.syn, "SYN"),
        (flags.rst, "RST"),
        (flags.psh, "PSH"),
        (flags.ack, "ACK"),
        (flags.urg, "URG"),
        (flags.ece, "ECE"),
        (flags.cwr, "CWR"),
        (flags.ns, "NS"),
    ];
    let set: Vec<&str> = names
        .into_iter()
        .filter_map(|(is_set, name)| is_set.then_some(name))
        .collect();
    if set.is_empty() {
        "with any flags".to_owned()
    } else {
        format!("with {}", set.join(" and "))
    }
}

fn interface(interface: &NetworkInterface) -> String {
    match (interface.name.as_str(), interface.index) {
        ("", index) => format!("number {index}"),
        (name, 0) => name.to_owned(),
        (name, index) => format!("{name} with number {index}"),
    }
}

fn verdict(number: i32) -> String {
    name(number, Verdict::as_str_name)
}

fn name<E: TryFrom<i32>>(number: i32, name: fn(&E) -> &'static str) -> String {
    match E::try_from(number) {
        Ok(value) => name(&value).to_owned(),
        Err(_) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use flow_api::flow::flow_filter::Experimental;

    use super::*;
    use crate::outline::contradictions;

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    fn words(outline: &Outline) -> Vec<&str> {
        match outline {
            Outline::All(parts) => parts.iter().flat_map(words).collect(),
            Outline::Test(test) => vec![&test.words],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fields_are_told_in_words() {
        let filter = FlowFilter {
            verdict: vec![Verdict::Dropped.into(), 99],
            source_pod: strings(&["shop/web", "shop/", "/db"]),
            destination_ip: strings(&["10.0.0.0/8"]),
            destination_port: strings(&["443"]),
            protocol: strings(&["tcp"]),
            tcp_flags: vec![TcpFlags {
                syn: true,
                ack: true,
                ..TcpFlags::default()
            }],
            event_type: vec![EventTypeFilter {
                r#type: 4,
                match_sub_type: true,
                sub_type: 3,
            }],
            ..FlowFilter::default()
        };
        assert_eq!(
            words(&of_filter(&filter)),
            [
                "event type trace with sub-type 3",
                "verdict is one of 99, DROPPED",
                "protocol is TCP",
                "source pod is web* in namespace shop or any in namespace shop or db* in any \
                 namespace",
                "IP.destination is in 10.0.0.0/8",
                "destination.port is 443",
                "TCP with SYN and ACK",
            ]
        );
        assert_eq!(of_filter(&FlowFilter::default()), Outline::All(vec![]));
    }

    #[test]
    fn fields_that_exclude_each_other_are_found_also_in_expressions() {
        let tcp = FlowFilter {
            protocol: strings(&["icmp"]),
            destination_port: strings(&["80"]),
            ..FlowFilter::default()
        };
        let dropped = FlowFilter {
            verdict: vec![Verdict::Forwarded.into()],
            drop_reason_desc: vec![DropReason::PolicyDenied.into()],
            ..FlowFilter::default()
        };
        let named = FlowFilter {
            source_pod: strings(&["shop/web"]),
            experimental: Some(Experimental {
                cel_expression: strings(&["_flow.source.namespace == 'bank'"]),
            }),
            ..FlowFilter::default()
        };
        for filter in [tcp, dropped, named] {
            let reasons = contradictions(&of_filter(&filter));
            assert!(
                matches!(&reasons[..], [reason] if reason.starts_with("nothing can match")),
                "{reasons:?}"
            );
        }
    }
}
