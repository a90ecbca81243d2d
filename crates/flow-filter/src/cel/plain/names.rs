//! Names of fields as people write them. In: `source.port` or `verdict`. Out: the fields of the
//! contract that are meant, or what is wrong with the name and what may have been meant.

use flow_api::near::nearest;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::view::Side;

/// Shorter names for fields, and those that people look for in another place.
const ALIASES: [(&[&str], &[&str]); 24] = [
    (
        &["destination", "cluster"],
        &["destination", "cluster_name"],
    ),
    (&["destination", "ip"], &["IP", "destination"]),
    (&["destination", "names"], &["destination_names"]),
    (&["destination", "pod"], &["destination", "pod_name"]),
    (&["destination", "service"], &["destination_service"]),
    (&["direction"], &["traffic_direction"]),
    (&["dns"], &["l7", "dns"]),
    (&["http"], &["l7", "http"]),
    (&["icmpv4"], &["l4", "ICMPv4"]),
    (&["icmpv6"], &["l4", "ICMPv6"]),
    (&["igmp"], &["l4", "IGMP"]),
    (&["node"], &["node_name"]),
    (&["sctp"], &["l4", "SCTP"]),
    (&["source", "cluster"], &["source", "cluster_name"]),
    (&["source", "ip"], &["IP", "source"]),
    (&["source", "names"], &["source_names"]),
    (&["source", "pod"], &["source", "pod_name"]),
    (&["source", "service"], &["source_service"]),
    (&["tcp"], &["l4", "TCP"]),
    (&["trace_id"], &["trace_context", "parent", "trace_id"]),
    (&["tunnel", "ip"], &["tunnel", "IP"]),
    (&["udp"], &["l4", "UDP"]),
    (&["vni"], &["tunnel", "vni"]),
    (&["vrrp"], &["l4", "VRRP"]),
];

/// The last part of the names that stand for the port of one end, whatever the protocol.
pub(super) const PORT: &str = "port";

/// Fields that fit into a message.
const FEW_FIELDS: usize = 16;

/// What a name means.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    /// Fields, each in the message before it, from the flow on.
    Fields(Vec<FieldDescriptor>),
    /// The port of one end.
    Port(Side),
}

/// What is wrong with a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Unknown {
    /// Which part of the name it is, from 0.
    pub(super) part: usize,
    pub(super) problem: String,
}

/// Finds out what a name means in a flow. Upper and lower case do not matter.
pub(super) fn meaning(flow: &MessageDescriptor, parts: &[&str]) -> Result<Meaning, Unknown> {
    let plain = walk(flow, parts);
    let Err(Unknown { part, .. }) = &plain else {
        return plain.map(Meaning::Fields);
    };
    if let [end, port] = parts
        && port.eq_ignore_ascii_case(PORT)
        && let Some(side) = side(end)
    {
        return Ok(Meaning::Port(side));
    }
    for (alias, stands_for) in ALIASES {
        let begins = alias.len() > *part
            && alias.len() <= parts.len()
            && alias
                .iter()
                .zip(parts)
                .all(|(alias, part)| alias.eq_ignore_ascii_case(part));
        if begins {
            let full: Vec<&str> = stands_for
                .iter()
                .chain(&parts[alias.len()..])
                .copied()
                .collect();
            return walk(flow, &full)
                .map(Meaning::Fields)
                .map_err(|unknown| Unknown {
                    part: (unknown.part + alias.len()).saturating_sub(stands_for.len()),
                    ..unknown
                });
        }
    }
    plain.map(Meaning::Fields)
}

fn side(name: &str) -> Option<Side> {
    [("source", Side::Source), ("destination", Side::Destination)]
        .into_iter()
        .find(|(end, _)| name.eq_ignore_ascii_case(end))
        .map(|(_, side)| side)
}

fn walk(flow: &MessageDescriptor, parts: &[&str]) -> Result<Vec<FieldDescriptor>, Unknown> {
    let mut message = Some(flow.clone());
    let mut fields: Vec<FieldDescriptor> = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        let unknown = |problem| Unknown {
            part: index,
            problem,
        };
        let Some(within) = message else {
            return Err(unknown(no_fields(&fields)));
        };
        let Some(field) = field(&within, part) else {
            return Err(unknown(no_such_field(&within, &fields, part)));
        };
        message = match field.kind() {
            Kind::Message(message) if !field.is_list() && !is_value(&message) => Some(message),
            _ => None,
        };
        fields.push(field);
    }
    Ok(fields)
}

/// A field by its name, or by its name in other letters.
pub(super) fn field(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_name(name).or_else(|| {
        message
            .fields()
            .find(|field| field.name().eq_ignore_ascii_case(name))
    })
}

/// Whether a message is a value of the language, with nothing to select in it.
fn is_value(message: &MessageDescriptor) -> bool {
    message.full_name().starts_with("google.protobuf.")
}

/// The name in full, as in `source.namespace`.
pub(super) fn path(fields: &[FieldDescriptor]) -> String {
    let names: Vec<&str> = fields.iter().map(FieldDescriptor::name).collect();
    names.join(".")
}

fn no_fields(fields: &[FieldDescriptor]) -> String {
    let path = path(fields);
    match fields.last() {
        Some(last) if last.is_list() => {
            format!("'{path}' is a list, ask with '{path}.exists(x, ...)' what is in it")
        }
        _ => format!("'{path}' is a value, there is nothing in it"),
    }
}

