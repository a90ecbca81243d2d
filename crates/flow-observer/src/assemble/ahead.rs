//! Records that wait for each other, so that their look-ups wait for memory together.
//!
//! A source hands out one record at a time, and its bytes are gone when it is asked again. So the
//! bytes of a few are copied, which costs next to nothing, and the addresses in them are glanced at:
//! where that finds none, or the wrong ones as those around a tunnel, nothing is warmed up and
//! nothing else is different. Then the records are read one after the other, as they came.

mod glance;

use super::{Assembler, Surroundings};
use crate::{
    enrich::{WARMED, is_worth_warming, warm},
    record::Ip,
    ring::Event,
    source::RawEvent,
};

/// Bytes of records that wait at most, unless one alone has more: more than records with whole
/// frames of 1,500 bytes have.
const MAX_BYTES: usize = 64 << 10;

/// The records that wait. Empty between two batches.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    bytes: Vec<u8>,
    records: Vec<Record>,
    ends: Vec<Ip>,
}

/// A record, whose bytes follow those of the one before.
#[derive(Clone, Copy, Debug)]
struct Record {
    kind: Kind,
    /// Where its bytes end.
    end: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Own,
    Hook,
    Cilium { cpu: u32 },
}

impl Assembler {
    /// Takes in an event, which may wait until [`Self::catch_up`] or the events after it.
    pub(super) fn take(
        &mut self,
        raw: RawEvent<'_>,
        ahead: &mut Ahead,
        around: &Surroundings,
        events: &mut Vec<Event>,
    ) {
        let (kind, bytes) = match raw {
            RawEvent::Record(bytes) => (Kind::Own, bytes),
            RawEvent::Hook(bytes) => (Kind::Hook, bytes),
            RawEvent::Cilium { cpu, bytes } => (Kind::Cilium { cpu }, bytes),
            other => {
                self.catch_up(ahead, around, events);
                return self.event(other, around, events);
            }
        };
        if ahead.is_empty() && !is_worth_warming(&around.snapshot, &self.names) {
            return self.event(kind.raw(bytes), around, events);
        }
        if ahead.bytes.len().saturating_add(bytes.len()) > MAX_BYTES {
            self.catch_up(ahead, around, events);
        }
        ahead.keep(kind, bytes);
        if ahead.records.len() >= WARMED {
            self.catch_up(ahead, around, events);
        }
    }

    /// Makes events of all records that wait.
    pub(super) fn catch_up(
        &mut self,
        ahead: &mut Ahead,
        around: &Surroundings,
        events: &mut Vec<Event>,
    ) {
        warm(&around.snapshot, &self.names, &ahead.ends);
        let mut start = 0;
        for Record { kind, end } in &ahead.records {
            let bytes = ahead.bytes.get(start..*end).unwrap_or_default();
            self.event(kind.raw(bytes), around, events);
            start = *end;
        }
        ahead.clear();
    }
}

impl Ahead {
    fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn keep(&mut self, kind: Kind, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.records.push(Record {
            kind,
            end: self.bytes.len(),
        });
        self.ends.extend(match kind {
            Kind::Own => glance::own(bytes),
            Kind::Cilium { .. } => glance::cilium(bytes),
            // They have one address, and come seldom.
            Kind::Hook => None,
        });
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(MAX_BYTES);
        self.records.clear();
        self.ends.clear();
    }
}

impl Kind {
    fn raw(self, bytes: &[u8]) -> RawEvent<'_> {
        match self {
            Self::Own => RawEvent::Record(bytes),
            Self::Hook => RawEvent::Hook(bytes),
            Self::Cilium { cpu } => RawEvent::Cilium { cpu, bytes },
        }
    }
}
