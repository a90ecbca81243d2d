//! Where in the ring a request begins.

use flow_api::observer::GetFlowsRequest;

use super::Query;

impl Query {
    /// Where to begin. With `since`, at the first event not before it; else so that `number`
    /// matching events are left until the end; all of them for 0, but none in a follow.
    pub(super) fn start(&self, request: &GetFlowsRequest) -> u64 {
        let oldest = self.ring.oldest();
        if request.since.is_some() {
            return self.first_since(oldest);
        }
        if request.first || (request.number == 0 && !request.follow) {
            return oldest;
        }
        let mut left = request.number;
        let mut position = self.ring.end();
        if left == 0 {
            return position;
        }
        for batch in self.ring.batches().iter().rev() {
            for (index, slot) in batch.from(batch.start()).iter().enumerate().rev() {
                let at = batch.start() + index as u64;
                if at < oldest {
                    return oldest;
                }
                if at >= position {
                    continue;
                }
                if self.matches(slot) {
                    position = at;
                    left -= 1;
                    if left == 0 {
                        return position;
                    }
                }
            }
        }
        oldest
    }

    /// Times rise along the ring, unless the wall clock was set back; then a little more is
    /// walked, and sorted out one by one.
    fn first_since(&self, oldest: u64) -> u64 {
        for batch in self.ring.batches() {
            let slots = batch.from(oldest);
            if slots
                .last()
                .is_some_and(|slot| slot.event.time_ns() >= self.since_ns)
            {
                return batch.start().max(oldest);
            }
        }
        self.ring.end()
    }
}
