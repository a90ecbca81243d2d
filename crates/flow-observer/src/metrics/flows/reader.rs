//! The thread that counts: a reader of the ring like any other, with a position of its own.
//!
//! What it is overtaken by is counted as lost, and in no metric.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flow_api::flow::{AgentEvent, AgentEventType, agent_event::Notification};
use foldhash::HashSet;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{FlowMetrics, Metric, context::full_name};
use crate::{
    agent::DEFAULT_RING_CAPACITY,
    encode::NodeFacts,
    ring::{Event, FlowRing, Mark, Read, ReaderKind},
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
    /// Tells others where that is.
    mark: Mark,
}

impl Cursor {
    fn new(ring: Arc<FlowRing>) -> Self {
        // Subscribed before the first look, so that nothing slips through in between.
        let end = ring.subscribe();
        // From the first event on: those that are gone already are counted as lost.
        Self {
            position: 0,
            mark: ring.readers().enter(ReaderKind::Metrics, 0),
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
                self.mark.miss(count);
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
        self.mark.set(self.position);
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
struct Gone(VecDeque<(Instant, String)>);

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
                .push_back((Instant::now(), full_name(namespace, pod)));
        }
    }

    /// When the oldest is to be removed.
    fn due(&self) -> Option<Instant> {
        let (since, _) = self.0.front()?;
        Some(match self.0.len() > MAX_GONE {
            true => Instant::now(),
            false => *since + REMOVED_AFTER,
        })
    }

    /// Those that are to be removed by now.
    fn take(&mut self) -> HashSet<String> {
        let now = Instant::now();
        let mut names = HashSet::default();
        while self.due().is_some_and(|due| due <= now)
            && let Some((_, name)) = self.0.pop_front()
        {
            names.insert(name);
        }
        names
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
        Some(due) => tokio::time::sleep_until(due).await,
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
                // What only tells the rest of one was counted with it.
                Event::Flow(flow) if event.is_flow() => {
                    metrics.count(&RecordView::new(flow, node));
                }
                Event::Message(flow) => metrics.count(&*flow.message),
                Event::Recorded(response) => {
                    if let Some(flow) = response.flow() {
                        metrics.count(flow);
                    }
                }
                Event::Agent(event) => gone.hear(&event.message),
                Event::Flow(_) | Event::Debug(_) | Event::Lost(_) => {}
            };
            let mut has_more = flows.read(overtaken, &mut take);
            if let Some(events) = &mut events {
                // Nobody counts these.
                has_more |= events.read(&AtomicU64::new(0), &mut take);
            }
            // All at once: each goes through all series.
            let names = gone.take();
            if !names.is_empty() {
                metrics.remove_pods(&names);
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

#[cfg(test)]
mod tests {
    use flow_api::{
        flow::{Endpoint, EndpointUpdateNotification, Flow},
        observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
    };

    use super::*;
    use crate::{
        metrics::flows::{Pages, parse_line},
        ring::Message,
    };

    /// A flow of a pod, as another agent told it.
    fn flow_of(pod: &str) -> Event {
        let flow = Flow {
            source: Some(Endpoint {
                namespace: "shop".to_owned(),
                pod_name: pod.to_owned(),
                ..Endpoint::default()
            }),
            ..Flow::default()
        };
        let message = Box::new(GetFlowsResponse {
            response_types: Some(ResponseTypes::Flow(flow)),
            ..GetFlowsResponse::default()
        });
        Event::Recorded(Message {
            time_ns: 0,
            message,
        })
    }

    fn deleted(pod: &str) -> Event {
        let notification = Notification::EndpointUpdate(EndpointUpdateNotification {
            namespace: "shop".to_owned(),
            pod_name: pod.to_owned(),
            ..EndpointUpdateNotification::default()
        });
        let message = Box::new(AgentEvent {
            r#type: AgentEventType::EndpointDeleted.into(),
            notification: Some(notification),
        });
        Event::Agent(Message {
            time_ns: 0,
            message,
        })
    }

    fn series(pages: &Pages) -> usize {
        pages.all().iter().map(|it| it.series()).sum()
    }

    /// Waits until there are so many. Time goes by itself while all wait.
    async fn wait_for(pages: &Pages, count: usize) {
        while series(pages) != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn series_of_a_pod_go_a_minute_after_it() {
        let ring = Arc::new(FlowRing::new(15));
        let agent_events = Arc::new(FlowRing::new(15));
        let mut metrics = FlowMetrics::new(10);
        metrics
            .configure(&parse_line("flow:sourceContext=pod").unwrap())
            .unwrap();
        let pages = metrics.pages();
        let reader = Reader {
            metrics,
            node: Arc::new(NodeFacts {
                name: "node-1".to_owned(),
                directory: None,
            }),
            ring: Arc::clone(&ring),
            agent_events: Some(Arc::clone(&agent_events)),
            configured: None,
            overtaken: Arc::default(),
        };
        let closing = CancellationToken::new();
        let reading = tokio::spawn(reader.run(closing.clone()));
        ring.publish(&mut vec![flow_of("web-0"), flow_of("web-1")]);
        wait_for(&pages, 2).await;

        agent_events.publish(&mut vec![deleted("web-0")]);
        let gone = Instant::now();
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(series(&pages), 2);
        wait_for(&pages, 1).await;
        let took = gone.elapsed().as_secs();
        assert!((60..62).contains(&took), "{took} s");

        closing.cancel();
        reading.await.unwrap();
    }

    #[test]
    fn what_left_the_ring_before_the_first_look_is_counted() {
        let ring = Arc::new(FlowRing::new(3));
        ring.publish(&mut (0..10).map(|_| flow_of("web-0")).collect());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let _within = runtime.enter();
        let (mut cursor, overtaken) = (Cursor::new(Arc::clone(&ring)), AtomicU64::new(0));
        let mut read = 0;
        while cursor.read(&overtaken, |_| read += 1) {}
        assert_eq!(overtaken.load(Ordering::Relaxed) + read, 10);
        assert!(read >= 3);
    }
}
