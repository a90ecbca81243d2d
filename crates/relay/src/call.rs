//! One `GetFlows` call: the request, and what all readers of its peers share.

use std::time::{Duration, SystemTime};

use flow_api::coverage;
use flow_api::observer::GetFlowsRequest;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use crate::credit::SharedCredit;
use crate::defaults::{HELD_BYTES, UNTIL_GRACE};
use crate::wire::Time;

const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What all readers of one call share.
#[derive(Debug)]
pub(crate) struct Call {
    /// The client's request. Passed on unchanged the first time.
    pub(crate) request: GetFlowsRequest,
    /// The client's metadata, passed on.
    pub(crate) metadata: MetadataMap,
    /// When the call began: where a following call goes on with a peer that has sent nothing yet.
    pub(crate) began: Time,
    /// What all readers of a following call may hold together; nothing in a finite call.
    pub(crate) shared_credit: SharedCredit,
}

impl Call {
    /// A call that begins now.
    pub(crate) fn new(request: GetFlowsRequest, metadata: MetadataMap) -> Self {
        let shared_credit = SharedCredit::of_bytes(if request.follow { HELD_BYTES } else { 0 });
        Self {
            request,
            metadata,
            began: Time::now(),
            shared_credit,
        }
    }

    /// Whether the client wants to know what the answer covers. The peers are asked, too: it is in
    /// the metadata.
    pub(crate) fn asks_for_coverage(&self) -> bool {
        coverage::is_asked(&self.metadata)
    }

    /// Whether the time until which the client asked has passed.
    pub(crate) fn is_over(&self) -> bool {
        self.request
            .until
            .is_some_and(|until| Time::from(until) <= Time::now())
    }

    /// When a following call that has an `until` stops waiting for its peers: when that time has
    /// passed, and some more.
    pub(crate) fn gives_up(&self) -> Option<Instant> {
        let until = self.request.until.filter(|_| self.request.follow)?;
        let left = SystemTime::try_from(until)
            .ok()
            .and_then(|until| until.duration_since(SystemTime::now()).ok())
            .unwrap_or_default();
        // What lies further off than a timer can say is never.
        Instant::now()
            .checked_add(left.min(CENTURY))?
            .checked_add(UNTIL_GRACE)
    }
}
