//! Which responses a request wants, where no server sorts them out.

use std::collections::VecDeque;

use flow_api::observer::{GetFlowsRequest, GetFlowsResponse};
use flow_filter::Filter;
use prost_types::Timestamp;

/// `--last` keeps that many responses in memory.
const MOST_LAST: u64 = 1_000_000;

/// Which responses are wanted, whatever came before them: by time and by filter.
pub(super) struct Wanted {
    filter: Filter,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Wanted {
    pub(super) fn new(request: &GetFlowsRequest) -> anyhow::Result<Self> {
        let filter = Filter::compile(&request.whitelist, &request.blacklist)?.log_every_failure();
        Ok(Self {
            filter,
            since: request.since,
            until: request.until,
        })
    }

    pub(super) fn contain(&self, response: &GetFlowsResponse) -> bool {
        let time = response.time.unwrap_or_default();
        let key = |time: &Timestamp| (time.seconds, time.nanos);
        if self.since.is_some_and(|since| key(&time) < key(&since))
            || self.until.is_some_and(|until| key(&time) > key(&until))
        {
            return false;
        }
        self.filter.matches(response)
    }

    /// The fields of a response that have a say in it, as paths; `None` if it may be any.
    pub(super) fn fields(&self) -> Option<Vec<String>> {
        let of_flow = self.filter.fields()?;
        let mut fields: Vec<_> = of_flow.iter().map(|path| format!("flow.{path}")).collect();
        if self.since.is_some() || self.until.is_some() {
            fields.push("time".to_owned());
        }
        Some(fields)
    }
}

/// How many are wanted, and from which end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Count {
    All,
    /// How many are still to come.
    First(u64),
    /// How many to keep until all were seen.
    Last(usize),
}

impl Count {
    pub(super) fn new(request: &GetFlowsRequest) -> anyhow::Result<Self> {
        Ok(match request.number {
            0 | u64::MAX => Self::All,
            number if request.first => Self::First(number),
            number if number > MOST_LAST => {
                anyhow::bail!("--last must be <= 1_000_000, got {number}")
            }
            number => Self::Last(usize::try_from(number)?),
        })
    }
}

/// Those of the wanted responses that are within the count.
pub(super) struct Counted {
    count: Count,
    /// The latest ones so far, where the last ones are wanted.
    kept: VecDeque<GetFlowsResponse>,
}

impl Counted {
    pub(super) fn new(count: Count) -> Self {
        Self {
            count,
            kept: VecDeque::new(),
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.count == Count::First(0)
    }

    /// The response if it is to be shown now.
    pub(super) fn pass(&mut self, response: GetFlowsResponse) -> Option<GetFlowsResponse> {
        match &mut self.count {
            Count::All => Some(response),
            Count::First(missing) => {
                *missing = missing.checked_sub(1)?;
                Some(response)
            }
            Count::Last(most) => {
                if self.kept.len() == *most {
                    self.kept.pop_front();
                }
                self.kept.push_back(response);
                None
            }
        }
    }

    /// All were seen: the last ones are known. What comes after them is shown as it comes.
    pub(super) fn finish(&mut self) -> VecDeque<GetFlowsResponse> {
        if matches!(self.count, Count::Last(_)) {
            self.count = Count::All;
        }
        std::mem::take(&mut self.kept)
    }
}
