//! Fields that flows have once, by names that are easier to remember than their paths.

use flow_api::flow::{
    DropReason, Flow, IpVersion, L7FlowType, TrafficDirection, Verdict, layer4::Protocol,
    layer7::Record,
};

use super::{
    Observed,
    ends::{list, number, text},
};
use crate::filters::fields::End;
use crate::print::{self, time::TimeFormat};
use crate::words;

/// A field with a name of its own.
#[derive(Debug)]
pub(super) struct NamedField {
    pub(super) name: &'static str,
    /// Another name for it, or nothing.
    pub(super) alias: &'static str,
    /// The contract's fields that it is made of.
    pub(super) mask: &'static [&'static str],
    pub(super) take: fn(&Observed<'_>, &mut String),
}

const fn named(
    name: &'static str,
    alias: &'static str,
    mask: &'static [&'static str],
    take: fn(&Observed<'_>, &mut String),
) -> NamedField {
    NamedField {
        name,
        alias,
        mask,
        take,
    }
}

/// No drop reason of the contract says what happened; the kernel's own name does.
const UNASSIGNED: i32 = 255;

/// All of them.
pub(super) const NAMED_FIELDS: &[NamedField] = &[
    named("container", "", &[], |observed, out| {
        let process = observed.detail().and_then(|detail| detail.process.as_ref());
        text(out, process.map(|process| &*process.container));
    }),
    named("day", "", &["time"], |observed, out| {
        time(observed, out, TimeFormat::YearMonthDay);
    }),
    named(
        "direction",
        "traffic-direction",
        &["traffic_direction"],
        |observed, out| {
            if let Ok(direction) = TrafficDirection::try_from(observed.flow.traffic_direction) {
                match direction {
                    TrafficDirection::Egress => out.push_str("egress"),
                    TrafficDirection::Ingress => out.push_str("ingress"),
                    TrafficDirection::Unknown => {}
                }
            }
        },
    ),
    named("dns.query", "query", &["l7"], |observed, out| {
        if let Some(Record::Dns(dns)) = observed.record() {
            out.push_str(dns.query.trim_end_matches('.'));
        }
    }),
    named("dns.rcode", "rcode", &["l7"], |observed, out| {
        // Of a request it says nothing.
        if let Some(Record::Dns(dns)) = observed.record().filter(|_| is_response(observed)) {
            match words_of_rcode(dns.rcode) {
                Some(word) => out.push_str(word),
                None => number(out, dns.rcode),
            }
        }
    }),
    named(
        "drop-reason",
        "reason",
        &["drop_reason_desc", "verdict"],
        drop_reason,
    ),
    named("hour", "", &["time"], |observed, out| {
        time(observed, out, TimeFormat::YearMonthDayHour);
    }),
    named("http.host", "host", &["l7"], |observed, out| {
        text(out, http(observed).map(|http| host_and_path(&http.url).0));
    }),
    named("http.method", "method", &["l7"], |observed, out| {
        text(out, http(observed).map(|http| &*http.method));
    }),
    named("http.path", "path", &["l7"], |observed, out| {
        text(out, http(observed).map(|http| host_and_path(&http.url).1));
    }),
    named("http.status", "status", &["l7"], |observed, out| {
        // Requests have none.
        if let Some(http) = http(observed).filter(|http| http.code != 0) {
            number(out, http.code);
        }
    }),
    named("interface", "", &["interface"], |observed, out| {
        let interface = observed.flow.interface.as_ref();
        text(out, interface.map(|interface| &*interface.name));
    }),
    named("ip-version", "", &["IP"], |observed, out| {
        let version = observed.flow.ip.as_ref().map(|ip| ip.ip_version());
        match version {
            Some(IpVersion::IPv4) => out.push_str("IPv4"),
            Some(IpVersion::IPv6) => out.push_str("IPv6"),
            Some(IpVersion::IpNotUsed) | None => {}
        }
    }),
    named("minute", "", &["time"], |observed, out| {
        time(observed, out, TimeFormat::YearMonthDayHourMinute);
    }),
    named(
        "name",
        "",
        &["l7", "source_names", "destination_names", "is_reply"],
        |observed, out| text(out, name(observed).map(|(name, _)| name)),
    ),
    named(
        "name-origin",
        "",
        &["l7", "source_names", "destination_names", "is_reply"],
        |observed, out| text(out, name(observed).map(|(_, origin)| origin)),
    ),
    named("node", "node-name", &["node_name"], |observed, out| {
        out.push_str(&observed.flow.node_name);
    }),
    named(
        "point",
        "",
        &[
            "event_type",
            "l7",
            "traffic_direction",
            "policy_match_type",
            "debug_capture_point",
            "sock_xlate_point",
            "emitter",
        ],
        |observed, out| out.push_str(&print::point(observed.flow)),
    ),
    named(
        "policy",
        "",
        &[
            "egress_allowed_by",
            "ingress_allowed_by",
            "egress_denied_by",
            "ingress_denied_by",
        ],
        |observed, out| {
            let flow = observed.flow;
            let policies = [
                &flow.egress_allowed_by,
                &flow.ingress_allowed_by,
                &flow.egress_denied_by,
                &flow.ingress_denied_by,
            ];
            list(out, policies.into_iter().flatten().map(|it| &*it.name));
        },
    ),
    named("port", "", &["l4", "is_reply"], |observed, out| {
        let server = other(observed.opener());
        if let Some(port) = print::port(observed.flow, server) {
            number(out, port);
        }
    }),
    named("process", "", &[], |observed, out| {
        let process = observed.detail().and_then(|detail| detail.process.as_ref());
        text(out, process.map(|process| &*process.name));
    }),
    named("protocol", "", &["l4", "l7"], |observed, out| {
        let name = observed
            .record()
            .map(record_name)
            .or_else(|| observed.transport().map(transport_name));
        text(out, name);
    }),
    named("reply", "", &["is_reply"], |observed, out| {
        if let Some(reply) = observed.flow.is_reply {
            number(out, reply);
        }
    }),
    named("second", "", &["time"], |observed, out| {
        time(observed, out, TimeFormat::Rfc3339);
    }),
    named("summary", "", &["Summary"], summary),
    named("tcp-flags", "flags", &["l4"], tcp_flags),
    named("transport", "l4-protocol", &["l4"], |observed, out| {
        text(out, observed.transport().map(transport_name));
    }),
    named("type", "event-type", &["event_type"], |observed, out| {
        let kind = observed.flow.event_type.map_or(0, |event| event.r#type);
        let name = words::EVENT_TYPES
            .iter()
            .find(|(number, _)| *number == kind);
        match name {
            Some((_, name)) => out.push_str(name),
            None if kind == 0 => {}
            None => number(out, kind),
        }
    }),
    named("unit", "", &[], |observed, out| {
        let process = observed.detail().and_then(|detail| detail.process.as_ref());
        text(out, process.map(|process| &*process.unit));
    }),
    named(
        "verdict",
        "",
        &["verdict"],
        |observed, out| match Verdict::try_from(observed.flow.verdict) {
            Ok(verdict) => out.push_str(verdict.as_str_name()),
            Err(_) => number(out, observed.flow.verdict),
        },
    ),
];

fn other(end: End) -> End {
    match end {
        End::Destination => End::Source,
        End::Source => End::Destination,
    }
}

fn time(observed: &Observed<'_>, out: &mut String, format: TimeFormat) {
    let mut bytes = Vec::new();
    format.write(&mut bytes, observed.flow.time.as_ref());
    out.push_str(&String::from_utf8_lossy(&bytes));
}

/// The kernel's own name where the contract has none.
fn drop_reason(observed: &Observed<'_>, out: &mut String) {
    let flow = observed.flow;
    if flow.verdict != i32::from(Verdict::Dropped) && flow.drop_reason_desc == 0 {
        return;
    }
    let of_kernel = || {
        let drop = observed.detail()?.drop.as_ref()?;
        Some(drop.reason.as_str()).filter(|reason| !reason.is_empty())
    };
    let name = match DropReason::try_from(flow.drop_reason_desc) {
        Ok(DropReason::Unknown) | Err(_) => of_kernel(),
        Ok(reason) => Some(reason.as_str_name()),
    };
    match name {
        Some(name) => out.push_str(name),
        None if flow.drop_reason_desc == UNASSIGNED => out.push_str("OTHER"),
        None if flow.drop_reason_desc == 0 => out.push_str("UNKNOWN"),
        None => number(out, flow.drop_reason_desc),
    }
}

/// What the server's side was called, or what DNS was asked for, and where that is known from.
fn name<'o>(observed: &'o Observed<'_>) -> Option<(&'o str, &'o str)> {
    if let Some(Record::Dns(dns)) = observed.record() {
        return Some((dns.query.trim_end_matches('.'), "dns"));
    }
    let flow = observed.flow;
    let server = other(observed.opener());
    let name = server
        .pick(&flow.source_names, &flow.destination_names)
        .first();
    let Some(name) = name else {
        // A first message may tell a name before anything else does.
        let application = observed.detail()?.application.as_ref()?;
        let is_named = !application.name.is_empty();
        return is_named.then(|| (&*application.name, &*application.protocol));
    };
    let origin = observed.detail().and_then(|detail| {
        let names = server.pick(&detail.source_names, &detail.destination_names);
        names.iter().find(|known| known.name == *name)
    });
    Some((name, origin.map_or("", |known| &*known.origin)))
}

