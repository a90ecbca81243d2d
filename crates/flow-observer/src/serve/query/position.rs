//! Where in the ring a request begins.

use flow_api::{observer::GetFlowsRequest, resume::After};
use tokio::task::yield_now;

use super::{Query, nanoseconds};
use crate::ring::{FlowRing, Slot};

/// What a request says of where to begin, at the time when it came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Begin {
    /// At this position.
    At(u64),
    /// So that as many matching events are left until a position.
    Last { number: u64, end: u64 },
    /// Behind the newest matching event before a position that is older than `since`.
    Since { end: u64 },
    /// Behind a matching flow before a position.
    After { flow: After, end: u64 },
}

impl Begin {
    /// With `since`, behind the newest matching event that is older; else so that `number` matching
    /// events are left until the end; all of them for 0, but none in a follow.
    pub(super) fn of(request: &GetFlowsRequest, ring: &FlowRing) -> Self {
        let end = ring.end();
        match request.number {
            _ if request.since.is_some() => Self::Since { end },
            0 if request.follow => Self::At(end),
            0 => Self::At(ring.oldest()),
            _ if request.first => Self::At(ring.oldest()),
            number => Self::Last { number, end },
        }
    }
}

impl Query {
    /// Looks for the position. The ring may be large, and others get their turn meanwhile.
    pub(super) async fn find(&self, begin: Begin) -> u64 {
        match begin {
            Begin::At(position) => position,
            Begin::Last { number, end } => {
                let mut left = number;
                let last = |slot: &Slot| {
                    if self.matches(slot) {
                        left -= 1;
                    }
                    left == 0
                };
                let found = self.find_back(end, |_| true, last).await;
                found.unwrap_or_else(|oldest| oldest)
            }
            Begin::Since { end } => self.first_since(end).await,
            Begin::After { flow, end } => self.first_after(flow, end).await,
        }
    }

    /// Behind a flow that the client has. If it is not there any more, or this is another process, all
    /// that is there came later.
    async fn first_after(&self, flow: After, end: u64) -> u64 {
        let time_ns = nanoseconds(flow.time);
        let is_it = |slot: &Slot| slot.event.time_ns() == time_ns && self.matches(slot);
        let mut last = match self
            .find_back(end, |oldest_ns| oldest_ns <= time_ns, is_it)
            .await
        {
            Ok(position) => position,
            Err(oldest) => return oldest,
        };
        // All of this time that follow each other, the last one first.
        let mut positions = vec![last];
        loop {
            let mut is_of_this_time = false;
            let matching = |slot: &Slot| {
                is_of_this_time = slot.event.time_ns() == time_ns;
                self.matches(slot)
            };
            match self.find_back(last, |_| true, matching).await {
                Ok(position) if is_of_this_time => last = position,
                _ => break,
            }
            positions.push(last);
        }
        let count = usize::try_from(flow.count).unwrap_or(usize::MAX);
        let position = positions.get(positions.len().saturating_sub(count));
        position.map_or(end, |position| position + 1)
    }

    /// Behind the newest matching event that is older than `since`, as in Hubble: where the clock
    /// was set back, what lies before the step is not looked at. Losses before `since` that no
    /// matching event follows are told, as they are there.
    async fn first_since(&self, end: u64) -> u64 {
        let since_ns = self.scan.since_ns;
        let is_older = |slot: &Slot| slot.event.time_ns() < since_ns && self.matches(slot);
        // Times are compared first, and most batches lie on one side of `since`.
        let found = self.find_back(end, |oldest_ns| oldest_ns < since_ns, is_older);
        found
            .await
            .map_or_else(|oldest| oldest, |position| position + 1)
    }

    /// The newest event before `end` that `is_it`, as only those are that match, among batches of
    /// which the time of the oldest event is `promising`; else the position of the oldest event
    /// that was looked at.
    async fn find_back(
        &self,
        end: u64,
        promising: impl Fn(i64) -> bool,
        mut is_it: impl FnMut(&Slot) -> bool,
    ) -> Result<u64, u64> {
        let mut begin = end;
        while let Some(batch) = self.ring.read_back(begin) {
            begin = batch.start();
            if !promising(batch.oldest_ns()) {
                continue;
            }
            let found = self.scan.find_back(&batch, &mut is_it);
            self.ring.weigh(&batch);
            if let Some(position) = found {
                return Ok(position);
            }
            yield_now().await;
        }
        Err(begin)
    }
}
