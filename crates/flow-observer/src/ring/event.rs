//! What travels in the stream.

use flow_api::{
    flow,
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
};

use crate::record::{FlowRecord, Observation};

/// Anything that travels in the stream.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all events are flows: a box would cost each of them an allocation"
)]
pub enum Event {
    /// A flow.
    Flow(FlowRecord),
    /// A flow that came as a message.
    Message(Message<flow::Flow>),
    /// A flow or a loss that somebody else told, as it was told.
    Recorded(Message<GetFlowsResponse>),
    /// Something that an agent of Cilium did.
    Agent(Message<flow::AgentEvent>),
    /// A debug message of Cilium's datapath.
    Debug(Message<flow::DebugEvent>),
    /// A gap before the ring.
    Lost(Lost),
}

/// An event that is a message of the contract already.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<T> {
    /// Wall clock, nanoseconds since 1970.
    pub time_ns: i64,
    /// The message.
    pub message: Box<T>,
}

impl Event {
    /// Wall clock, nanoseconds since 1970.
    #[must_use]
    pub fn time_ns(&self) -> i64 {
        match self {
            Self::Flow(flow) => flow.time_ns,
            Self::Message(flow) => flow.time_ns,
            Self::Recorded(response) => response.time_ns,
            Self::Agent(event) => event.time_ns,
            Self::Debug(event) => event.time_ns,
            Self::Lost(lost) => lost.time_ns,
        }
    }

    /// Moves the event in time.
    pub(crate) fn set_time_ns(&mut self, time_ns: i64) {
        match self {
            Self::Flow(flow) => flow.time_ns = time_ns,
            Self::Message(flow) => flow.time_ns = time_ns,
            Self::Recorded(response) => response.time_ns = time_ns,
            Self::Agent(event) => event.time_ns = time_ns,
            Self::Debug(event) => event.time_ns = time_ns,
            Self::Lost(lost) => lost.time_ns = time_ns,
        }
    }

    /// Whether this is a flow as every client knows them.
    #[must_use]
    pub fn is_flow(&self) -> bool {
        match self {
            Self::Flow(flow) => !matches!(flow.observation, Observation::Closing { .. }),
            Self::Message(_) => true,
            Self::Recorded(response) => response.flow().is_some(),
            Self::Agent(_) | Self::Debug(_) | Self::Lost(_) => false,
        }
    }

    /// Whether this is a flow, or the rest of one that only clients understand who ask for details.
    #[must_use]
    pub fn is_flow_or_closing(&self) -> bool {
        matches!(self, Self::Flow(_)) || self.is_flow()
    }

    /// Whether this tells of events that nobody will see.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Recorded(response) => response.flow().is_none(),
            Self::Flow(_) | Self::Message(_) | Self::Agent(_) | Self::Debug(_) => false,
        }
    }
}

impl Message<GetFlowsResponse> {
    /// The flow, if it is one and no loss.
    #[must_use]
    pub fn flow(&self) -> Option<&flow::Flow> {
        match &self.message.response_types {
            Some(ResponseTypes::Flow(flow)) => Some(flow),
            _ => None,
        }
    }
}

/// Events that the kernel could not hand over because its ring was full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lost {
    /// When the gap was noticed; nanoseconds since 1970.
    pub time_ns: i64,
    /// How many.
    pub count: u64,
    /// The CPU whose records were lost.
    pub cpu: u32,
}
