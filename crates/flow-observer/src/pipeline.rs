//! From a source to the ring: one thread, one batch after the other.
//!
//! There is no queue between the stages: what the observer does not take in time waits in the
//! source's own buffer, and is counted there when that is full.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use flow_api::flow::TrafficDirection;
use probe_events::{DropDetail, TracePoint, TraceReason};

use crate::{
    counters::Counters,
    decode::{self, Decoded, Detail, drop_code},
    enrich::{Directory, Snapshot},
    namespaces::SeenNamespaces,
    record::{Endpoint, FlowRecord, Interface, Observation, Transport},
    ring::{Event, FlowRing, Lost, MAX_BATCH},
    source::{LocalDevices, Namespace, RawEvent, Source, SourceError},
    uuid::Uuids,
};

/// How long the thread waits for events before it looks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(100);
/// A time that lies this far before the newest published one is a step of the wall clock, and is
/// believed. Less is two CPUs that overtook each other between two batches.
const CLOCK_STEP_NS: i64 = 1_000_000_000;

/// Names that a record refers to by number or address.
pub trait Names: Send {
    /// The kernel's name of a drop reason.
    fn drop_reason(&mut self, reason: u32) -> Arc<str>;
    /// The kernel function at an address.
    fn function(&mut self, address: u64) -> Option<Arc<str>>;
}

/// For sources that have no such records.
pub struct NoNames;

impl Names for NoNames {
    fn drop_reason(&mut self, reason: u32) -> Arc<str> {
        reason.to_string().into()
    }

    fn function(&mut self, _address: u64) -> Option<Arc<str>> {
        None
    }
}

/// Takes events from a source, makes flows of them, and publishes those.
pub struct Pipeline<S> {
    /// Where events come from.
    pub source: S,
    /// What numbers and addresses in records are called.
    pub names: Box<dyn Names>,
    /// Who is behind an address.
    pub directory: Directory,
    /// This host's devices.
    pub devices: Arc<ArcSwap<LocalDevices>>,
    /// Where flows go.
    pub ring: Arc<FlowRing>,
    /// The namespaces that flows came from and went to.
    pub namespaces: Arc<SeenNamespaces>,
    /// What is counted on the way.
    pub counters: Arc<Counters>,
}

impl<S: Source> Pipeline<S> {
    /// Runs until told to stop.
    ///
    /// # Errors
    /// When the source breaks.
    pub fn run(mut self, stop: &AtomicBool) -> Result<(), SourceError> {
        let mut uuids = Uuids::new();
        let mut found: Vec<Found> = Vec::with_capacity(MAX_BATCH);
        let mut newest_ns = 0;
        while !stop.load(Ordering::Relaxed) {
            let offset_ns = self.source.wall_clock_offset_ns();
            let counters = &self.counters;
            self.source
                .poll(PATIENCE, MAX_BATCH, &mut |raw| match raw {
                    RawEvent::Record(bytes) => match decode::decode(bytes) {
                        Ok(decoded) => found.push(Found::Record(decoded)),
                        Err(error) => counters.undecodable(error.reason()),
                    },
                    RawEvent::Lost { cpu, count } => found.push(Found::Lost { cpu, count }),
                })?;
            if found.is_empty() {
                continue;
            }
            let devices = self.devices.load_full();
            let snapshot = self.directory.snapshot(&devices.addresses);
            let mut events: Vec<Event> = Vec::with_capacity(found.len());
            for found in found.drain(..) {
                match found {
                    Found::Lost { cpu, count } => {
                        self.counters.lost(count);
                        events.push(Event::Lost(Lost {
                            time_ns: now_ns(),
                            count,
                            cpu,
                        }));
                    }
                    Found::Record(decoded) => {
                        let time_ns = (decoded.header.time_ns as i64).saturating_add(offset_ns);
                        let flow = self.enrich(decoded, time_ns, &snapshot, &devices);
                        events.extend(flow.map(|mut flow| {
                            flow.uuid = uuids.next();
                            Event::Flow(flow)
                        }));
                    }
                }
            }
            put_in_order(&mut events, &mut newest_ns);
            let flows = || {
                events.iter().filter_map(|event| match event {
                    Event::Flow(flow) => Some(flow),
                    Event::Lost(_) => None,
                })
            };
            self.counters.published(flows().count() as u64);
            self.namespaces.see(flows());
            self.ring.publish(events);
        }
        Ok(())
    }

