//! The thread that counts: a reader of the ring like any other, with a position of its own.
//!
//! What it is overtaken by is counted as lost, and in no metric.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use flow_api::flow::{AgentEvent, AgentEventType, agent_event::Notification};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{FlowMetrics, Metric};
use crate::{
    agent::DEFAULT_RING_CAPACITY,
    encode::NodeFacts,
    ring::{Event, FlowRing, Read},
    view::RecordView,
};

/// Series of a pod that is gone are there for so long: its last flows may not be counted yet, and
/// what it was is asked for after the fact.
const REMOVED_AFTER: Duration = Duration::from_secs(60);
/// Pods that are waited for at most; the oldest go at once beyond that.
const MAX_GONE: usize = 65_536;
/// After so many batches, others get their turn.
const MAX_BATCHES: u32 = 16;
/// Between two looks at a ring of the usual size or more: what comes within it is counted at once.
const PAUSE: Duration = Duration::from_millis(10);

/// What is read, and what is counted of it.
pub(crate) struct Reader {
    pub(crate) metrics: FlowMetrics,
    pub(crate) node: Arc<NodeFacts>,
    pub(crate) ring: Arc<FlowRing>,
    /// Where agent events are, if they are not among the flows.
    pub(crate) agent_events: Option<Arc<FlowRing>>,
    /// What to count from now on.
    pub(crate) configured: Option<watch::Receiver<Arc<[Metric]>>>,
    /// Events that left the ring before they were counted.
    pub(crate) overtaken: Arc<AtomicU64>,
}

/// A ring, and how far it is read.
struct Cursor {
    ring: Arc<FlowRing>,
    end: watch::Receiver<u64>,
    position: u64,
}

impl Cursor {
    fn new(ring: Arc<FlowRing>) -> Self {
        // Subscribed before the first look, so that nothing slips through in between.
        let end = ring.subscribe();
        Self {
            position: ring.oldest(),
            ring,
            end,
        }
    }

    /// Hands over what is next, and tells whether there was something.
    fn read(&mut self, overtaken: &AtomicU64, mut take: impl FnMut(&Event)) -> bool {
        match self.ring.read(self.position) {
            Read::End => return false,
            Read::Missed { count, resume } => {
                overtaken.fetch_add(count, Ordering::Relaxed);
                self.position = resume;
            }
            Read::Batch(batch) => {
                batch
                    .from(self.position)
                    .iter()
                    .for_each(|slot| take(&slot.event));
                self.position = batch.end();
            }
        }
        true
    }

    /// Waits until there is more than was read.
    async fn wait(&mut self) {
        let position = self.position;
        // The ring is there for as long as the reader is.
        if self.end.wait_for(|&end| end > position).await.is_err() {
            std::future::pending().await
        }
    }
}

/// Pods that are gone, oldest first.
#[derive(Default)]
struct Gone(VecDeque<(Instant, String, String)>);

impl Gone {
    /// What an agent event says of a pod that is gone.
    fn hear(&mut self, event: &AgentEvent) {
        let (namespace, pod) = match (&event.notification, event.r#type()) {
            (Some(Notification::EndpointUpdate(it)), AgentEventType::EndpointDeleted) => {
                (&it.namespace, &it.pod_name)
            }
            (Some(Notification::IpcacheUpdate(it)), AgentEventType::IpcacheDeleted) => {
                (&it.namespace, &it.pod_name)
            }
            _ => return,
        };
        if !pod.is_empty() {
            self.0
                .push_back((Instant::now(), namespace.clone(), pod.clone()));
        }
    }

    /// When the oldest is to be removed.
    fn due(&self) -> Option<Instant> {
        let (since, ..) = self.0.front()?;
        Some(match self.0.len() > MAX_GONE {
            true => Instant::now(),
            false => *since + REMOVED_AFTER,
        })
    }

    /// The oldest, if it is to be removed.
    fn pop(&mut self) -> Option<(String, String)> {
        if self.due()? > Instant::now() {
            return None;
        }
        self.0
            .pop_front()
            .map(|(_, namespace, pod)| (namespace, pod))
    }
}

/// A small ring is overtaken sooner.
fn pause(ring: &FlowRing) -> Duration {
    let capacity = u32::try_from(ring.capacity()).unwrap_or(u32::MAX);
    let usual = DEFAULT_RING_CAPACITY as u32;
    PAUSE * capacity.min(usual) / usual
}

async fn wait(cursor: Option<&mut Cursor>) {
    match cursor {
        Some(cursor) => cursor.wait().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// What is configured next; never, where nothing changes.
async fn changed(configured: &mut Option<watch::Receiver<Arc<[Metric]>>>) -> Arc<[Metric]> {
    if let Some(receiver) = configured
        && receiver.changed().await.is_ok()
    {
        return Arc::clone(&receiver.borrow_and_update());
    }
    std::future::pending().await
}

impl Reader {
    /// Counts until `closing`.
    pub(crate) async fn run(mut self, closing: CancellationToken) {
        let mut flows = Cursor::new(Arc::clone(&self.ring));
        let mut events = self.agent_events.take().map(Cursor::new);
        let mut configured = self.configured.take();
        let mut gone = Gone::default();
        let mut batches = 0;
        loop {
            if closing.is_cancelled() {
                return;
            }
            let Self {
                metrics,
                node,
                overtaken,
                ..
            } = &mut self;
            let mut take = |event: &Event| match event {
                Event::Flow(flow) => metrics.count(&RecordView::new(flow, node)),
                Event::Message(flow) => metrics.count(&*flow.message),
                Event::Recorded(response) => {
                    if let Some(flow) = response.flow() {
                        metrics.count(flow);
                    }
                }
                Event::Agent(event) => gone.hear(&event.message),
                Event::Debug(_) | Event::Lost(_) => {}
            };
            let mut has_more = flows.read(overtaken, &mut take);
            if let Some(events) = &mut events {
                // Nobody counts these.
                has_more |= events.read(&AtomicU64::new(0), &mut take);
            }
            while let Some((namespace, pod)) = gone.pop() {
                metrics.remove_pod(&namespace, &pod);
            }
            if has_more {
                batches += 1;
                if batches % MAX_BATCHES == 0 {
                    tokio::task::yield_now().await;
                }
                continue;
            }
            let due = gone.due();
            tokio::select! {
                () = closing.cancelled() => return,
                () = flows.wait() => {}
                () = wait(events.as_mut()) => {}
                () = sleep_until(due) => {}
                metrics = changed(&mut configured) => self.configure(&metrics),
            }
            tokio::time::sleep(pause(&self.ring)).await;
        }
    }

    fn configure(&mut self, metrics: &[Metric]) {
        if let Err(error) = self.metrics.configure(metrics) {
            tracing::warn!(%error, "metrics stay as they were");
        }
    }
}
