//! What an agent did, in a line.

use std::borrow::Cow;

use flow_api::flow::{
    AgentEvent, AgentEventType, ServiceUpsertNotificationAddr, agent_event::Notification,
};

use super::{Style, append, enum_name};

/// The event's name on the wire.
pub(super) fn kind(event: &AgentEvent) -> Cow<'static, str> {
    enum_name::<AgentEventType>(event.r#type, AgentEventType::as_str_name)
}

impl Style {
    /// Appends the details; `UNKNOWN` if those that came do not belong to the event's type.
    #[expect(deprecated, reason = "old servers still send events about services")]
    pub(super) fn agent_event(&self, out: &mut Vec<u8>, event: &AgentEvent) {
        use AgentEventType as Type;
        let text = |out: &mut Vec<u8>, label: &str, value: &str| {
            append!(out, "{label}");
            self.escape.write(out, value);
        };
        let optional = |out: &mut Vec<u8>, label: &str, value: &str| {
            if !value.is_empty() {
                text(out, label, value);
            }
        };
        let kind = Type::try_from(event.r#type);
        match (kind, &event.notification) {
            (Ok(Type::AgentEventUnknown), Some(Notification::Unknown(unknown))) => {
                text(out, "type: ", &unknown.r#type);
                text(out, ", notification: ", &unknown.notification);
            }
            (Ok(Type::AgentStarted), Some(Notification::AgentStart(start))) => {
                append!(out, "start time: ");
                self.time.write(out, start.time.as_ref());
            }
            (
                Ok(Type::PolicyUpdated | Type::PolicyDeleted),
                Some(Notification::PolicyUpdate(policy)),
            ) => {
                text(out, "labels: [", &policy.labels.join(","));
                append!(
                    out,
                    "], revision: {}, count: {}",
                    policy.revision,
                    policy.rule_count
                );
            }
            (
                Ok(Type::EndpointRegenerateSuccess | Type::EndpointRegenerateFailure),
                Some(Notification::EndpointRegenerate(endpoint)),
            ) => {
                append!(out, "id: {}", endpoint.id);
                text(out, ", labels: [", &endpoint.labels.join(","));
                append!(out, "]");
                optional(out, ", error: ", &endpoint.error);
            }
            (
                Ok(Type::EndpointCreated | Type::EndpointDeleted),
                Some(Notification::EndpointUpdate(endpoint)),
            ) => {
                append!(out, "id: {}", endpoint.id);
                optional(out, ", namespace: ", &endpoint.namespace);
                optional(out, ", pod name: ", &endpoint.pod_name);
            }
            (
                Ok(Type::IpcacheUpserted | Type::IpcacheDeleted),
                Some(Notification::IpcacheUpdate(entry)),
            ) => {
                text(out, "cidr: ", &entry.cidr);
                append!(out, ", identity: {}", entry.identity);
                if let Some(identity) = entry.old_identity {
                    append!(out, ", old identity: {identity}");
                }
                optional(out, ", host ip: ", &entry.host_ip);
                optional(out, ", old host ip: ", &entry.old_host_ip);
                append!(out, ", encrypt key: {}", entry.encrypt_key);
            }
            (Ok(Type::ServiceUpserted), Some(Notification::ServiceUpsert(service))) => {
                append!(out, "id: {}", service.id);
                if let Some(frontend) = &service.frontend_address {
                    text(out, ", frontend: ", &address(frontend));
                }
                if !service.backend_addresses.is_empty() {
                    let backends: Vec<String> =
                        service.backend_addresses.iter().map(address).collect();
                    text(out, ", backends: [", &backends.join(","));
                    append!(out, "]");
                }
                optional(out, ", type: ", &service.r#type);
                optional(out, ", traffic policy: ", &service.traffic_policy);
                optional(out, ", namespace: ", &service.namespace);
                optional(out, ", name: ", &service.name);
            }
            (Ok(Type::ServiceDeleted), Some(Notification::ServiceDelete(service))) => {
                append!(out, "id: {}", service.id);
            }
            _ => append!(out, "UNKNOWN"),
        }
    }
}

fn address(address: &ServiceUpsertNotificationAddr) -> String {
    if address.ip.contains([':', '%']) {
        format!("[{}]:{}", address.ip, address.port)
    } else {
        format!("{}:{}", address.ip, address.port)
    }
}
