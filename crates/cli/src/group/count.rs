//! What is counted of the flows of a group.

use flow_api::palomar::Traffic;
use prost_types::Timestamp;

use super::Observed;

/// Flows and what they report.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Count {
    /// Packets or messages that were observed.
    pub(crate) flows: u64,
    /// Packets that they stand for, of both directions.
    pub(crate) packets: u64,
    /// The bytes of those, with link layer headers.
    pub(crate) bytes: u64,
    /// Whether any of them said how much traffic it stands for. Hubble's flows do not.
    pub(crate) has_traffic: bool,
    /// The earliest time.
    pub(crate) first: Option<Timestamp>,
    /// The latest.
    pub(crate) last: Option<Timestamp>,
}

/// A time as something that can be compared.
pub(crate) fn order(time: Option<Timestamp>) -> (i64, i32) {
    time.map_or((0, 0), |time| (time.seconds, time.nanos))
}

impl Count {
    /// What one flow counts.
    pub(crate) fn of(observed: &Observed<'_>) -> Self {
        let flow = observed.flow;
        let detail = observed.detail();
        // The rest of a connection's counts comes with no packet.
        let is_closing = detail.is_some_and(|detail| detail.closing);
        let flows = match &flow.aggregate {
            _ if is_closing => 0,
            // An exporter put several into one.
            Some(of) => [
                of.ingress_flow_count,
                of.egress_flow_count,
                of.unknown_direction_flow_count,
            ]
            .into_iter()
            .map(u64::from)
            .sum::<u64>()
            .max(1),
            None => 1,
        };
        let mut count = Self {
            flows,
            first: flow.time,
            last: flow.time,
            ..Self::default()
        };
        if let Some(detail) = detail {
            for Traffic { packets, bytes } in detail.forward.iter().chain(&detail.backward) {
                count.packets = count.packets.saturating_add(*packets);
                count.bytes = count.bytes.saturating_add(*bytes);
                count.has_traffic = true;
            }
        }
        count
    }

    /// Counts these as well.
    pub(crate) fn add(&mut self, other: &Self) {
        self.flows = self.flows.saturating_add(other.flows);
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.has_traffic |= other.has_traffic;
        // Flows of several nodes, and those of a connection's end, do not come in order.
        if other.first.is_some() && (self.first.is_none() || order(other.first) < order(self.first))
        {
            self.first = other.first;
        }
        if other.last.is_some() && (self.last.is_none() || order(other.last) > order(self.last)) {
            self.last = other.last;
        }
    }

    /// Whether nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.flows == 0 && !self.has_traffic
    }
}
