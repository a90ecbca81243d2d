//! The columns of a flow, as all text formats show them.

use flow_api::flow::{
    self, AuthType, DebugCapturePoint, Endpoint, Flow, L7FlowType, Policy, Service,
    SocketTranslationPoint, TrafficDirection, Verdict, layer4::Protocol, layer7::Record,
};

use super::{Style, append, color::Paint, enum_name};
use crate::filters::fields::End;
use crate::words::{self, event_type};

impl Style {
    /// Appends who one end of the flow is, and its port: a name where there is one and names are
    /// wanted, else the address.
    pub(super) fn host(&self, out: &mut Vec<u8>, flow: &Flow, end: End) {
        let Some(ip) = &flow.ip else {
            if let Some(ethernet) = &flow.ethernet {
                let address = end.pick(&ethernet.source, &ethernet.destination);
                self.color
                    .paint(out, Paint::Cyan, |out| self.escape.write(out, address));
            }
            return;
        };
        let address = end.pick(&ip.source, &ip.destination);
        let port = port(flow, end).filter(|port| *port != 0);
        self.color.paint(out, Paint::Cyan, |out| {
            let start = out.len();
            let name = if self.names { name(flow, end) } else { None };
            self.escape.write(out, name.as_deref().unwrap_or(address));
            let Some(port) = port else { return };
            // A host with colons of its own, as IPv6 has, goes into brackets.
            if out[start..].contains(&b':') {
                out.insert(start, b'[');
                out.push(b']');
            }
            out.push(b':');
            self.color
                .paint(out, Paint::Yellow, |out| append!(out, "{port}"));
        });
    }

    /// Appends the security identity of one end, in parentheses.
    pub(super) fn identity(&self, out: &mut Vec<u8>, flow: &Flow, end: End) {
        let identity = endpoint(flow, end).map_or(0, |endpoint| endpoint.identity);
        self.color.paint(out, Paint::Magenta, |out| {
            match words::reserved_identity(identity) {
                Some(name) => append!(out, "({name})"),
                None => append!(out, "(ID:{identity})"),
            }
        });
    }

    /// Appends what kind of observation this is: where a packet was, why it was dropped, what a
    /// policy said, or which request it was.
    #[expect(deprecated, reason = "old servers still send flows of Kafka")]
    pub(super) fn kind(&self, out: &mut Vec<u8>, flow: &Flow) {
        if let Some(l7) = &flow.l7 {
            let direction =
                enum_name::<L7FlowType>(l7.r#type, L7FlowType::as_str_name).to_lowercase();
            match &l7.record {
                Some(Record::Dns(dns)) => {
                    append!(out, "dns-{direction} ");
                    self.escape.write(out, &dns.observation_source);
                }
                Some(Record::Http(_)) => append!(out, "http-{direction}"),
                Some(Record::Kafka(_)) => append!(out, "kafka-{direction}"),
                None => append!(out, "l7-{direction}"),
            }
            return;
        }
        let event = flow.event_type.unwrap_or_default();
        // The data path's sub-types are bytes.
        let sub_type = event.sub_type.to_le_bytes()[0];
        match event.r#type {
            event_type::TRACE => match words::observation_point(sub_type) {
                Some(point) => append!(out, "{point}"),
                None if sub_type == CAPTURED && is_ours(flow) => append!(out, "captured"),
                None => append!(out, "{sub_type}"),
            },
            event_type::DROP => match words::drop_reason(sub_type) {
                Some(reason) => append!(out, "{reason}"),
                None => append!(out, "{sub_type}, 0"),
            },
            event_type::POLICY_VERDICT => {
                let direction = enum_name::<TrafficDirection>(
                    flow.traffic_direction,
                    TrafficDirection::as_str_name,
                );
                let policy_match = words::policy_match(flow.policy_match_type);
                append!(out, "policy-verdict:{policy_match} {direction}");
            }
            event_type::CAPTURE => {
                let point = enum_name::<DebugCapturePoint>(
                    flow.debug_capture_point,
                    DebugCapturePoint::as_str_name,
                );
                append!(out, "{point}");
            }
            event_type::TRACE_SOCK => append!(out, "{}", translation(flow.sock_xlate_point)),
            _ => append!(out, "UNKNOWN"),
        }
    }

