//! Which responses a request wants, where no server sorts them out.

use std::collections::VecDeque;

use flow_api::observer::{GetFlowsRequest, GetFlowsResponse};
use flow_filter::Filter;
use prost_types::Timestamp;

/// `--last` keeps that many responses in memory.
const MOST_LAST: u64 = 1_000_000;

/// Which responses are wanted: by time, by filter, and how many from which end.
pub(super) struct Selection {
    filter: Filter,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    count: Count,
}

enum Count {
    All,
    /// How many are still to come.
    First(u64),
    /// The latest ones so far, and how many to keep.
    Last(VecDeque<GetFlowsResponse>, usize),
}

impl Selection {
    pub(super) fn new(request: &GetFlowsRequest) -> anyhow::Result<Self> {
        let filter = Filter::compile(&request.whitelist, &request.blacklist)?.log_every_failure();
        let count = match request.number {
            0 | u64::MAX => Count::All,
            number if request.first => Count::First(number),
            number if number > MOST_LAST => {
                anyhow::bail!("--last must be <= 1_000_000, got {number}")
            }
            number => Count::Last(VecDeque::new(), usize::try_from(number)?),
        };
        Ok(Self {
            filter,
            since: request.since,
            until: request.until,
            count,
        })
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self.count, Count::First(0))
    }

    /// The response if it is wanted now.
    pub(super) fn pass(&mut self, response: GetFlowsResponse) -> Option<GetFlowsResponse> {
        if !self.wants(&response) {
            return None;
        }
        match &mut self.count {
            Count::All => Some(response),
            Count::First(missing) => {
                *missing = missing.saturating_sub(1);
                Some(response)
            }
            Count::Last(kept, most) => {
                if kept.len() == *most {
                    kept.pop_front();
                }
                kept.push_back(response);
                None
            }
        }
    }

    fn wants(&self, response: &GetFlowsResponse) -> bool {
        let time = response.time.unwrap_or_default();
        let key = |time: &Timestamp| (time.seconds, time.nanos);
        if self.since.is_some_and(|since| key(&time) < key(&since))
            || self.until.is_some_and(|until| key(&time) > key(&until))
        {
            return false;
        }
        self.filter.matches(response)
    }

    pub(super) fn finish(self) -> VecDeque<GetFlowsResponse> {
        match self.count {
            Count::Last(kept, _) => kept,
            Count::All | Count::First(_) => VecDeque::new(),
        }
    }
}
