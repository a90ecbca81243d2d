//! What the agent itself has to tell: that it started, and what changes among endpoints, addresses
//! and services as the directory sees it. In go news, out come events in a ring of their own.
//!
//! A ring of their own, since thousands of pods may change at once: that should cost no flow its
//! place. Readers ask for one kind of events at a time and so cannot tell the difference.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use flow_api::flow::{
    AgentEvent, AgentEventType, EndpointRegenNotification, EndpointUpdateNotification,
    IpCacheNotification, ServiceDeleteNotification, ServiceUpsertNotification,
    ServiceUpsertNotificationAddr, TimeNotification, agent_event::Notification,
};

use crate::{
    assemble::now_ns,
    counters::Counters,
    encode::timestamp,
    enrich::{Directory, facts::Port, news::News},
    record::Endpoint,
    ring::{Event, FlowRing, Message},
};

/// How many are kept: as many as flows unless told otherwise, some 2 MB if they are of the usual
/// size.
const CAPACITY: usize = 4095;
/// How many backends of a service an event lists: large services change often, and a list that
/// nobody reads to its end should not be made each time.
const LISTED_BACKENDS: usize = 100;

/// The newest agent events.
#[derive(Debug)]
pub(crate) struct AgentEvents {
    ring: Arc<FlowRing>,
    /// The time of the newest event. Held while publishing, since several threads do: readers rely
    /// on an order, and on times that never go back.
    newest_ns: Mutex<i64>,
}

impl Default for AgentEvents {
    fn default() -> Self {
        Self {
            ring: Arc::new(FlowRing::new(CAPACITY)),
            newest_ns: Mutex::default(),
        }
    }
}

impl AgentEvents {
    /// Where readers find them.
    pub(crate) fn ring(&self) -> &Arc<FlowRing> {
        &self.ring
    }

    /// Tells that the agent started, and from then on what changes in the directory.
    pub(crate) fn start(self: &Arc<Self>, directory: &Directory, counters: Arc<Counters>) {
        let time = Some(timestamp(now_ns()));
        self.tell([message(
            AgentEventType::AgentStarted,
            Notification::AgentStart(TimeNotification { time }),
        )]);
        let events = Arc::clone(self);
        directory.listen(Box::new(move |news, left_out| {
            events.tell(news.into_iter().map(told));
            counters.agent_events_left_out(left_out);
        }));
    }

    fn publish(&self, mut events: Vec<Event>) {
        let mut newest_ns = self
            .newest_ns
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for event in &mut events {
            *newest_ns = event.time_ns().max(*newest_ns);
            event.set_time_ns(*newest_ns);
        }
        self.ring.publish(&mut events);
    }

    fn tell(&self, messages: impl IntoIterator<Item = AgentEvent>) {
        let time_ns = now_ns();
        let event = |message| {
            Event::Agent(Message {
                time_ns,
                message: Box::new(message),
            })
        };
        self.publish(messages.into_iter().map(event).collect());
    }
}

fn message(kind: AgentEventType, notification: Notification) -> AgentEvent {
    AgentEvent {
        r#type: kind.into(),
        notification: Some(notification),
    }
}

/// News as Hubble's contract has it.
#[expect(
    deprecated,
    reason = "Hubble has stopped telling of services; its clients still show it"
)]
fn told(news: News) -> AgentEvent {
    match news {
        News::EndpointCreated(endpoint) => {
            message(AgentEventType::EndpointCreated, update(&endpoint))
        }
        News::EndpointDeleted(endpoint) => {
            message(AgentEventType::EndpointDeleted, update(&endpoint))
        }
        News::EndpointRegenerated(endpoint) => message(
            AgentEventType::EndpointRegenerateSuccess,
            Notification::EndpointRegenerate(EndpointRegenNotification {
                id: endpoint.id.into(),
                labels: endpoint.labels.to_vec(),
                error: String::new(),
            }),
        ),
        News::AddressUpserted { ip, owner, before } => {
            message(AgentEventType::IpcacheUpserted, address(ip, &owner, before))
        }
        News::AddressDeleted { ip, owner } => {
            message(AgentEventType::IpcacheDeleted, address(ip, &owner, None))
        }
        News::ServiceUpserted {
            frontend,
            service,
            backends,
        } => {
            let backends = backends.into_iter().take(LISTED_BACKENDS);
            message(
                AgentEventType::ServiceUpserted,
                Notification::ServiceUpsert(ServiceUpsertNotification {
                    id: service_id(frontend),
                    frontend_address: Some(service_address(frontend)),
                    backend_addresses: backends.map(service_address).collect(),
                    name: service.name.to_string(),
                    namespace: service.namespace.to_string(),
                    ..ServiceUpsertNotification::default()
                }),
            )
        }
        News::ServiceDeleted { frontend } => message(
            AgentEventType::ServiceDeleted,
            Notification::ServiceDelete(ServiceDeleteNotification {
                id: service_id(frontend),
            }),
        ),
    }
}

fn update(endpoint: &Endpoint) -> Notification {
    Notification::EndpointUpdate(EndpointUpdateNotification {
        id: endpoint.id.into(),
        labels: endpoint.labels.to_vec(),
        error: String::new(),
        pod_name: endpoint.pod_name.to_string(),
        namespace: endpoint.namespace.to_string(),
    })
}

fn address(ip: IpAddr, owner: &Endpoint, before: Option<u32>) -> Notification {
    let bits = if ip.is_ipv4() { 32 } else { 128 };
    Notification::IpcacheUpdate(IpCacheNotification {
        cidr: format!("{ip}/{bits}"),
        identity: owner.identity,
        old_identity: before,
        namespace: owner.namespace.to_string(),
        pod_name: owner.pod_name.to_string(),
        ..IpCacheNotification::default()
    })
}

fn service_address(port: Port) -> ServiceUpsertNotificationAddr {
    ServiceUpsertNotificationAddr {
        ip: port.ip.to_string(),
        port: port.port.into(),
    }
}

/// A number for a frontend, by which its end is told: the contract names it by nothing else. The
/// same on all nodes and after a restart.
fn service_id(frontend: Port) -> u32 {
    // FNV-1a, whose numbers do not depend on the build.
    const START: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(PRIME);
    let hash = match frontend.ip {
        IpAddr::V4(ip) => ip.octets().into_iter().fold(START, step),
        IpAddr::V6(ip) => ip.octets().into_iter().fold(START, step),
    };
    let [high, low] = frontend.port.to_be_bytes();
    [high, low, frontend.protocol].into_iter().fold(hash, step)
}

#[cfg(test)]
mod tests;
