//! How the value of a filter flag becomes fields of a `FlowFilter`.
//!
//! Values that only the server understands (patterns, prefixes, selectors, ports) go through as
//! they are; the server, or the reader of a file, checks them all at once.

use flow_api::flow::{
    DropReason, EventTypeFilter, FlowFilter, HttpHeader, IpVersion, NetworkInterface, TcpFlags,
    TrafficDirection, Verdict, Workload, flow_filter::Experimental,
};
use flow_filter::quoted;

use crate::flags::{
    ValueError,
    value::{Base, unsigned},
};
use crate::words;

/// One end of a flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// Where it comes from.
    Source,
    /// Where it goes.
    Destination,
}

impl End {
    pub(crate) fn pick<T>(self, source: T, destination: T) -> T {
        match self {
            Self::Source => source,
            Self::Destination => destination,
        }
    }
}

/// Adds a value to a field. Of a field that flows have twice, to the one of the end given.
pub(crate) type SetField = fn(&mut FlowFilter, End, &str) -> Result<(), ValueError>;

/// Setters of text fields that flows have at each end.
macro_rules! end_fields {
    ($($name:ident: $source:ident, $destination:ident;)*) => {$(
        pub(super) fn $name(filter: &mut FlowFilter, end: End, value: &str) -> Result<(), ValueError> {
            end.pick(&mut filter.$source, &mut filter.$destination).push(value.to_owned());
            Ok(())
        }
    )*};
}

/// Setters of text fields that flows have once.
macro_rules! flow_fields {
    ($($name:ident: $field:ident;)*) => {$(
        pub(super) fn $name(filter: &mut FlowFilter, _: End, value: &str) -> Result<(), ValueError> {
            filter.$field.push(value.to_owned());
            Ok(())
        }
    )*};
}

end_fields! {
    cluster: source_cluster_name, destination_cluster_name;
    fqdn: source_fqdn, destination_fqdn;
    ip: source_ip, destination_ip;
    label: source_label, destination_label;
    pod: source_pod, destination_pod;
    port: source_port, destination_port;
    service: source_service, destination_service;
}

flow_fields! {
    http_method: http_method;
    http_path: http_path;
    http_status: http_status_code;
    http_url: http_url;
    node_label: node_labels;
    node_name: node_name;
    protocol: protocol;
    snat_ip: source_ip_xlated;
    trace_id: trace_id;
    uuid: uuid;
}

pub(super) fn workload(filter: &mut FlowFilter, end: End, value: &str) -> Result<(), ValueError> {
    let (kind, name) = value.split_once('/').unwrap_or(("", value));
    end.pick(
        &mut filter.source_workload,
        &mut filter.destination_workload,
    )
    .push(Workload {
        name: name.to_owned(),
        kind: kind.to_owned(),
    });
    Ok(())
}

pub(super) fn identity(filter: &mut FlowFilter, end: End, value: &str) -> Result<(), ValueError> {
    let named = words::RESERVED_IDENTITIES
        .iter()
        .find(|(_, name)| *name == value)
        .map(|(number, _)| *number);
    let identity = match named {
        Some(number) => number,
        None => unsigned(value, Base::Prefix, u32::BITS)
            .ok()
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| ValueError::new(UNKNOWN_IDENTITY))?,
    };
    end.pick(
        &mut filter.source_identity,
        &mut filter.destination_identity,
    )
    .push(identity);
    Ok(())
}

/// The last of the list has no name that the command line knows.
const UNKNOWN_IDENTITY: &str = "invalid security identity, expected one of [host world unmanaged \
    health init remote-node kube-apiserver ingress world-ipv4 world-ipv6 11] or a numeric value";

pub(super) fn verdict(filter: &mut FlowFilter, _: End, value: &str) -> Result<(), ValueError> {
    let verdict = Verdict::from_str_name(value)
        .ok_or_else(|| ValueError::new(format!("invalid --verdict value: {value}")))?;
    filter.verdict.push(verdict.into());
    Ok(())
}

pub(super) fn drop_reason(filter: &mut FlowFilter, _: End, value: &str) -> Result<(), ValueError> {
    if value.is_empty() {
        return Err(ValueError::new("empty --drop-reason-desc value"));
    }
    let reason = DropReason::from_str_name(value)
        .ok_or_else(|| ValueError::new(format!("invalid --drop-reason-desc value: {value}")))?;
    filter.drop_reason_desc.push(reason.into());
    Ok(())
}

pub(super) fn direction(filter: &mut FlowFilter, _: End, value: &str) -> Result<(), ValueError> {
    let lower = value.to_lowercase();
    let direction = match lower.as_str() {
        "egress" => TrafficDirection::Egress,
        "ingress" => TrafficDirection::Ingress,
        _ => {
            return Err(ValueError::new(format!(
                "{lower}: invalid traffic direction, expected ingress or egress"
            )));
        }
    };
    filter.traffic_direction.push(direction.into());
    Ok(())
}

