//! The columns of a table of flows, each with what it takes from a flow.

use flow_api::flow::{
    DropReason, Endpoint, Flow, Service, TrafficDirection, Verdict, layer4::Protocol,
};
use flow_filter::FieldPath;
use prost_types::Timestamp;

use crate::filters::fields::End;
use crate::print::{Style, append, enum_name, time::TimeFormat};

/// A column.
#[derive(Clone, Debug)]
pub(crate) enum Column {
    /// Any field, by the name under which it was asked for.
    Field(String, FieldPath),
    /// One of [`USUAL`].
    Usual(&'static Usual),
}

/// A column that needs not be asked for.
#[derive(Debug)]
pub(crate) struct Usual {
    name: &'static str,
    /// The fields that it is made of.
    paths: &'static [&'static str],
    write: fn(&mut Vec<u8>, &Flow, &Style),
}

/// The columns where none are named, in their order. It is a contract: new ones come last.
pub(crate) static USUAL: [Usual; 25] = [
    usual("time", &["time"], |out, flow, _| {
        write_time(out, flow.time.as_ref())
    }),
    usual("node", &["node_name"], |out, flow, _| {
        text(out, &flow.node_name)
    }),
    usual("verdict", &["verdict"], |out, flow, _| {
        append!(
            out,
            "{}",
            enum_name::<Verdict>(flow.verdict, Verdict::as_str_name)
        );
    }),
    usual("drop_reason", &["verdict", "drop_reason_desc"], drop_reason),
    usual("direction", &["traffic_direction"], direction),
    usual("type", &TYPE_PATHS, |out, flow, style| {
        style.kind(out, flow)
    }),
    usual("is_reply", &["is_reply"], |out, flow, _| {
        if let Some(is_reply) = flow.is_reply {
            append!(out, "{is_reply}");
        }
    }),
    usual("protocol", &["l4"], |out, flow, _| {
        text(out, protocol(flow))
    }),
    usual("source_ip", &["IP"], |out, flow, _| {
        ip(out, flow, End::Source)
    }),
    usual("source_port", &["l4"], |out, flow, _| {
        port(out, flow, End::Source)
    }),
    usual("source_identity", &["source.identity"], |out, flow, _| {
        identity(out, flow, End::Source)
    }),
    usual("source_namespace", &["source.namespace"], |out, flow, _| {
        text(
            out,
            endpoint(flow, End::Source).map_or("", |end| &end.namespace),
        );
    }),
    usual("source_pod", &["source.pod_name"], |out, flow, _| {
        text(
            out,
            endpoint(flow, End::Source).map_or("", |end| &end.pod_name),
        );
    }),
    usual("source_workload", &["source.workloads"], |out, flow, _| {
        workloads(out, flow, End::Source)
    }),
    usual("source_service", &["source_service"], |out, flow, _| {
        service(out, flow, End::Source)
    }),
    usual("source_names", &["source_names"], |out, flow, _| {
        list(out, &flow.source_names)
    }),
    usual("destination_ip", &["IP"], |out, flow, _| {
        ip(out, flow, End::Destination)
    }),
    usual("destination_port", &["l4"], |out, flow, _| {
        port(out, flow, End::Destination)
    }),
    usual(
        "destination_identity",
        &["destination.identity"],
        |out, flow, _| {
            identity(out, flow, End::Destination);
        },
    ),
    usual(
        "destination_namespace",
        &["destination.namespace"],
        |out, flow, _| {
            text(
                out,
                endpoint(flow, End::Destination).map_or("", |end| &end.namespace),
            );
        },
    ),
    usual(
        "destination_pod",
        &["destination.pod_name"],
        |out, flow, _| {
            text(
                out,
                endpoint(flow, End::Destination).map_or("", |end| &end.pod_name),
            );
        },
    ),
    usual(
        "destination_workload",
        &["destination.workloads"],
        |out, flow, _| {
            workloads(out, flow, End::Destination);
        },
    ),
    usual(
        "destination_service",
        &["destination_service"],
        |out, flow, _| {
            service(out, flow, End::Destination);
        },
    ),
    usual(
        "destination_names",
        &["destination_names"],
        |out, flow, _| {
            list(out, &flow.destination_names);
        },
    ),
    usual(
        "summary",
        &["Summary", "auth_type", "ip_trace_id"],
        |out, flow, style| {
            style.summary(out, flow);
        },
    ),
];

/// What the kind of an observation is read from.
const TYPE_PATHS: [&str; 7] = [
    "event_type",
    "l7",
    "policy_match_type",
    "traffic_direction",
    "debug_capture_point",
    "sock_xlate_point",
    "emitter",
];

const fn usual(
    name: &'static str,
    paths: &'static [&'static str],
    write: fn(&mut Vec<u8>, &Flow, &Style),
) -> Usual {
    Usual { name, paths, write }
}

impl Column {
    /// All columns that need not be asked for.
    pub(crate) fn usual() -> Vec<Self> {
        USUAL.iter().map(Self::Usual).collect()
    }

