//! Where in the ring a request begins.

use flow_api::observer::GetFlowsRequest;

use super::Query;
use crate::ring::Slot;

impl Query {
    /// Where to begin. With `since`, behind the newest matching event that is older; else so that
    /// `number` matching events are left until the end; all of them for 0, but none in a follow.
    pub(super) fn start(&self, request: &GetFlowsRequest) -> u64 {
        let end = self.ring.end();
        if request.since.is_some() {
            return self.first_since(end);
        }
        if request.number == 0 && request.follow {
            return end;
        }
        if request.number == 0 || request.first {
            return self.ring.oldest();
        }
        let mut left = request.number;
        let last = |slot: &Slot| {
            if self.matches(slot) {
                left -= 1;
            }
            left == 0
        };
        self.find_back(end, |_| true, last)
            .unwrap_or_else(|oldest| oldest)
    }

    /// Behind the newest matching event that is older than `since`, as in Hubble: where the clock
    /// was set back, what lies before the step is not looked at. Losses before `since` that no
    /// matching event follows are told, as they are there.
    fn first_since(&self, end: u64) -> u64 {
        let is_older =
            |slot: &Slot| slot.event.time_ns() < self.scan.since_ns && self.matches(slot);
        // Times are compared first, and most batches lie on one side of `since`.
        self.find_back(end, |oldest_ns| oldest_ns < self.scan.since_ns, is_older)
            .map_or_else(|oldest| oldest, |position| position + 1)
    }

    /// The newest event before `end` that `is_it`, among batches of which the time of the oldest
    /// event is `promising`; else the position of the oldest event that was looked at.
    fn find_back(
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
            let slots = batch.from(begin);
            if let Some(index) = slots.iter().rposition(&mut is_it) {
                return Ok(begin + index as u64);
            }
        }
        Err(begin)
    }
}
