//! From the agent's notifications to agent events. Kinds are matched by meaning: the agent and
//! Hubble number some of them differently.

use flow_api::flow::{
    self, AgentEvent, AgentEventType, AgentEventUnknown, agent_event::Notification,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::agent::AgentNotification;

/// `{"time": ...}`
#[derive(Deserialize)]
struct Started {
    time: String,
}

#[derive(Deserialize)]
struct PolicyUpdate {
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    revision: u64,
    rule_count: i64,
}

/// A regenerated endpoint has no pod and namespace, one that came or went has.
#[derive(Deserialize)]
#[serde(default, rename_all = "kebab-case")]
#[derive(Default)]
struct Endpoint {
    id: u64,
    labels: Vec<String>,
    error: String,
    pod_name: String,
    namespace: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct IpCache {
    cidr: String,
    id: u32,
    old_id: Option<u32>,
    #[serde(default)]
    host_ip: String,
    #[serde(default)]
    old_host_ip: String,
    encrypt_key: u32,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    pod_name: String,
}

/// The event that a notification is. One whose text does not fit its kind is told as it is.
pub(crate) fn agent_event(notification: &AgentNotification) -> AgentEvent {
    let text = &*notification.text;
    let known = match notification.kind {
        2 => started(text).map(|it| (AgentEventType::AgentStarted, it)),
        3 => regenerated(text).map(|it| (AgentEventType::EndpointRegenerateSuccess, it)),
        4 => regenerated(text).map(|it| (AgentEventType::EndpointRegenerateFailure, it)),
        5 => policy(text).map(|it| (AgentEventType::PolicyUpdated, it)),
        6 => policy(text).map(|it| (AgentEventType::PolicyDeleted, it)),
        7 => endpoint(text).map(|it| (AgentEventType::EndpointCreated, it)),
        8 => endpoint(text).map(|it| (AgentEventType::EndpointDeleted, it)),
        9 => ip_cache(text).map(|it| (AgentEventType::IpcacheUpserted, it)),
        10 => ip_cache(text).map(|it| (AgentEventType::IpcacheDeleted, it)),
        _ => None,
    };
    let (kind, told) = known.unwrap_or_else(|| {
        let unknown = AgentEventUnknown {
            r#type: notification.kind.to_string(),
            notification: text.to_owned(),
        };
        (
            AgentEventType::AgentEventUnknown,
            Notification::Unknown(unknown),
        )
    });
    AgentEvent {
        r#type: kind.into(),
        notification: Some(told),
    }
}

/// The number of an endpoint that is gone.
pub(crate) fn deleted_endpoint(event: &AgentEvent) -> Option<u64> {
    match &event.notification {
        Some(Notification::EndpointUpdate(update))
            if event.r#type() == AgentEventType::EndpointDeleted =>
        {
            Some(update.id)
        }
        _ => None,
    }
}

fn parse<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

fn started(text: &str) -> Option<Notification> {
    let Started { time } = parse(text)?;
    Some(Notification::AgentStart(flow::TimeNotification {
        time: time.parse().ok(),
    }))
}

fn policy(text: &str) -> Option<Notification> {
    let PolicyUpdate {
        labels,
        revision,
        rule_count,
    } = parse(text)?;
    let told = flow::PolicyUpdateNotification {
        labels,
        revision,
        rule_count,
    };
    Some(Notification::PolicyUpdate(told))
}

fn regenerated(text: &str) -> Option<Notification> {
    let Endpoint {
        id, labels, error, ..
    } = parse(text)?;
    let told = flow::EndpointRegenNotification { id, labels, error };
    Some(Notification::EndpointRegenerate(told))
}

fn endpoint(text: &str) -> Option<Notification> {
    let Endpoint {
        id,
        labels,
        error,
        pod_name,
        namespace,
    } = parse(text)?;
    let told = flow::EndpointUpdateNotification {
        id,
        labels,
        error,
        pod_name,
        namespace,
    };
    Some(Notification::EndpointUpdate(told))
}

fn ip_cache(text: &str) -> Option<Notification> {
    let read: IpCache = parse(text)?;
    let told = flow::IpCacheNotification {
        cidr: read.cidr,
        identity: read.id,
        old_identity: read.old_id,
        host_ip: read.host_ip,
        old_host_ip: read.old_host_ip,
        encrypt_key: read.encrypt_key,
        namespace: read.namespace,
        pod_name: read.pod_name,
    };
    Some(Notification::IpcacheUpdate(told))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Record, decode, tests::gob},
        *,
    };

    fn event(record: &[u8]) -> AgentEvent {
        match decode(record) {
            Ok(Record::Agent(notification)) => agent_event(&notification),
            other => panic!("no notification: {other:?}"),
        }
    }

    #[test]
    fn kinds_are_matched_by_meaning() {
        use AgentEventType as Kind;
        for (record, expected) in [
            (&gob!("agent_start")[..], Kind::AgentStarted),
            (gob!("policy_updated"), Kind::PolicyUpdated),
            (gob!("policy_deleted"), Kind::PolicyDeleted),
            (
                gob!("endpoint_regenerated"),
                Kind::EndpointRegenerateSuccess,
            ),
            (
                gob!("endpoint_regenerate_failed"),
                Kind::EndpointRegenerateFailure,
            ),
            (gob!("endpoint_created"), Kind::EndpointCreated),
            (gob!("endpoint_deleted"), Kind::EndpointDeleted),
            (gob!("ipcache_upserted"), Kind::IpcacheUpserted),
            (gob!("ipcache_deleted"), Kind::IpcacheDeleted),
            (gob!("generic_message"), Kind::AgentEventUnknown),
        ] {
            assert_eq!(event(record).r#type(), expected);
        }
    }

    #[test]
    fn each_kind_tells_its_fields() {
        let Some(Notification::AgentStart(start)) = event(gob!("agent_start")).notification else {
            panic!("no start");
        };
        assert_eq!(start.time.unwrap().nanos, 123_456_789);
        let Some(Notification::PolicyUpdate(policy)) = event(gob!("policy_updated")).notification
        else {
            panic!("no policy");
        };
        assert_eq!((policy.revision, policy.rule_count), (12, 3));
        let Some(Notification::EndpointRegenerate(failed)) =
            event(gob!("endpoint_regenerate_failed")).notification
        else {
            panic!("no regeneration");
        };
        assert_eq!((failed.id, &*failed.error), (42, "no compiler"));
        let created = event(gob!("endpoint_created"));
        assert_eq!(deleted_endpoint(&created), None);
        let Some(Notification::EndpointUpdate(created)) = created.notification else {
            panic!("no endpoint");
        };
        assert_eq!((&*created.pod_name, &*created.namespace), ("web-1", "shop"));
        assert_eq!(deleted_endpoint(&event(gob!("endpoint_deleted"))), Some(42));
    }

    #[test]
    fn an_address_may_have_no_host_and_no_identity_before() {
        let ip_cache = |record| match event(record).notification {
            Some(Notification::IpcacheUpdate(it)) => it,
            other => panic!("{other:?}"),
        };
        let full = ip_cache(gob!("ipcache_upserted"));
        assert_eq!((full.identity, full.old_identity), (25001, Some(2)));
        assert_eq!(
            (&*full.host_ip, &*full.old_host_ip),
            ("192.0.2.1", "fd00::1")
        );
        assert_eq!((full.encrypt_key, &*full.pod_name), (3, "web-1"));
        let bare = ip_cache(gob!("ipcache_deleted"));
        assert_eq!((bare.old_identity, &*bare.host_ip), (None, ""));
    }

    #[test]
    fn what_does_not_fit_its_kind_is_told_as_it_is() {
        for (kind, text) in [
            (5, r#"{"labels":3}"#),
            (2, "no json"),
            (77, "{}"),
            (9, "{}"),
        ] {
            let event = agent_event(&AgentNotification {
                kind,
                text: text.to_owned(),
            });
            assert_eq!(event.r#type(), AgentEventType::AgentEventUnknown);
            let expected = AgentEventUnknown {
                r#type: kind.to_string(),
                notification: text.to_owned(),
            };
            assert_eq!(event.notification, Some(Notification::Unknown(expected)));
        }
    }
}
