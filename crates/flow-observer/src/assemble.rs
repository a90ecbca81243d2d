//! From raw events to events of the stream.
//!
//! In: what a source hands out. Out: a batch of events, each flow with what was known of its ends
//! when it happened. Nothing waits here; what cannot be read is counted by reason and skipped.

mod ahead;
mod application;
mod cilium;
mod hooks;
mod places;
mod services;

use std::{
    iter,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ahead::Ahead;
use application::Payload;
use arc_swap::ArcSwap;
use cilium::Cilium;
use flow_api::{flow::TrafficDirection, observer::GetFlowsResponse};
use places::{DropKey, Places};
use probe_events::{DropDetail, EventHeader};
use services::SocketTranslations;

use crate::{
    counters::Counters,
    decode::{self, Detail, Dissected, Fragments, PacketError, payload},
    encode::nanoseconds,
    enrich::{Directory, HostUnits, NameTable, Snapshot},
    exchange::{self, Exchanges},
    record::{Counts, FlowRecord, Observation, PacketHeaders, Party, Traffic},
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
    beginnings: payload::Beginnings,
    names: NameTable,
    tcp_troubles: TcpTroubles,
    cilium: Cilium,
    exchanges: Exchanges,
    units: HostUnits,
    sockets: SocketTranslations,
    places: Places,
    /// Nothing waits there between batches, but the memory is kept.
    ahead: Ahead,
    /// The source had nothing when it was looked at last.
    found_nothing: bool,
}

/// Who is who while a batch is put together: all its events see the same.
struct Surroundings {
    snapshot: Arc<Snapshot>,
    /// Somebody knows processes; else nobody is asked.
    has_processes: bool,
    /// Somebody knows translated connections.
    has_translations: bool,
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
        let exchanges = Exchanges::new(
            exchange::Options::default(),
            Arc::clone(&directory),
            Arc::clone(&counters),
        );
        Self {
            exchanges,
            facts,
            directory,
            devices,
            beginnings: payload::Beginnings::new(Arc::clone(&counters)),
            names: NameTable::new(Arc::clone(&counters)),
            counters,
            fragments: Fragments::default(),
            uuids: Uuids::new(),
            scratch: payload::Scratch::default(),
            tcp_troubles: TcpTroubles::default(),
            cilium: Cilium::default(),
            units: HostUnits::default(),
            sockets: SocketTranslations::default(),
            places: Places::default(),
            ahead: Ahead::default(),
            found_nothing: false,
        }
    }

    /// Makes flows of other requests and responses than by default, or shows other things of them.
    #[must_use]
    pub fn with_exchanges(mut self, options: exchange::Options) -> Self {
        self.exchanges = Exchanges::new(
            options,
            Arc::clone(&self.directory),
            Arc::clone(&self.counters),
        );
        self
    }

    /// Waits up to `patience` for events of the source and puts at most `limit` of them, in the
    /// source's order, in the place of what `events` holds.
    ///
    /// # Errors
    /// When the source breaks. `events` has what came before.
    pub fn collect(
        &mut self,
        source: &mut dyn Source,
        patience: Duration,
        limit: usize,
        events: &mut Vec<Event>,
    ) -> Result<Progress, SourceError> {
        events.clear();
        let offset_ns = source.wall_clock_offset_ns();
        self.facts.refresh();
        let mut surroundings = None;
        let mut ahead = std::mem::take(&mut self.ahead);
        let mut read = 0;
        let progress = source.poll(patience, limit, &mut |raw| {
            read += 1;
            // Not before the first event, which may have been a long time coming.
            let surroundings = surroundings.get_or_insert_with(|| self.look_around(offset_ns));
            self.take(raw, &mut ahead, surroundings, events);
        });
        if let Some(surroundings) = &surroundings {
            self.catch_up(&mut ahead, surroundings, events);
        }
        self.ahead = ahead;
        self.counters.read(read);
        self.found_nothing = read == 0;
        let settled = progress
            .as_ref()
            .map_or(Progress::Ended, |&progress| progress);
        self.exchanges.settle(settled, events);
        progress
    }

    /// Whether the source had nothing when [`collect`](Self::collect) last looked at it, so that all that
    /// happened before is collected.
    pub(crate) fn found_nothing(&self) -> bool {
        self.found_nothing
    }

    #[cfg(test)]
    pub(crate) fn exchanges(&self) -> &Exchanges {
        &self.exchanges
    }

    fn look_around(&mut self, offset_ns: i64) -> Surroundings {
        let devices = self.devices.load_full();
        self.directory.set_own_addresses(&devices.addresses);
        self.counters
            .set_identity_collisions(self.directory.identity_collisions());
        self.places.set_devices(devices);
        Surroundings {
            snapshot: self.directory.snapshot(),
            has_processes: self.facts.has_processes(),
            has_translations: self.facts.has_translations(),
            offset_ns,
            now_ns: now_ns(),
        }
    }

    /// A record of our own probes.
    fn record(&mut self, bytes: &[u8], around: &Surroundings, events: &mut Vec<Event>) {
        let mut packet = Dissected::default();
        let decoded = decode::decode_into(bytes, &mut packet);
        // Looked at where it is, not moved.
        let (header, detail) = match &decoded {
            Ok((header, detail)) => (header, detail),
            Err(error) => return self.counters.undecodable(error.reason()),
        };
        let Some(flow) = self.probe_flow(header, detail, &packet, around, events) else {
            return;
        };
        self.add_hooks(flow, around);
        self.add_translation(flow, around);
        let is_whole = u32::from(header.captured_len) >= header.packet_len;
        let payload = Payload::of(bytes, is_whole, &packet);
        self.hear(events.len() - 1, payload, events);
    }

    fn event(&mut self, raw: RawEvent<'_>, surroundings: &Surroundings, events: &mut Vec<Event>) {
        let event = match raw {
            RawEvent::Record(bytes) => return self.record(bytes, surroundings, events),
            RawEvent::Hook(bytes) => return self.hook(bytes, surroundings, events),
            RawEvent::Cilium { cpu, bytes } => {
                return self.cilium_event(cpu, bytes, surroundings, events);
            }
            RawEvent::Packet(packet) => return self.captured_flow(packet, surroundings, events),
            RawEvent::Response(response) => Some(Event::Recorded(replayed(response))),
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

    /// The flow of a record of our own probes. `None` for what is no flow of this node.
    fn probe_flow<'events>(
        &mut self,
        header: &EventHeader,
        detail: &Detail,
        packet: &Dissected,
        around: &Surroundings,
        events: &'events mut Vec<Event>,
    ) -> Option<&'events mut FlowRecord> {
        self.note(packet.fault);
        let time_ns = (header.time_ns as i64).saturating_add(around.offset_ns);
        let headers = &packet.headers;
        match detail {
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
                let interface = self.places.device(header.ifindex);
                let tunnel = self.places.tunnel(packet.tunnel.as_ref());
                let parties = around.parties(headers);
                let flow = self.begin(events, time_ns, observation, headers, parties)?;
                flow.direction = rules::probe_direction(point, reason);
                flow.interface = Some(interface);
                flow.tunnel = tunnel;
                flow.socket_cookie = detail.socket_cookie;
                flow.counts.forward = Traffic {
                    packets: detail.packets,
                    bytes: detail.bytes,
                };
                flow.counts.backward = Traffic {
                    packets: detail.other_packets,
                    bytes: detail.other_bytes,
                };
                Some(flow)
            }
            Detail::Expired(detail) => {
                let Some(closing) = decode::closing(detail) else {
                    return self.undecodable("closing_without_point");
                };
                let observation = Observation::Closing {
                    point: closing.point,
                    reason: closing.reason,
                };
                let interface = self.places.device_unless_zero(header.ifindex);
                let parties = around.parties(&closing.packet);
                let flow = self.begin(events, time_ns, observation, &closing.packet, parties)?;
                flow.direction = rules::probe_direction(closing.point, closing.reason);
                flow.interface = interface;
                flow.counts.forward = closing.forward;
                flow.counts.backward = closing.backward;
                Some(flow)
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
                let key = DropKey {
                    reason,
                    location,
                    netns_inode,
                };
                let facts = &mut self.facts;
                let drop = self.places.drop(key, || {
                    (facts.drop_reason(reason), facts.function(location))
                });
                if rules::is_received_copy(&drop.reason, headers.transport) {
                    self.counters.received_copy();
                    return None;
                }
                let observation = Observation::KernelDrop(drop);
                let tunnel = self.places.tunnel(packet.tunnel.as_ref());
                let parties = around.parties(headers);
                let flow = self.begin(events, time_ns, observation, headers, parties)?;
                flow.direction = rules::kernel_drop_direction(
                    headers.ip.map(|ip| (ip.source, ip.destination)),
                    &namespace,
                    &flow.source.endpoint,
                    &flow.destination.endpoint,
                );
                flow.tunnel = tunnel;
                flow.socket_cookie = socket_cookie;
                Some(flow)
            }
        }
    }

    /// The flow of a packet of a capture file. `None` for what is no IP.
    fn captured_flow(
        &mut self,
        captured: CapturedPacket<'_>,
        around: &Surroundings,
        events: &mut Vec<Event>,
    ) {
        let cut = captured.original_len as usize > captured.bytes.len();
        let mut dissected = decode::dissect(captured.bytes, cut, captured.start);
        self.note(dissected.fault);
        if dissected.network.is_none() {
            return self.counters.note("skipped", "not_ip");
        }
        let headers = &mut dissected.headers;
        self.fragments.complete(headers, captured.time_ns);
        let parties = around.parties(headers);
        let observation = Observation::Captured;
        let tunnel = self.places.tunnel(dissected.tunnel.as_ref());
        let interface = captured
            .interface
            .map(|(index, name)| self.places.captured_device(index, name));
        let Some(flow) = self.begin(events, captured.time_ns, observation, headers, parties) else {
            return;
        };
        flow.tunnel = tunnel;
        flow.interface = interface;
        self.add_translation(flow, around);
        let payload = Payload {
            is_followed: true,
            ..Payload::of(captured.bytes, !cut, &dissected)
        };
        self.hear(events.len() - 1, payload, events);
    }

    /// Counts a packet whose own bytes do not add up.
    fn note(&self, fault: Option<PacketError>) {
        if let Some(fault) = fault {
            self.counters.note("malformed", fault.reason());
        }
    }

    /// Puts a flow at the end of the batch, with what every source can tell and nothing else. It is
    /// large, so it is made where it stays, once there is room: `push` would make it before, and then
    /// move it. What else there is to tell is added to it there. Always there, though the type cannot
    /// say so.
    #[inline(always)]
    fn begin<'events>(
        &mut self,
        events: &'events mut Vec<Event>,
        time_ns: i64,
        observation: Observation,
        headers: &PacketHeaders,
        (source, destination): (Party, Party),
    ) -> Option<&'events mut FlowRecord> {
        let uuid = self.uuids.next();
        events.extend(iter::once_with(|| {
            Event::Flow(FlowRecord {
                time_ns,
                uuid,
                observation,
                packet: *headers,
                tunnel: None,
                source,
                destination,
                direction: TrafficDirection::Unknown,
                interface: None,
                socket_cookie: 0,
                counts: Counts::default(),
                process: None,
                translation: None,
                rare: None,
            })
        }));
        match events.last_mut() {
            Some(Event::Flow(flow)) => Some(flow),
            _ => None,
        }
    }
}

impl Surroundings {
    /// Who is behind a packet's addresses, what those are always called, and which services they are.
    #[inline]
    fn parties(&self, packet: &PacketHeaders) -> (Party, Party) {
        let Some(ip) = packet.ip else {
            let unknown = || Party::of(self.snapshot.unknown());
            return (unknown(), unknown());
        };
        let source = self.snapshot.look_up(ip.source);
        let destination = self.snapshot.look_up(ip.destination);
        let mut parties = (source.party(), destination.party());
        services::add(&self.snapshot, packet, (source, destination), &mut parties);
        parties
    }
}

/// What was recorded keeps its time; what has none gets that of reading.
fn replayed(response: Box<GetFlowsResponse>) -> Message<GetFlowsResponse> {
    let time_ns = response.time.map_or_else(now_ns, nanoseconds);
    Message {
        time_ns,
        message: response,
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