    /// Adds to a record what the host and the snapshot know. `None` for what is no flow of this
    /// node.
    fn enrich(
        &mut self,
        decoded: Decoded,
        time_ns: i64,
        snapshot: &Snapshot,
        devices: &LocalDevices,
    ) -> Option<FlowRecord> {
        let (source, destination) = match decoded.packet.ip {
            Some(ip) => (
                Arc::clone(snapshot.endpoint(ip.source)),
                Arc::clone(snapshot.endpoint(ip.destination)),
            ),
            None => (
                Arc::clone(snapshot.unknown()),
                Arc::clone(snapshot.unknown()),
            ),
        };
        let (observation, direction, interface, socket_cookie) = match decoded.detail {
            Detail::Trace {
                point,
                reason,
                socket_cookie,
            } => {
                let index = decoded.header.ifindex;
                let name = devices.names.get(&index).cloned().unwrap_or_default();
                let interface = Some(Interface { index, name });
                let direction = trace_direction(point, reason);
                (
                    Observation::Trace { point, reason },
                    direction,
                    interface,
                    socket_cookie,
                )
            }
            Detail::Drop(detail) => {
                let Some(namespace) = self.source.namespace(detail.netns_cookie) else {
                    self.counters.other_node();
                    return None;
                };
                let reason = self.names.drop_reason(detail.reason);
                if is_copy(&reason, decoded.packet.transport) {
                    self.counters.not_a_drop();
                    return None;
                }
                let ends = decoded.packet.ip.map(|ip| (ip.source, ip.destination));
                let direction = drop_direction(ends, &namespace, &source, &destination);
                let DropDetail { location, .. } = detail;
                let function = self.names.function(location);
                let code = drop_code(&reason);
                (
                    Observation::Drop {
                        code,
                        reason,
                        function,
                    },
                    direction,
                    None,
                    0,
                )
            }
        };
        Some(FlowRecord {
            time_ns,
            uuid: 0,
            observation,
            packet: decoded.packet,
            source,
            destination,
            direction,
            interface,
            socket_cookie,
        })
    }
}

/// What a poll found, before enrichment.
enum Found {
    Record(Decoded),
    Lost { cpu: u32, count: u64 },
}

/// As seen from the pod at whose device the packet was: a packet that comes from it goes out,
/// unless it answers one that came in. Network devices belong to no pod.
fn trace_direction(point: TracePoint, reason: TraceReason) -> TrafficDirection {
    let outward = match point {
        TracePoint::FromEndpoint => true,
        TracePoint::ToEndpoint => false,
        TracePoint::FromNetwork | TracePoint::ToNetwork => return TrafficDirection::Unknown,
    };
    match reason {
        TraceReason::Unknown => TrafficDirection::Unknown,
        _ if outward != (reason == TraceReason::Reply) => TrafficDirection::Egress,
        _ => TrafficDirection::Ingress,
    }
}

/// A packet dropped in the namespace that holds its source goes out, one dropped where its
/// destination is comes in. In between, on the node, the local pod decides: its own first.
fn drop_direction(
    ends: Option<(IpAddr, IpAddr)>,
    namespace: &Namespace,
    source: &Endpoint,
    destination: &Endpoint,
) -> TrafficDirection {
    let Some((from, to)) = ends else {
        return TrafficDirection::Unknown;
    };
    if namespace.addresses.contains(&from) {
        TrafficDirection::Egress
    } else if namespace.addresses.contains(&to) {
        TrafficDirection::Ingress
    } else if source.id != 0 {
        TrafficDirection::Egress
    } else if destination.id != 0 {
        TrafficDirection::Ingress
    } else {
        TrafficDirection::Unknown
    }
}