    /// The columns of these names: those of [`USUAL`], and fields as `--where` names them.
    ///
    /// # Errors
    /// A name that is neither.
    pub(crate) fn named(names: &[String]) -> anyhow::Result<Vec<Self>> {
        let column = |name: &String| {
            if let Some(usual) = USUAL.iter().find(|usual| usual.name == name) {
                return Ok(Self::Usual(usual));
            }
            match FieldPath::parse(name) {
                Ok(path) => Ok(Self::Field(name.clone(), path)),
                Err(error) => anyhow::bail!("invalid --columns \"{name}\": {error}"),
            }
        };
        names.iter().map(column).collect()
    }

    /// Its heading.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Field(name, _) => name,
            Self::Usual(usual) => usual.name,
        }
    }

    /// The fields that the columns need, for a field mask.
    pub(crate) fn paths(columns: &[Self]) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for column in columns {
            let paths = match column {
                Self::Field(_, path) => path.mask(),
                Self::Usual(usual) => usual.paths.iter().map(|&path| path.to_owned()).collect(),
            };
            for path in paths {
                if !all.contains(&path) {
                    all.push(path);
                }
            }
        }
        all
    }
}

/// The text of each column.
pub(super) fn cells(columns: &[Column], flow: &Flow, style: &Style) -> Vec<Vec<u8>> {
    let fields = columns.iter().filter_map(|column| match column {
        Column::Field(_, path) => Some(path),
        Column::Usual(_) => None,
    });
    let mut fields = FieldPath::texts(fields, flow).into_iter();
    let cell = |column: &Column| match column {
        Column::Field(..) => {
            let mut cell = Vec::new();
            style
                .escape
                .write(&mut cell, &fields.next().unwrap_or_default());
            cell
        }
        Column::Usual(usual) => {
            let mut plain = Vec::new();
            (usual.write)(&mut plain, flow, style);
            let mut cell = Vec::with_capacity(plain.len());
            style
                .escape
                .write(&mut cell, &String::from_utf8_lossy(&plain));
            cell
        }
    };
    columns.iter().map(cell).collect()
}

/// A time with all that is known of it; nothing for none.
pub(super) fn write_time(out: &mut Vec<u8>, time: Option<&Timestamp>) {
    if time.is_some() {
        TimeFormat::Rfc3339Nano.write(out, time);
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Several values in one cell.
fn list(out: &mut Vec<u8>, values: &[String]) {
    text(out, &values.join(";"));
}

fn drop_reason(out: &mut Vec<u8>, flow: &Flow, _: &Style) {
    if flow.drop_reason_desc != 0 {
        let name = enum_name::<DropReason>(flow.drop_reason_desc, DropReason::as_str_name);
        append!(out, "{name}");
    }
}

fn direction(out: &mut Vec<u8>, flow: &Flow, _: &Style) {
    if flow.traffic_direction != 0 {
        let number = flow.traffic_direction;
        let name = enum_name::<TrafficDirection>(number, TrafficDirection::as_str_name);
        append!(out, "{name}");
    }
}

fn protocol(flow: &Flow) -> &'static str {
    match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
        None => "",
        Some(Protocol::IcmPv4(_)) => "ICMPv4",
        Some(Protocol::IcmPv6(_)) => "ICMPv6",
        Some(Protocol::Igmp(_)) => "IGMP",
        Some(Protocol::Sctp(_)) => "SCTP",
        Some(Protocol::Tcp(_)) => "TCP",
        Some(Protocol::Udp(_)) => "UDP",
        Some(Protocol::Vrrp(_)) => "VRRP",
    }
}

fn ip(out: &mut Vec<u8>, flow: &Flow, end: End) {
    if let Some(ip) = &flow.ip {
        text(out, end.pick(&ip.source, &ip.destination));
    }
}

fn port(out: &mut Vec<u8>, flow: &Flow, end: End) {
    if let Some(port) = crate::print::flow::port(flow, end) {
        append!(out, "{port}");
    }
}

fn endpoint(flow: &Flow, end: End) -> Option<&Endpoint> {
    end.pick(&flow.source, &flow.destination).as_ref()
}

fn identity(out: &mut Vec<u8>, flow: &Flow, end: End) {
    if let Some(endpoint) = endpoint(flow, end) {
        append!(out, "{}", endpoint.identity);
    }
}

fn workloads(out: &mut Vec<u8>, flow: &Flow, end: End) {
    let workloads = endpoint(flow, end).map_or(&[][..], |endpoint| &endpoint.workloads);
    let names: Vec<String> = workloads
        .iter()
        .map(|workload| format!("{}/{}", workload.kind, workload.name))
        .collect();
    list(out, &names);
}

fn service(out: &mut Vec<u8>, flow: &Flow, end: End) {
    let service = end.pick(&flow.source_service, &flow.destination_service);
    if let Some(Service { name, namespace }) = service
        && !name.is_empty()
    {
        append!(out, "{namespace}/{name}");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn usual_columns_are_made_of_fields_that_there_are() {
        let mut seen = BTreeMap::new();
        for usual in &USUAL {
            assert!(seen.insert(usual.name, ()).is_none(), "{}", usual.name);
            for path in usual.paths {
                // A message cannot be a column, but is a field.
                let problem = FieldPath::parse(path).err().map(|error| error.to_string());
                let is_field = problem.is_none_or(|problem| !problem.contains("no field"));
                assert!(is_field, "{path}");
            }
        }
    }
}