    /// Appends what became of the packet or request.
    pub(super) fn verdict(&self, out: &mut Vec<u8>, flow: &Flow) {
        let by_policy = flow
            .event_type
            .is_some_and(|event| event.r#type == event_type::POLICY_VERDICT);
        let verdict = Verdict::try_from(flow.verdict);
        let (paint, as_policy) = match verdict {
            Ok(Verdict::Forwarded | Verdict::Redirected) => (Paint::Green, Some("ALLOWED")),
            Ok(Verdict::Dropped | Verdict::Error) => (Paint::Red, Some("DENIED")),
            Ok(Verdict::Audit) => (Paint::Yellow, Some("AUDITED")),
            Ok(Verdict::Traced | Verdict::Translated) => (Paint::Yellow, None),
            Ok(Verdict::Unknown) | Err(_) => {
                append!(
                    out,
                    "{}",
                    enum_name::<Verdict>(flow.verdict, Verdict::as_str_name)
                );
                return;
            }
        };
        self.color.paint(out, paint, |out| match as_policy {
            Some(word) if by_policy => {
                append!(out, "{word}");
                if self.policy_names {
                    self.policies(out, deciding(flow));
                }
            }
            _ => append!(
                out,
                "{}",
                enum_name::<Verdict>(flow.verdict, Verdict::as_str_name)
            ),
        });
    }

    fn policies(&self, out: &mut Vec<u8>, policies: &[Policy]) {
        let complete = policies
            .iter()
            .filter(|policy| !policy.name.is_empty() && !policy.kind.is_empty());
        let mut separator = " BY ";
        for policy in complete {
            append!(out, "{separator}");
            self.escape.write(out, &policy.name);
            append!(out, " (");
            self.escape.write(out, &policy.kind);
            append!(out, ")");
            separator = ", ";
        }
    }

    /// Appends the server's line about the innermost layer, and what goes with it.
    #[expect(
        deprecated,
        reason = "text formats are made from this line; there is no other"
    )]
    pub(super) fn summary(&self, out: &mut Vec<u8>, flow: &Flow) {
        if let Some(trace) = flow.ip_trace_id.filter(|trace| trace.trace_id > 0) {
            append!(out, "IP Trace ID: {}; ", trace.trace_id);
        }
        self.escape.write(out, &flow.summary);
        let paint = match AuthType::try_from(flow.auth_type) {
            Ok(AuthType::Disabled) => return,
            Ok(AuthType::TestAlwaysFail) => Paint::Red,
            Ok(AuthType::Spire) | Err(_) => Paint::Green,
        };
        append!(out, "; Auth: ");
        self.color.paint(out, paint, |out| {
            append!(
                out,
                "{}",
                enum_name::<AuthType>(flow.auth_type, AuthType::as_str_name)
            );
        });
    }
}

/// Where a packet was, why it was dropped, what a policy said, or which request it was.
pub(crate) fn point(flow: &Flow) -> String {
    let mut out = Vec::new();
    Style::PLAIN.kind(&mut out, flow);
    String::from_utf8_lossy(&out).into_owned()
}

fn endpoint(flow: &Flow, end: End) -> Option<&Endpoint> {
    end.pick(&flow.source, &flow.destination).as_ref()
}

fn service(flow: &Flow, end: End) -> Option<&Service> {
    end.pick(&flow.source_service, &flow.destination_service)
        .as_ref()
}

