//! Fields that flows have once for each end: `source.pod`, `server.ip`.

use std::fmt::Write as _;

use flow_api::flow::{Endpoint, Service};

use super::Observed;
use crate::filters::fields::End;
use crate::print;
use crate::words;

/// Which end of a flow: by the packet, or by who opened the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    Client,
    Destination,
    Server,
    Source,
}

impl Side {
    /// The names of all sides, and what else they are called.
    pub(super) const NAMES: [(&'static str, Self); 6] = [
        ("client", Self::Client),
        ("destination", Self::Destination),
        ("from", Self::Source),
        ("server", Self::Server),
        ("source", Self::Source),
        ("to", Self::Destination),
    ];

    fn of(self, observed: &Observed<'_>) -> End {
        match (self, observed.opener()) {
            (Self::Source, _) | (Self::Client, End::Source) | (Self::Server, End::Destination) => {
                End::Source
            }
            (Self::Destination, _)
            | (Self::Client, End::Destination)
            | (Self::Server, End::Source) => End::Destination,
        }
    }

    /// The ends that may be meant, as the contract's fields begin.
    pub(super) fn ends(self) -> &'static [&'static str] {
        match self {
            Self::Client | Self::Server => &["source", "destination"],
            Self::Destination => &["destination"],
            Self::Source => &["source"],
        }
    }
}

/// A field of an end.
#[derive(Debug)]
pub(super) struct EndField {
    /// What follows the end's name and a dot; nothing for who it is.
    pub(super) name: &'static str,
    /// Another name for it, or nothing.
    pub(super) alias: &'static str,
    /// The contract's fields that it is made of; `{}` stands for the end.
    pub(super) mask: &'static [&'static str],
    take: fn(&Observed<'_>, End, &mut String),
}

impl EndField {
    /// Appends the value.
    pub(super) fn take(&self, observed: &Observed<'_>, side: Side, out: &mut String) {
        (self.take)(observed, side.of(observed), out);
    }
}

/// All of them.
pub(super) const END_FIELDS: &[EndField] = &[
    EndField {
        name: "",
        alias: "",
        mask: &[
            "{}.namespace",
            "{}.pod_name",
            "{}_service",
            "{}_names",
            "IP",
            "ethernet",
        ],
        take: who,
    },
    EndField {
        name: "cluster",
        alias: "",
        mask: &["{}.cluster_name"],
        take: |observed, end, out| text(out, endpoint(observed, end).map(|it| &*it.cluster_name)),
    },
    EndField {
        name: "identity",
        alias: "",
        mask: &["{}.identity"],
        take: identity,
    },
    EndField {
        name: "ip",
        alias: "address",
        mask: &["IP"],
        take: |observed, end, out| {
            let ip = observed.flow.ip.as_ref();
            text(out, ip.map(|ip| &**end.pick(&ip.source, &ip.destination)));
        },
    },
    EndField {
        name: "names",
        alias: "fqdn",
        mask: &["{}_names"],
        take: |observed, end, out| {
            let flow = observed.flow;
            let names = end.pick(&flow.source_names, &flow.destination_names);
            list(out, names.iter().map(String::as_str));
        },
    },
    EndField {
        name: "namespace",
        alias: "",
        mask: &["{}.namespace", "{}_service"],
        take: |observed, end, out| text(out, Some(namespace(observed, end))),
    },
    EndField {
        name: "pod",
        alias: "",
        mask: &["{}.namespace", "{}.pod_name"],
        take: |observed, end, out| {
            if let Some(endpoint) = endpoint(observed, end) {
                qualified(out, &endpoint.namespace, &endpoint.pod_name);
            }
        },
    },
    EndField {
        name: "port",
        alias: "",
        mask: &["l4"],
        take: |observed, end, out| {
            if let Some(port) = print::port(observed.flow, end) {
                number(out, port);
            }
        },
    },
    EndField {
        name: "service",
        alias: "",
        mask: &["{}_service"],
        take: |observed, end, out| {
            if let Some(service) = service(observed, end) {
                qualified(out, &service.namespace, &service.name);
            }
        },
    },
    EndField {
        name: "workload",
        alias: "",
        mask: &["{}.namespace", "{}.workloads"],
        take: |observed, end, out| {
            if let Some(endpoint) = endpoint(observed, end)
                && let Some(workload) = endpoint.workloads.first()
            {
                qualified(out, &endpoint.namespace, &workload.name);
            }
        },
    },
];

/// A pod, service or name; else the address, as the text formats show it.
fn who(observed: &Observed<'_>, end: End, out: &mut String) {
    let flow = observed.flow;
    if let Some(name) = print::end_name(flow, end) {
        return text(out, Some(&name));
    }
    let ip = flow.ip.as_ref();
    let address = ip.map(|ip| &**end.pick(&ip.source, &ip.destination));
    let link = flow.ethernet.as_ref();
    let link = link.map(|link| &**end.pick(&link.source, &link.destination));
    text(out, address.or(link));
}

fn identity(observed: &Observed<'_>, end: End, out: &mut String) {
    if let Some(endpoint) = endpoint(observed, end) {
        match words::reserved_identity(endpoint.identity) {
            Some(name) => text(out, Some(name)),
            None => number(out, endpoint.identity),
        }
    }
}

fn namespace<'f>(observed: &Observed<'f>, end: End) -> &'f str {
    let of_endpoint = endpoint(observed, end).map_or("", |endpoint| &*endpoint.namespace);
    match of_endpoint {
        "" => service(observed, end).map_or("", |service| &*service.namespace),
        namespace => namespace,
    }
}

fn endpoint<'f>(observed: &Observed<'f>, end: End) -> Option<&'f Endpoint> {
    let flow = observed.flow;
    end.pick(&flow.source, &flow.destination).as_ref()
}

fn service<'f>(observed: &Observed<'f>, end: End) -> Option<&'f Service> {
    let flow = observed.flow;
    end.pick(&flow.source_service, &flow.destination_service)
        .as_ref()
}

fn qualified(out: &mut String, namespace: &str, name: &str) {
    if name.is_empty() {
        return;
    }
    if !namespace.is_empty() {
        out.push_str(namespace);
        out.push('/');
    }
    out.push_str(name);
}

pub(super) fn text(out: &mut String, text: Option<&str>) {
    out.push_str(text.unwrap_or_default());
}

pub(super) fn number(out: &mut String, number: impl std::fmt::Display) {
    let written = write!(out, "{number}");
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
}

pub(super) fn list<'t>(out: &mut String, texts: impl Iterator<Item = &'t str>) {
    for (index, text) in texts.enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(text);
    }
}
