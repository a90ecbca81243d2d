//! An exporter that is fed from outside: `palomar export` has the flows of a server.
//!
//! In: responses to `GetFlows`. Out: what an exporter of an agent writes. Between them is a ring, which
//! whoever feeds it does not overtake: a server that has to wait keeps its flows.

use std::{sync::Arc, time::Duration};

use flow_api::{
    flow::{LostEvent, LostEventSource},
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
};
use tokio::sync::watch;

use super::{ExportCounts, Spec, StartError, SyncPolicy, exporter::Exporter, feed::Feed};
use crate::{
    encode::{NodeFacts, nanoseconds, timestamp},
    ring::{Event, FlowRing, Message},
};

/// Flows between the server and the file: some 10 MB. Enough that a slow disk and a bursty network do
/// not wait for each other.
const CAPACITY: usize = 8192;
/// So many are published at once, so that there is room for the next soon.
const LOT: usize = 512;

/// An exporter and the way to it.
#[derive(Debug)]
pub struct Intake {
    ring: Arc<FlowRing>,
    counts: Arc<ExportCounts>,
    exporter: Exporter,
    /// How far it has written.
    written: watch::Receiver<u64>,
}

impl Intake {
    /// Starts an exporter; `node_name` is who tells of gaps.
    ///
    /// # Errors
    /// For a filter or a mask that means nothing, and where the system has no thread left.
    ///
    /// # Panics
    /// Outside of a Tokio runtime with timers.
    pub fn start(spec: &Spec, sync: SyncPolicy, node_name: &str) -> Result<Self, StartError> {
        let ring = Arc::new(FlowRing::new(CAPACITY));
        let counts = Arc::new(ExportCounts::default());
        let feed = Feed {
            rings: vec![Arc::clone(&ring)],
            node: Arc::new(NodeFacts::default()),
            plain_node_name: node_name.to_owned(),
            counts: Arc::clone(&counts),
        };
        let exporter = Exporter::start(spec, false, sync, &feed, None)?;
        Ok(Self {
            ring,
            counts,
            written: exporter.written(),
            exporter,
        })
    }

    /// Takes flows and losses, in order; waits until there is room for them.
    pub async fn put(&mut self, responses: Vec<GetFlowsResponse>) {
        let mut events: Vec<Event> = responses.into_iter().filter_map(event).collect();
        while !events.is_empty() {
            let rest = events.split_off(events.len().min(LOT));
            let end = self.ring.end() + events.len() as u64;
            let has_room = |written: &u64| end.saturating_sub(*written) <= CAPACITY as u64;
            // Nothing is written any more when the exporter is gone, which nobody waits for.
            drop(self.written.wait_for(has_room).await);
            self.ring.publish(&mut events);
            events = rest;
        }
    }

    /// Tells in the file that flows of this time are missing, nobody knows how many.
    pub async fn put_gap(&mut self, from_ns: i64, to_ns: i64, node_name: &str) {
        let gap = GetFlowsResponse {
            node_name: node_name.to_owned(),
            time: Some(timestamp(to_ns)),
            response_types: Some(ResponseTypes::LostEvents(LostEvent {
                source: LostEventSource::HubbleRingBuffer.into(),
                first: Some(timestamp(from_ns)),
                last: Some(timestamp(to_ns)),
                ..LostEvent::default()
            })),
        };
        self.put(vec![gap]).await;
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> &Arc<ExportCounts> {
        &self.counts
    }

    /// Writes what is left, for as long as `patience`. Blocks. Says whether all of it was written.
    pub fn stop(self, patience: Duration) -> bool {
        let end = self.ring.end();
        self.exporter.close();
        let positions = self.exporter.join(patience).unwrap_or_default();
        let lost: u64 = self.counts.exporters().iter().map(|it| it.lost).sum();
        positions == [end] && lost == 0
    }
}

fn event(response: GetFlowsResponse) -> Option<Event> {
    let time = match &response.response_types {
        Some(ResponseTypes::Flow(flow)) => flow.time.or(response.time),
        Some(ResponseTypes::LostEvents(_)) => response.time,
        _ => return None,
    };
    Some(Event::Recorded(Message {
        time_ns: time.map_or(0, nanoseconds),
        message: Box::new(response),
    }))
}
