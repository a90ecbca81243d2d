//! From raw events to events of the stream.
//!
//! In: what a source hands out. Out: a batch of events, each flow with what was known of its ends
//! when it happened. Nothing waits here; what cannot be read is counted by reason and skipped.

mod application;
mod cilium;
mod hooks;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use application::Payload;
use arc_swap::ArcSwap;
use cilium::Cilium;
use flow_api::flow::{Flow, TrafficDirection};
use probe_events::DropDetail;

use crate::{
    counters::Counters,
    decode::{self, Decoded, Detail, Fragments, PacketError, drop_code, payload},
    enrich::{Directory, Snapshot},
    record::{
        Counts, Dropped, DroppedBy, FlowRecord, Interface, Observation, PacketHeaders, Party,
        Traffic,
    },
    ring::{Event, Lost, Message},
    rules,
    source::{CapturedPacket, HostFacts, LocalDevices, Progress, RawEvent, Source, SourceError},
    tcp_troubles::TcpTroubles,
    uuid::Uuids,
};

/// Makes events of what sources hand out.
pub struct Assembler {
    facts: Box<dyn HostFacts>,
    directory: Arc<Directory>,
    devices: Arc<ArcSwap<LocalDevices>>,
    counters: Arc<Counters>,
    /// Ports for the fragments in capture files.
    fragments: Fragments,
    uuids: Uuids,
    scratch: payload::Scratch,
    tcp_troubles: TcpTroubles,
    cilium: Cilium,
    /// Size of the batch before.
    collected: usize,
}

/// Who is who while a batch is put together: all its events see the same.
struct Surroundings {
    snapshot: Arc<Snapshot>,
    devices: Arc<LocalDevices>,
    /// What to add to the source's times.
    offset_ns: i64,
    /// The time of events that have none.
    now_ns: i64,
}

