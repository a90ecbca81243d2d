//! What occurs in a group of events, so that a reader who looks for something else skips the group.
//!
//! In: the events of the ring, 64 at a time. Out: sets of their ports, addresses, identities, verdicts
//! and types that may claim too much and never too little ([`Outlines`]), and what a filter needs of
//! such a set ([`Sought`]). With a thousand followers of fifty thousand flows a second, each of which
//! wants a few, nearly all of what would be fifty million evaluations a second is one look at a group.
//!
//! ```text
//! group of 64 events ──▶ set of 2048 bits: one bit for each fact ──▶ is a bit of each condition there?
//! ```
//!
//! A group's set is made when several readers have gone through it, and grows with the group.

use std::{
    net::IpAddr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use flow_api::flow::FlowFilter;
use flow_filter::{EndpointView as _, FlowView, IpView, Side};

use crate::{
    encode::{GROUP, NodeFacts},
    ring::{Event, Slot},
    view::RecordView,
};

/// Bits of a set: a group of flows that have nothing in common has about 450 facts, so that a fact
/// that is not among them is taken for one in five at worst. It costs 4 bytes a flow.
const BITS: u64 = 2048;
const WORDS: usize = (BITS / u64::BITS as u64) as usize;

/// A condition with more values than this would be found nearly everywhere, and cost more to look for.
const MAX_VALUES: usize = 16;
/// The same for the messages of an allow list.
const MAX_RULES: usize = 16;

/// The position of a fact's bit.
#[derive(Clone, Copy, Debug)]
struct Bit(u16);

impl Bit {
    /// The bit of a value in a field.
    fn of(field: Field, value: u64) -> Self {
        /// The golden ratio: spreads values that lie close together.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = (value ^ ((field as u64) << 56)).wrapping_mul(SPREAD);
        Self(((mixed ^ (mixed >> 32)).wrapping_mul(SPREAD) >> (u64::BITS - BITS.ilog2())) as u16)
    }

    fn of_ip(field: Field, ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::of(field, ip.to_bits().into()),
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                Self::of(field, (bits >> 64) as u64 ^ (bits as u64).rotate_left(23))
            }
        }
    }

    fn word(self) -> usize {
        usize::from(self.0) / u64::BITS as usize
    }

    fn mask(self) -> u64 {
        1 << (u32::from(self.0) % u64::BITS)
    }
}

/// The fields of which a set knows the values.
#[derive(Clone, Copy, Debug)]
enum Field {
    Verdict = 1,
    EventType,
    SourcePort,
    DestinationPort,
    SourceIp,
    DestinationIp,
    SourceIdentity,
    DestinationIdentity,
}

/// How often the groups of a segment are gone through before their sets are made, which takes as
/// long as going through them two or three times.
const LOOKS: usize = 4;

/// The sets of the groups of a segment.
#[derive(Debug)]
pub(crate) struct Outlines {
    capacity: usize,
    /// How often somebody wanted to skip a group while there were no sets.
    asked: AtomicUsize,
    /// Made when it is worth it.
    groups: OnceLock<Box<[Outline]>>,
}

#[derive(Debug, Default)]
struct Outline {
    /// How many events of the group are in the set.
    covered: AtomicUsize,
    /// One of them is told to everybody, or has an address that is none.
    is_open: AtomicBool,
    set: [AtomicU64; WORDS],
}

impl Outlines {
    /// For so many events at most.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            asked: AtomicUsize::new(0),
            groups: OnceLock::new(),
        }
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> u64 {
        let groups = self.groups.get().map_or(0, |groups| groups.len());
        (groups * size_of::<Outline>()) as u64
    }

    /// Whether there may be something of what is sought in a group. `slots` are those of its events
    /// that the reader sees, from the group's first one on.
    pub(crate) fn may_have(
        &self,
        group: usize,
        slots: &[Slot],
        sought: &Sought,
        node: &NodeFacts,
    ) -> bool {
        let groups = || self.capacity.div_ceil(GROUP);
        if self.groups.get().is_none()
            && self.asked.fetch_add(1, Ordering::Relaxed) < LOOKS * groups()
        {
            return true;
        }
        let groups = self
            .groups
            .get_or_init(|| (0..groups()).map(|_| Outline::default()).collect());
        groups.get(group).is_none_or(|group| {
            group.cover(slots, node);
            sought.may_be_in(group)
        })
    }
}

impl Outline {
    /// Adds what is not in the set yet. Several readers may do the same at the same time: bits are
    /// only ever added, and nobody counts an event as covered before its bits are there.
    fn cover(&self, slots: &[Slot], node: &NodeFacts) {
        // Acquires the bits of all that is covered.
        let covered = self.covered.load(Ordering::Acquire);
        let Some(new @ [_, ..]) = slots.get(covered..) else {
            return;
        };
        for slot in new {
            self.add(&slot.event, node);
        }
        self.covered.fetch_max(slots.len(), Ordering::AcqRel);
    }

