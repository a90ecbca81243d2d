//! One side of a flow as messages.

use std::sync::Arc;

use flow_api::flow;

use super::{Select, Writer};
use crate::record::{Endpoint, Names, Party, Service};

/// The endpoint of a flow's side. The flows of an endpoint share its bytes; those who want parts of it
/// are few.
pub(super) fn put_party(field: u32, party: &Party, select: impl Select, writer: &mut Writer<'_>) {
    let endpoint = &*party.endpoint;
    let put = |writer: &mut Writer<'_>| put_endpoint(endpoint, party.identity, select, writer);
    if select.is_parts() || party.identity != endpoint.identity {
        return writer.long_message(field, put);
    }
    let encoded = endpoint.encoded.get_or_encode(|| {
        let mut bytes = Vec::new();
        put(&mut Writer::new(&mut bytes));
        bytes
    });
    writer.element(field, encoded);
}

fn put_endpoint(endpoint: &Endpoint, identity: u32, select: impl Select, writer: &mut Writer<'_>) {
    if select.has(1) {
        writer.number(1, endpoint.id.into());
    }
    if select.has(2) {
        writer.number(2, identity.into());
    }
    if select.has(3) {
        writer.text(3, &endpoint.namespace);
    }
    if select.has(4) {
        writer.elements(4, endpoint.labels.iter().map(String::as_str));
    }
    if select.has(5) {
        writer.text(5, &endpoint.pod_name);
    }
    if select.has(6) {
        for workload in &endpoint.workloads {
            writer.message(6, |writer| {
                writer.text(1, &workload.name);
                writer.text(2, &workload.kind);
            });
        }
    }
    if select.has(7) {
        writer.text(7, &endpoint.cluster_name);
    }
}

/// What owns an endpoint, as messages.
pub(crate) fn workloads(endpoint: &Endpoint) -> Vec<flow::Workload> {
    let workloads = endpoint.workloads.iter();
    workloads
        .map(|workload| flow::Workload {
            name: workload.name.clone(),
            kind: workload.kind.clone(),
        })
        .collect()
}

/// What an address is called.
pub(crate) fn names(names: Option<&Arc<Names>>) -> Vec<String> {
    let names = names.into_iter().flat_map(|names| &names.all);
    names.map(|name| name.text.to_string()).collect()
}

/// What the other side calls the address.
pub(super) fn put_names(field: u32, party: &Party, writer: &mut Writer<'_>) {
    let names = party.names.iter().flat_map(|names| &names.all);
    writer.elements(field, names.map(|name| &*name.text));
}

/// A service as a message.
pub(crate) fn service(service: &Service) -> flow::Service {
    flow::Service {
        name: service.name.to_string(),
        namespace: service.namespace.to_string(),
    }
}

pub(super) fn put_service(service: &Service, select: impl Select, writer: &mut Writer<'_>) {
    if select.has(1) {
        writer.text(1, &service.name);
    }
    if select.has(2) {
        writer.text(2, &service.namespace);
    }
}