pub(super) fn ip_version(filter: &mut FlowFilter, _: End, value: &str) -> Result<(), ValueError> {
    let version = match value.to_lowercase().as_str() {
        "4" | "v4" | "ipv4" | "ip4" => IpVersion::IPv4,
        "6" | "v6" | "ipv6" | "ip6" => IpVersion::IPv6,
        _ => IpVersion::IpNotUsed,
    };
    filter.ip_version.push(version.into());
    Ok(())
}

pub(super) fn only_ipv4(filter: &mut FlowFilter, end: End, _: &str) -> Result<(), ValueError> {
    ip_version(filter, end, "4")
}

pub(super) fn only_ipv6(filter: &mut FlowFilter, end: End, _: &str) -> Result<(), ValueError> {
    ip_version(filter, end, "6")
}

pub(super) fn encrypted(filter: &mut FlowFilter, _: End, _: &str) -> Result<(), ValueError> {
    filter.encrypted.push(true);
    Ok(())
}

pub(super) fn unencrypted(filter: &mut FlowFilter, _: End, _: &str) -> Result<(), ValueError> {
    filter.encrypted.push(false);
    Ok(())
}

pub(super) fn http_header(filter: &mut FlowFilter, _: End, value: &str) -> Result<(), ValueError> {
    let (key, header_value) = value.split_once(':').ok_or_else(|| {
        ValueError::new(format!(
            "invalid http-header value {}, expected name:value",
            quoted(value)
        ))
    })?;
    filter.http_header.push(HttpHeader {
        key: key.to_owned(),
        value: header_value.to_owned(),
    });
    Ok(())
}

pub(super) fn interface(filter: &mut FlowFilter, _: End, value: &str) -> Result<(), ValueError> {
    filter.interface.push(NetworkInterface {
        index: 0,
        name: value.to_owned(),
    });
    Ok(())
}

pub(super) fn cel_expression(
    filter: &mut FlowFilter,
    _: End,
    value: &str,
) -> Result<(), ValueError> {
    filter
        .experimental
        .get_or_insert_with(Experimental::default)
        .cel_expression
        .push(value.to_owned());
    Ok(())
}

pub(super) fn ip_trace_id(filter: &mut FlowFilter, _: End, value: &str) -> Result<(), ValueError> {
    if value == "0" {
        return Err(ValueError::new(
            "invalid --ip-trace-id value; must be greater than 0",
        ));
    }
    let id = unsigned(value, Base::Ten, u64::BITS)
        .map_err(|error| ValueError::new(format!("invalid --ip-trace-id value: {error}")))?;
    filter.ip_trace_id.push(id);
    Ok(())
}

pub(super) fn tcp_flags(filter: &mut FlowFilter, _: End, value: &str) -> Result<(), ValueError> {
    let mut flags = TcpFlags::default();
    for name in value.split(',') {
        let flag = match name.to_uppercase().as_str() {
            "ACK" => &mut flags.ack,
            "CWR" => &mut flags.cwr,
            "ECE" => &mut flags.ece,
            "FIN" => &mut flags.fin,
            "NS" => &mut flags.ns,
            "PSH" => &mut flags.psh,
            "RST" => &mut flags.rst,
            "SYN" => &mut flags.syn,
            "URG" => &mut flags.urg,
            _ => return Err(ValueError::new(format!("unknown tcp flag: {name}"))),
        };
        *flag = true;
    }
    filter.tcp_flags.push(flags);
    Ok(())
}

pub(super) fn event_type(filter: &mut FlowFilter, _: End, value: &str) -> Result<(), ValueError> {
    let (kind_text, sub_text) = match value.split_once(':') {
        Some((kind, sub)) => (kind, Some(sub)),
        None => (value, None),
    };
    let named = words::EVENT_TYPES
        .iter()
        .find(|(_, name)| *name == kind_text)
        .map(|(number, _)| *number);
    let kind = match named {
        Some(number) => number,
        None => event_number(kind_text).map_err(|error| {
            ValueError::new(format!(
                "unable to parse type '{kind_text}', not a known type name and unable to parse as \
                 numeric value: {error}"
            ))
        })?,
    };
    let sub_type = match sub_text {
        None => None,
        Some(text) => Some(match named.and_then(|kind| words::sub_type(kind, text)) {
            Some(number) => number,
            None => event_number(text).map_err(|error| {
                ValueError::new(format!(
                    "unable to parse event sub-type '{text}', not a known sub-type name and \
                     unable to parse as numeric value: {error}"
                ))
            })?,
        }),
    };
    filter.event_type.push(EventTypeFilter {
        r#type: kind,
        match_sub_type: sub_type.is_some(),
        sub_type: sub_type.unwrap_or(0),
    });
    Ok(())
}

/// The wire holds these numbers with a sign, users type them without.
fn event_number(text: &str) -> Result<i32, ValueError> {
    let number = unsigned(text, Base::Ten, u32::BITS)?;
    Ok(u32::try_from(number).unwrap_or(u32::MAX).cast_signed())
}