/// The kernel hands an echo reply to raw sockets as copies and then finds no ping socket for the
/// original: the packet was received, not dropped.
fn is_copy(reason: &str, transport: Option<Transport>) -> bool {
    reason == "NO_SOCKET"
        && matches!(
            transport,
            Some(Transport::Icmpv4 { kind: 0, .. } | Transport::Icmpv6 { kind: 129, .. })
        )
}

/// Sorts a batch by time, and lifts what would fall before the batch published before: readers
/// and relays rely on times that never go back. CPUs overtake each other by microseconds.
fn put_in_order(events: &mut [Event], newest_ns: &mut i64) {
    events.sort_by_key(Event::time_ns);
    for event in events {
        let time_ns = match event {
            Event::Flow(flow) => &mut flow.time_ns,
            Event::Lost(lost) => &mut lost.time_ns,
        };
        if *time_ns < *newest_ns && *newest_ns - *time_ns < CLOCK_STEP_NS {
            *time_ns = *newest_ns;
        }
        *newest_ns = *time_ns;
    }
}

/// Wall clock, nanoseconds since 1970.
pub(crate) fn now_ns() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(time_ns: i64) -> Event {
        Event::Lost(Lost {
            time_ns,
            count: 1,
            cpu: 0,
        })
    }

    fn times(events: &[Event]) -> Vec<i64> {
        events.iter().map(Event::time_ns).collect()
    }

    #[test]
    fn times_never_go_back_within_and_across_batches() {
        let mut newest_ns = 0;
        let mut first = [lost(30), lost(10), lost(20)];
        put_in_order(&mut first, &mut newest_ns);
        assert_eq!(times(&first), [10, 20, 30]);
        let mut second = [lost(40), lost(25)];
        put_in_order(&mut second, &mut newest_ns);
        assert_eq!(times(&second), [30, 40]);
    }

    #[test]
    fn a_wall_clock_that_was_set_back_is_believed() {
        let mut newest_ns = 10 * CLOCK_STEP_NS;
        let mut batch = [lost(CLOCK_STEP_NS)];
        put_in_order(&mut batch, &mut newest_ns);
        assert_eq!(times(&batch), [CLOCK_STEP_NS]);
    }

    #[test]
    fn direction_is_that_of_whoever_opened_the_connection_seen_from_the_pod() {
        use TracePoint::{FromEndpoint, ToEndpoint, ToNetwork};
        use TraceReason::{Established, New, Reply, Unknown};
        let cases = [
            (FromEndpoint, New, TrafficDirection::Egress),
            (FromEndpoint, Reply, TrafficDirection::Ingress),
            (ToEndpoint, Established, TrafficDirection::Ingress),
            (ToEndpoint, Reply, TrafficDirection::Egress),
            (ToEndpoint, Unknown, TrafficDirection::Unknown),
            (ToNetwork, New, TrafficDirection::Unknown),
        ];
        for (point, reason, expected) in cases {
            assert_eq!(
                trace_direction(point, reason),
                expected,
                "{point:?} {reason:?}"
            );
        }
    }

    #[test]
    fn a_drop_goes_out_where_its_source_is_and_comes_in_where_its_destination_is() {
        let ends = Some((IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])));
        let namespace = |last: u8| Namespace {
            addresses: vec![IpAddr::from([10, 0, 0, last])],
            is_own: false,
        };
        let (local, remote) = (
            Endpoint {
                id: 7,
                ..Endpoint::default()
            },
            Endpoint::default(),
        );
        let direction =
            |at, source, destination| drop_direction(ends, &namespace(at), source, destination);
        assert_eq!(direction(1, &remote, &remote), TrafficDirection::Egress);
        assert_eq!(direction(2, &local, &remote), TrafficDirection::Ingress);
        assert_eq!(direction(9, &local, &remote), TrafficDirection::Egress);
        assert_eq!(direction(9, &remote, &local), TrafficDirection::Ingress);
        assert_eq!(direction(9, &remote, &remote), TrafficDirection::Unknown);
    }
}