    fn add(&self, event: &Event, node: &NodeFacts) {
        match event {
            Event::Flow(flow) => self.add_flow(&RecordView::new(flow, node)),
            Event::Message(flow) => self.add_flow(&*flow.message),
            Event::Recorded(response) => match response.flow() {
                Some(flow) => self.add_flow(flow),
                None => self.open(),
            },
            Event::Lost(_) => self.open(),
            // These are for no reader of flows.
            Event::Agent(_) | Event::Debug(_) => {}
        }
    }

    fn add_flow(&self, flow: &impl FlowView) {
        // As an enum's number: its sign does not matter.
        self.insert(Bit::of(Field::Verdict, flow.verdict() as u64));
        if let Some(of) = flow.event_type() {
            self.insert(Bit::of(Field::EventType, of.message as u64));
        }
        for (side, port, ip, identity) in SIDES {
            if let Some(number) = flow.port(side) {
                self.insert(Bit::of(port, number.into()));
            }
            match flow.ip(side) {
                Some(IpView::Address(address)) => self.insert(Bit::of_ip(ip, address)),
                Some(IpView::Text("")) | None => {}
                // Filters compare texts, and those of one address have one bit.
                Some(IpView::Text(text)) => match text.parse() {
                    Ok(address) => self.insert(Bit::of_ip(ip, address)),
                    Err(_) => self.open(),
                },
            }
            if let Some(endpoint) = flow.endpoint(side) {
                self.insert(Bit::of(identity, endpoint.identity().into()));
            }
        }
    }

    fn open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    fn insert(&self, bit: Bit) {
        let Some(word) = self.set.get(bit.word()) else {
            return;
        };
        // Most facts are there already: the flows of a moment have much in common.
        if word.load(Ordering::Relaxed) & bit.mask() == 0 {
            word.fetch_or(bit.mask(), Ordering::Relaxed);
        }
    }

    fn has(&self, bit: Bit) -> bool {
        self.set
            .get(bit.word())
            .is_none_or(|word| word.load(Ordering::Relaxed) & bit.mask() != 0)
    }
}

const SIDES: [(Side, Field, Field, Field); 2] = [
    (
        Side::Source,
        Field::SourcePort,
        Field::SourceIp,
        Field::SourceIdentity,
    ),
    (
        Side::Destination,
        Field::DestinationPort,
        Field::DestinationIp,
        Field::DestinationIdentity,
    ),
];

/// What a group needs to have so that a filter may match one of its flows.
#[derive(Debug)]
pub(crate) struct Sought {
    /// One for each message of the allow list, one of which must be met.
    rules: Vec<Vec<Condition>>,
}

/// Bits of which one must be there.
type Condition = Vec<Bit>;

impl Sought {
    /// What an allow list needs; `None` if a group's set does not tell. What a deny list takes away
    /// does not matter: a group that is looked at in vain costs only time.
    pub(crate) fn of(allow: &[FlowFilter]) -> Option<Self> {
        if allow.is_empty() || allow.len() > MAX_RULES {
            return None;
        }
        let rules: Vec<_> = allow.iter().map(conditions).collect();
        // A message without a condition that can be looked up may match anywhere.
        rules
            .iter()
            .all(|conditions| !conditions.is_empty())
            .then_some(Self { rules })
    }

    fn may_be_in(&self, group: &Outline) -> bool {
        let is_met = |condition: &Condition| condition.iter().any(|&bit| group.has(bit));
        group.is_open.load(Ordering::Relaxed)
            || self.rules.iter().any(|rule| rule.iter().all(is_met))
    }
}

/// The conditions of a message that can be looked up.
fn conditions(filter: &FlowFilter) -> Vec<Condition> {
    let numbers = |field, numbers: &[i32]| bits(numbers, |&it| Some(Bit::of(field, it as u64)));
    let identities = |field, numbers: &[u32]| bits(numbers, |&it| Some(Bit::of(field, it.into())));
    // What cannot be read here is left to the filter.
    let ports = |field, ports: &[String]| {
        bits(ports, |port| {
            Some(Bit::of(field, port.parse::<u16>().ok()?.into()))
        })
    };
    let ips = |field, ips: &[String]| bits(ips, |ip| Some(Bit::of_ip(field, ip.parse().ok()?)));
    [
        ports(Field::DestinationPort, &filter.destination_port),
        ports(Field::SourcePort, &filter.source_port),
        ips(Field::SourceIp, &filter.source_ip),
        ips(Field::DestinationIp, &filter.destination_ip),
        identities(Field::SourceIdentity, &filter.source_identity),
        identities(Field::DestinationIdentity, &filter.destination_identity),
        numbers(Field::Verdict, &filter.verdict),
        bits(&filter.event_type, |wanted| {
            // Type 0 asks for any type.
            (wanted.r#type != 0).then(|| Bit::of(Field::EventType, wanted.r#type as u64))
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A field's condition; `None` if there is none, or none that can be looked up.
fn bits<T>(values: &[T], bit: impl Fn(&T) -> Option<Bit>) -> Option<Condition> {
    if values.is_empty() || values.len() > MAX_VALUES {
        return None;
    }
    values.iter().map(bit).collect()
}

#[cfg(test)]
mod tests;