/// The port of one end, where the protocol has ports.
pub(crate) fn port(flow: &Flow, end: End) -> Option<u32> {
    let (source, destination) = match flow.l4.as_ref()?.protocol.as_ref()? {
        Protocol::Tcp(flow::Tcp {
            source_port,
            destination_port,
            ..
        })
        | Protocol::Udp(flow::Udp {
            source_port,
            destination_port,
        })
        | Protocol::Sctp(flow::Sctp {
            source_port,
            destination_port,
        }) => (*source_port, *destination_port),
        Protocol::IcmPv4(_) | Protocol::IcmPv6(_) | Protocol::Vrrp(_) | Protocol::Igmp(_) => {
            return None;
        }
    };
    Some(end.pick(source, destination))
}

/// The pod, else the service, else the DNS names of one end.
pub(crate) fn name(flow: &Flow, end: End) -> Option<std::borrow::Cow<'_, str>> {
    let endpoint = endpoint(flow, end);
    let service = service(flow, end);
    let namespace = match (service, endpoint) {
        (Some(service), _) => service.namespace.as_str(),
        (None, Some(endpoint)) => endpoint.namespace.as_str(),
        (None, None) => "",
    };
    let pod = endpoint.map_or("", |endpoint| &endpoint.pod_name);
    let service = service.map_or("", |service| &service.name);
    for name in [pod, service] {
        if !name.is_empty() {
            return Some(join(namespace, name).into());
        }
    }
    let names = end.pick(&flow.source_names, &flow.destination_names);
    match names.as_slice() {
        [] => None,
        [name] => Some(name.into()),
        names => Some(names.join(",").into()),
    }
}

/// `namespace/name` as a path: without empty and `.` parts, and with `..` taken back.
fn join(namespace: &str, name: &str) -> String {
    let joined = if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    };
    let is_odd = |part: &str| matches!(part, "" | "." | "..");
    if !joined.split('/').any(is_odd) {
        return joined;
    }
    let rooted = joined.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(last) if *last != ".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(part),
            },
            _ => parts.push(part),
        }
    }
    let path = parts.join("/");
    match (rooted, path.is_empty()) {
        (true, _) => format!("/{path}"),
        (false, true) => ".".to_owned(),
        (false, false) => path,
    }
}

fn translation(point: i32) -> std::borrow::Cow<'static, str> {
    match SocketTranslationPoint::try_from(point) {
        Ok(SocketTranslationPoint::SockXlatePointPreDirectionFwd) => "pre-xlate-fwd".into(),
        Ok(SocketTranslationPoint::SockXlatePointPostDirectionFwd) => "post-xlate-fwd".into(),
        Ok(SocketTranslationPoint::SockXlatePointPreDirectionRev) => "pre-xlate-rev".into(),
        Ok(SocketTranslationPoint::SockXlatePointPostDirectionRev) => "post-xlate-rev".into(),
        _ => enum_name::<SocketTranslationPoint>(point, SocketTranslationPoint::as_str_name),
    }
}

/// The policies that a policy verdict rests on. An audited packet was decided by none.
fn deciding(flow: &Flow) -> &[Policy] {
    let allowed = match Verdict::try_from(flow.verdict) {
        Ok(Verdict::Forwarded | Verdict::Redirected) => true,
        Ok(Verdict::Dropped | Verdict::Error) => false,
        _ => return &[],
    };
    match (TrafficDirection::try_from(flow.traffic_direction), allowed) {
        (Ok(TrafficDirection::Egress), true) => &flow.egress_allowed_by,
        (Ok(TrafficDirection::Egress), false) => &flow.egress_denied_by,
        (Ok(TrafficDirection::Ingress), true) => &flow.ingress_allowed_by,
        (Ok(TrafficDirection::Ingress), false) => &flow.ingress_denied_by,
        _ => &[],
    }
}

/// The trace point of packets from capture files, which do not tell where they were seen: one that
/// there is not. Hubble's client shows the number.
const CAPTURED: u8 = 255;

/// Whether an observer of Palomar made the flow.
fn is_ours(flow: &Flow) -> bool {
    flow.emitter
        .as_ref()
        .is_some_and(|emitter| emitter.name == "Palomar")
}