impl Assembler {
    /// Starts with nothing seen.
    #[must_use]
    pub fn new(
        facts: Box<dyn HostFacts>,
        directory: Arc<Directory>,
        devices: Arc<ArcSwap<LocalDevices>>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            facts,
            directory,
            devices,
            counters,
            fragments: Fragments::default(),
            uuids: Uuids::new(),
            scratch: payload::Scratch::default(),
            tcp_troubles: TcpTroubles::default(),
            cilium: Cilium::default(),
            collected: 0,
        }
    }

    /// Waits up to `patience` for events of the source and takes at most `limit` of them, in the
    /// source's order.
    ///
    /// # Errors
    /// When the source breaks.
    pub fn collect(
        &mut self,
        source: &mut dyn Source,
        patience: Duration,
        limit: usize,
    ) -> Result<(Vec<Event>, Progress), SourceError> {
        let offset_ns = source.wall_clock_offset_ns();
        let mut surroundings = None;
        // Growing from nothing would copy each event several times. Batches follow each other in
        // size: full ones when there is much to read, small ones when there is not.
        let mut events = Vec::with_capacity(self.collected.next_power_of_two().min(limit));
        let progress = source.poll(patience, limit, &mut |raw| {
            // Not before the first event, which may have been a long time coming.
            let surroundings = surroundings.get_or_insert_with(|| self.look_around(offset_ns));
            self.event(raw, surroundings, &mut events);
        })?;
        self.collected = events.len();
        Ok((events, progress))
    }

    fn look_around(&mut self, offset_ns: i64) -> Surroundings {
        let devices = self.devices.load_full();
        self.directory.set_own_addresses(&devices.addresses);
        Surroundings {
            snapshot: self.directory.snapshot(),
            devices,
            offset_ns,
            now_ns: now_ns(),
        }
    }

    /// A record of our own probes, of which there are most: what is made of it is completed where
    /// it stays, since it is large.
    fn record(&mut self, bytes: &[u8], around: &Surroundings, events: &mut Vec<Event>) {
        let decoded = match decode::decode(bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                self.counters.undecodable(error.reason());
                return;
            }
        };
        let Some(flow) = self.probe_flow(&decoded, around) else {
            return;
        };
        events.push(Event::Flow(flow));
        let Some(Event::Flow(flow)) = events.last_mut() else {
            return;
        };
        self.add_hooks(flow);
        let payload = Payload::of(bytes, &decoded.packet);
        self.hear(events.len() - 1, payload, around, events);
    }

    fn event(&mut self, raw: RawEvent<'_>, surroundings: &Surroundings, events: &mut Vec<Event>) {
        let event = match raw {
            RawEvent::Record(bytes) => return self.record(bytes, surroundings, events),
            RawEvent::Hook(bytes) => self.hook(bytes, surroundings),
            RawEvent::Cilium { cpu, bytes } => {
                return self.cilium_event(cpu, bytes, surroundings, events);
            }
            RawEvent::Packet(packet) => return self.captured_flow(packet, surroundings, events),
            RawEvent::Flow(flow) => Some(Event::Message(replayed(flow))),
            RawEvent::Lost { cpu, count } => {
                self.counters.lost(cpu, count);
                Some(Event::Lost(Lost {
                    time_ns: now_ns(),
                    count,
                    cpu,
                }))
            }
            RawEvent::Skipped(reason) => self.undecodable(reason),
        };
        events.extend(event);
    }

    fn undecodable<T>(&self, reason: &'static str) -> Option<T> {
        self.counters.undecodable(reason);
        None
    }

    /// A record of our own probes. `None` for what is no flow of this node.
    fn probe_flow(&mut self, decoded: &Decoded, around: &Surroundings) -> Option<FlowRecord> {
        self.note(decoded.packet.fault);
        let time_ns = (decoded.header.time_ns as i64).saturating_add(around.offset_ns);
        let (source, destination) = around.parties(&decoded.packet.headers);
        match &decoded.detail {
            &Detail::Trace {
                point,
                reason,
                ref detail,
            } => {
                let observation = Observation::Trace {
                    point,
                    reason,
                    encrypted: false,
                };
                Some(FlowRecord {
                    direction: rules::probe_direction(point, reason),
                    interface: Some(around.interface(decoded.header.ifindex)),
                    socket_cookie: detail.socket_cookie,
                    counts: Counts {
                        forward: Traffic {
                            packets: detail.packets,
                            bytes: detail.bytes,
                        },
                        backward: Traffic {
                            packets: detail.other_packets,
                            bytes: detail.other_bytes,
                        },
                        ..Counts::default()
                    },
                    ..self.flow(
                        time_ns,
                        observation,
                        decoded.packet.headers,
                        source,
                        destination,
                    )
                })
            }
            Detail::Expired(detail) => {
                let Some(closing) = decode::closing(detail) else {
                    return self.undecodable("closing_without_point");
                };
                let (source, destination) = around.parties(&closing.packet);
                let observation = Observation::Closing {
                    point: closing.point,
                    reason: closing.reason,
                };
                Some(FlowRecord {
                    direction: rules::probe_direction(closing.point, closing.reason),
                    interface: match decoded.header.ifindex {
                        0 => None,
                        index => Some(around.interface(index)),
                    },
                    counts: Counts {
                        forward: closing.forward,
                        backward: closing.backward,
                        ..Counts::default()
                    },
                    ..self.flow(time_ns, observation, closing.packet, source, destination)
                })
            }
            &Detail::Drop(DropDetail {
                reason,
                netns_inode,
                netns_cookie,
                location,
                socket_cookie,
                ..
            }) => {
                let Some(namespace) = self.facts.namespace(netns_cookie) else {
                    self.counters.other_node();
                    return None;
                };
                let reason = self.facts.drop_reason(reason);
                if rules::is_received_copy(&reason, decoded.packet.headers.transport) {
                    self.counters.received_copy();
                    return None;
                }
                let ends = decoded
                    .packet
                    .headers
                    .ip
                    .map(|ip| (ip.source, ip.destination));
                let direction = rules::kernel_drop_direction(
                    ends,
                    &namespace,
                    &source.endpoint,
                    &destination.endpoint,
                );
                let observation = Observation::Drop(Dropped {
                    code: drop_code(&reason),
                    by: DroppedBy::Kernel {
                        reason,
                        function: self.facts.function(location),
                        netns_inode,
                    },
                });
                Some(FlowRecord {
                    direction,
                    socket_cookie,
                    ..self.flow(
                        time_ns,
                        observation,
                        decoded.packet.headers,
                        source,
                        destination,
                    )
                })
            }
        }
    }

    /// A packet of a capture file.
    fn captured_flow(
        &mut self,
        captured: CapturedPacket<'_>,
        around: &Surroundings,
        events: &mut Vec<Event>,
    ) {
        let cut = captured.original_len as usize > captured.bytes.len();
        let dissected = decode::dissect(captured.bytes, cut, captured.start);
        self.note(dissected.fault);
        if dissected.network.is_none() {
            return self.counters.note("skipped", "not_ip");
        }
        let mut packet = dissected.headers;
        self.fragments.complete(&mut packet, captured.time_ns);
        let (source, destination) = around.parties(&packet);
        let interface = captured.interface.map(|(index, name)| Interface {
            index,
            name: Arc::clone(name),
        });
        events.push(Event::Flow(FlowRecord {
            interface,
            ..self.flow(
                captured.time_ns,
                Observation::Captured,
                packet,
                source,
                destination,
            )
        }));
        let payload = Payload::of(captured.bytes, &dissected);
        self.hear(events.len() - 1, payload, around, events);
    }

    /// Counts a packet whose own bytes do not add up.
    fn note(&self, fault: Option<PacketError>) {
        if let Some(fault) = fault {
            self.counters.note("malformed", fault.reason());
        }
    }

    /// A flow with what every source can tell, and nothing else. Inlined, as a flow is moved at some
    /// expense.
    #[inline(always)]
    fn flow(
        &mut self,
        time_ns: i64,
        observation: Observation,
        packet: PacketHeaders,
        source: Party,
        destination: Party,
    ) -> FlowRecord {
        FlowRecord {
            time_ns,
            uuid: self.uuids.next(),
            observation,
            packet,
            source,
            destination,
            direction: TrafficDirection::Unknown,
            interface: None,
            socket_cookie: 0,
            counts: Counts::default(),
            process: None,
            rare: None,
        }
    }
}

impl Surroundings {
    /// Who is behind a packet's addresses.
    fn parties(&self, packet: &PacketHeaders) -> (Party, Party) {
        match packet.ip {
            Some(ip) => (
                Party::of(self.snapshot.endpoint(ip.source)),
                Party::of(self.snapshot.endpoint(ip.destination)),
            ),
            None => (
                Party::of(self.snapshot.unknown()),
                Party::of(self.snapshot.unknown()),
            ),
        }
    }

    fn interface(&self, index: u32) -> Interface {
        let name = self.devices.names.get(&index).cloned().unwrap_or_default();
        Interface { index, name }
    }
}

/// A flow that is a message already keeps its time; one without gets that of reading.
fn replayed(flow: Box<Flow>) -> Message<Flow> {
    let time_ns = flow.time.map_or_else(now_ns, |time| {
        time.seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::from(time.nanos))
    });
    Message {
        time_ns,
        message: flow,
    }
}

/// Wall clock, nanoseconds since 1970.
pub(crate) fn now_ns() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
        })
}
