//! What an answer covers, worked out at its end.

use flow_api::{observer::GetFlowsRequest, palomar};
use prost_types::Timestamp;

use super::query::Tally;
use crate::{
    assemble::now_ns,
    counters::{Counters, Stage},
    encode::{nanoseconds, timestamp},
    ring::{FlowRing, Read},
};

/// What is known when a request begins.
pub(super) struct Begun {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    number: u64,
    first: bool,
    follow: bool,
    began_ns: i64,
    /// From then on, everything is in the ring.
    held_from_ns: i64,
    oldest_ns: Option<i64>,
}

impl Begun {
    pub(super) fn new(request: &GetFlowsRequest, ring: &FlowRing, counters: &Counters) -> Self {
        let oldest = ring.oldest();
        let oldest_ns = time_at(ring, oldest);
        // As long as nothing had to go, the ring knows everything since the agent started, and what
        // it was told that is older, as from a file.
        let held_from_ns = match oldest {
            0 => oldest_ns.map_or(counters.started_ns(), |it| it.min(counters.started_ns())),
            _ => oldest_ns.unwrap_or_else(now_ns),
        };
        Self {
            since: request.since,
            until: request.until,
            number: request.number,
            first: request.first,
            follow: request.follow,
            began_ns: now_ns(),
            held_from_ns,
            oldest_ns,
        }
    }

    /// The answer has ended.
    pub(super) fn coverage(
        &self,
        node_name: &str,
        tally: Tally,
        counters: &Counters,
    ) -> palomar::Coverage {
        let (from_ns, to_ns) = self.covered(tally, now_ns());
        let mut losses: Vec<palomar::Loss> = counters
            .lost_between(from_ns, to_ns)
            .into_iter()
            .map(|((stage, what), count)| loss(stage, what, count))
            .collect();
        if tally.overtaken > 0 {
            losses.push(loss(Stage::Ring, "overtaken", tally.overtaken));
        }
        palomar::Coverage {
            node_name: node_name.to_owned(),
            from: Some(timestamp(from_ns)),
            to: Some(timestamp(to_ns)),
            requested_since: self.since,
            requested_until: self.until,
            oldest: self.oldest_ns.map(timestamp),
            flows: tally.delivered,
            losses,
            late: 0,
        }
    }

    /// From when to when the answer has everything.
    fn covered(&self, tally: Tally, ended_ns: i64) -> (i64, i64) {
        let since_ns = self.since.map(nanoseconds);
        let mut from_ns = match since_ns {
            Some(since_ns) => since_ns.max(self.held_from_ns),
            None if self.follow && self.number == 0 => self.began_ns,
            None => self.held_from_ns,
        };
        let mut to_ns = self.until.map_or(ended_ns, nanoseconds).min(ended_ns);
        let counts_from_the_oldest = self.first || since_ns.is_some();
        // A follow goes on after as many as were asked for.
        let has_all_that_number = self.number > 0
            && (tally.is_limited || (self.follow && tally.delivered >= self.number));
        match tally.times_ns {
            // More may have come behind them, or been there before them.
            Some((_, last_ns)) if tally.is_limited && counts_from_the_oldest => to_ns = last_ns,
            Some((first_ns, _)) if has_all_that_number && !counts_from_the_oldest => {
                from_ns = from_ns.max(first_ns);
            }
            _ => {}
        }
        (from_ns.min(to_ns), to_ns)
    }
}

fn loss(stage: Stage, what: &str, count: u64) -> palomar::Loss {
    palomar::Loss {
        stage: stage.name().to_owned(),
        what: what.to_owned(),
        count,
    }
}

/// The time of the event at a position, if it is there.
fn time_at(ring: &FlowRing, position: u64) -> Option<i64> {
    match ring.read(position) {
        Read::Batch(batch) => Some(batch.from(position).first()?.event.time_ns()),
        Read::Missed { .. } | Read::End => None,
    }
}

#[cfg(test)]
mod tests;
