//! One call that all peers answer with a stream: the request, and what all readers of its peers
//! share.

use std::time::{Duration, SystemTime};

use flow_api::observer::{GetAgentEventsRequest, GetDebugEventsRequest, GetFlowsRequest};
use flow_api::{coverage, progress};
use prost::Message as _;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use crate::credit::SharedCredit;
use crate::defaults::{
    HELD_BYTES, PROGRESS_LONGEST, PROGRESS_OF_ONE_PEER, PROGRESS_SHORTEST, UNTIL_GRACE,
};
use crate::wire::Time;

const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What is asked for. All that are not flows are asked for in the same way, without filters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Method {
    AgentEvents,
    DebugEvents,
    Flows,
}

impl Method {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AgentEvents => "GetAgentEvents",
            Self::DebugEvents => "GetDebugEvents",
            Self::Flows => "GetFlows",
        }
    }

    /// What it is called on the wire.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::AgentEvents => "/observer.Observer/GetAgentEvents",
            Self::DebugEvents => "/observer.Observer/GetDebugEvents",
            Self::Flows => "/observer.Observer/GetFlows",
        }
    }

    /// The request as it goes to a peer. Time and node name are in the same place in all answers.
    pub(crate) fn encode(self, request: &GetFlowsRequest) -> Vec<u8> {
        match self {
            Self::Flows => request.encode_to_vec(),
            Self::AgentEvents => GetAgentEventsRequest {
                number: request.number,
                first: request.first,
                follow: request.follow,
                since: request.since,
                until: request.until,
            }
            .encode_to_vec(),
            Self::DebugEvents => GetDebugEventsRequest {
                number: request.number,
                first: request.first,
                follow: request.follow,
                since: request.since,
                until: request.until,
            }
            .encode_to_vec(),
        }
    }
}

/// What all readers of one call share.
#[derive(Debug)]
pub(crate) struct Call {
    /// What is asked for.
    pub(crate) method: Method,
    /// The client's request. Passed on unchanged the first time.
    pub(crate) request: GetFlowsRequest,
    /// The client's metadata, passed on; peers of a following call are asked how far they are.
    pub(crate) metadata: MetadataMap,
    /// How often the client wants to know how far this call is: it is a relay, too.
    pub(crate) tells_progress: Option<Duration>,
    /// When the call began: where a following call goes on with a peer that has sent nothing yet.
    pub(crate) began: Time,
    /// What all readers of a following call may hold together; nothing in a finite call.
    pub(crate) shared_credit: SharedCredit,
}

impl Call {
    /// A call to so many peers that begins now.
    pub(crate) fn new(
        method: Method,
        request: GetFlowsRequest,
        mut metadata: MetadataMap,
        peers: usize,
    ) -> Self {
        let tells_progress = progress::asked(&metadata).filter(|_| request.follow);
        if request.follow {
            let peers = u32::try_from(peers).unwrap_or(u32::MAX);
            let interval = PROGRESS_OF_ONE_PEER.saturating_mul(peers);
            let interval = interval.clamp(PROGRESS_SHORTEST, PROGRESS_LONGEST);
            progress::ask(&mut metadata, interval);
        }
        let shared_credit = SharedCredit::of_bytes(if request.follow { HELD_BYTES } else { 0 });
        Self {
            method,
            request,
            metadata,
            tells_progress,
            began: Time::now(),
            shared_credit,
        }
    }

    /// Whether the client wants to know what the answer covers. The peers are asked, too: it is in
    /// the metadata.
    pub(crate) fn asks_for_coverage(&self) -> bool {
        self.tells_status() && coverage::is_asked(&self.metadata)
    }

    /// Whether the stream has a place for what happens to nodes.
    pub(crate) fn tells_status(&self) -> bool {
        self.method == Method::Flows
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