fn is_response(observed: &Observed<'_>) -> bool {
    let l7 = observed.flow.l7.as_ref();
    l7.is_some_and(|l7| l7.r#type() == L7FlowType::Response)
}

fn http<'o>(observed: &'o Observed<'_>) -> Option<&'o flow_api::flow::Http> {
    match observed.record() {
        Some(Record::Http(http)) => Some(http),
        _ => None,
    }
}

/// Host, with its port, and path of a URL, without query. Proxies log both, others the path alone.
fn host_and_path(url: &str) -> (&str, &str) {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((_, rest)) = url.split_once("://") else {
        return ("", url);
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    (host, if path.is_empty() { "/" } else { path })
}

#[expect(deprecated, reason = "old servers still send flows of Kafka")]
fn record_name(record: &Record) -> &'static str {
    match record {
        Record::Dns(_) => "DNS",
        Record::Http(_) => "HTTP",
        Record::Kafka(_) => "Kafka",
    }
}

fn transport_name(protocol: &Protocol) -> &'static str {
    match protocol {
        Protocol::IcmPv4(_) => "ICMPv4",
        Protocol::IcmPv6(_) => "ICMPv6",
        Protocol::Igmp(_) => "IGMP",
        Protocol::Sctp(_) => "SCTP",
        Protocol::Tcp(_) => "TCP",
        Protocol::Udp(_) => "UDP",
        Protocol::Vrrp(_) => "VRRP",
    }
}

fn tcp_flags(observed: &Observed<'_>, out: &mut String) {
    let Some(Protocol::Tcp(tcp)) = observed.transport() else {
        return;
    };
    let Some(flags) = &tcp.flags else { return };
    let set = [
        (flags.syn, "SYN"),
        (flags.ack, "ACK"),
        (flags.psh, "PSH"),
        (flags.fin, "FIN"),
        (flags.rst, "RST"),
        (flags.urg, "URG"),
        (flags.ece, "ECE"),
        (flags.cwr, "CWR"),
        (flags.ns, "NS"),
    ];
    list(
        out,
        set.into_iter()
            .filter(|(set, _)| *set)
            .map(|(_, name)| name),
    );
}

#[expect(deprecated, reason = "the only text that says what a flow is about")]
fn summary(observed: &Observed<'_>, out: &mut String) {
    let Flow { summary, .. } = observed.flow;
    out.push_str(summary);
}

/// Response codes of DNS, of RFC 1035 and RFC 2136.
fn words_of_rcode(code: u32) -> Option<&'static str> {
    Some(match code {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        _ => return None,
    })
}