/// The same for a field of something that is more than a name.
pub(super) fn no_field(within: &MessageDescriptor, subject: &str, name: &str) -> String {
    let names: Vec<String> = within
        .fields()
        .map(|field| field.name().to_owned())
        .collect();
    with_names(format!("'{subject}' has no field '{name}'"), name, &names)
}

fn with_names(problem: String, name: &str, names: &[String]) -> String {
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("{problem}, did you mean '{near}'?"),
        None if names.len() <= FEW_FIELDS => format!("{problem}, it has {}", names.join(", ")),
        None => problem,
    }
}

fn no_such_field(within: &MessageDescriptor, before: &[FieldDescriptor], name: &str) -> String {
    let place = match before {
        [] => "a flow".to_owned(),
        before => format!("'{}'", path(before)),
    };
    let problem = format!("{place} has no field '{name}'");
    // A field that stands deeper, by its exact name, is meant more likely than one that is spelled
    // alike.
    if before.is_empty()
        && let Some(deeper) = deeper(within, name)
    {
        return format!("{problem}, did you mean '{deeper}'?");
    }
    let mut names: Vec<String> = within
        .fields()
        .map(|field| field.name().to_owned())
        .collect();
    let prefix: Vec<&str> = before.iter().map(FieldDescriptor::name).collect();
    for (alias, _) in ALIASES {
        if let Some(rest) = alias.strip_prefix(prefix.as_slice())
            && let [last] = rest
        {
            names.push((*last).to_owned());
        }
    }
    if matches!(before, [end] if side(end.name()).is_some()) {
        names.push(PORT.to_owned());
    }
    with_names(problem, name, &names)
}

/// Where a field of that name is, if it is not in the flow itself: `namespace` is in `source`.
fn deeper(flow: &MessageDescriptor, name: &str) -> Option<String> {
    if matches!(
        name,
        "namespace" | "pod" | "identity" | "labels" | "port" | "ip"
    ) {
        return Some(format!("source.{name}' or 'destination.{name}"));
    }
    let mut found = Vec::new();
    for outer in flow.fields() {
        let Kind::Message(message) = outer.kind() else {
            continue;
        };
        if outer.is_list() || is_value(&message) {
            continue;
        }
        if let Some(inner) = field(&message, name) {
            found.push(format!("{}.{}", outer.name(), inner.name()));
        }
    }
    found.truncate(2);
    (!found.is_empty()).then(|| found.join("' or '"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cel::schema::Schema;

    fn meant(name: &str) -> Result<String, Unknown> {
        let flow = Schema::get().unwrap().flow().unwrap();
        let parts: Vec<&str> = name.split('.').collect();
        meaning(&flow, &parts).map(|meaning| match meaning {
            Meaning::Fields(fields) => path(&fields),
            Meaning::Port(side) => format!("port of {side}"),
        })
    }

    #[test]
    fn fields_are_found_in_any_case_and_by_shorter_names() {
        for (name, expected) in [
            ("verdict", "verdict"),
            ("type", "Type"),
            ("summary", "Summary"),
            ("ip.SOURCE", "IP.source"),
            ("l4.tcp.flags.syn", "l4.TCP.flags.SYN"),
            ("tcp.destination_port", "l4.TCP.destination_port"),
            ("source.ip", "IP.source"),
            ("source.id", "source.ID"),
            ("source.pod", "source.pod_name"),
            ("destination.service.name", "destination_service.name"),
            ("source.port", "port of source"),
            ("dns.query", "l7.dns.query"),
            ("is_reply", "is_reply"),
            ("trace_id", "trace_context.parent.trace_id"),
        ] {
            assert_eq!(meant(name).as_deref(), Ok(expected), "{name}");
        }
    }

    #[test]
    fn every_alias_leads_to_a_field() {
        let flow = Schema::get().unwrap().flow().unwrap();
        for (alias, stands_for) in ALIASES {
            assert!(walk(&flow, stands_for).is_ok(), "{alias:?}");
        }
    }

    #[test]
    fn what_is_unknown_is_told_with_what_may_be_meant() {
        for (name, part, problem) in [
            (
                "verdit",
                0,
                "a flow has no field 'verdit', did you mean 'verdict'?",
            ),
            (
                "source.namspace",
                1,
                "'source' has no field 'namspace', did you mean 'namespace'?",
            ),
            (
                "namespace",
                0,
                "a flow has no field 'namespace', did you mean 'source.namespace' or \
                 'destination.namespace'?",
            ),
            ("query", 0, "a flow has no field 'query'"),
            (
                "source.workloads.name",
                2,
                "'source.workloads' is a list, ask with 'source.workloads.exists(x, ...)' what is \
                 in it",
            ),
            (
                "source.namespace.x",
                2,
                "'source.namespace' is a value, there is nothing in it",
            ),
            (
                "tcp.port",
                1,
                "'l4.TCP' has no field 'port', it has source_port, destination_port, flags",
            ),
            (
                "source.prt",
                1,
                "'source' has no field 'prt', did you mean 'port'?",
            ),
        ] {
            let unknown = meant(name).unwrap_err();
            assert_eq!(unknown.problem, problem);
            assert_eq!(unknown.part, part, "{name}");
        }
    }
}
