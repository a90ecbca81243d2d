//! What a peer says to each call, by how it was told to behave.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::SystemTime;

use bytes::Bytes;
use flow_api::observer::{
    GetAgentEventsRequest, GetFlowsRequest, GetNamespacesResponse, ServerStatusRequest,
    ServerStatusResponse,
};
use flow_api::resume::{self, After};
use futures::stream::StreamExt as _;
use testbed::observer::{Messages, Script, messages};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::{Behaviour, Shared};

impl Shared {
    /// The behaviour of a peer that does not refuse.
    fn willing(&self) -> Result<MutexGuard<'_, Behaviour>, Status> {
        let behaviour = self.behaviour.lock().unwrap();
        match &behaviour.refuse {
            Some(status) => Err(status.clone()),
            None => Ok(behaviour),
        }
    }
}

/// The calls of a peer.
pub(super) struct Service(pub(super) Arc<Shared>);

/// For comparisons.
fn key(at: &prost_types::Timestamp) -> (i64, i32) {
    (at.seconds, at.nanos)
}

/// Where one stream is.
struct Cursor {
    shared: Arc<Shared>,
    request: GetFlowsRequest,
    next: usize,
    changed: watch::Receiver<u64>,
    failed: bool,
}

impl Cursor {
    fn new(shared: Arc<Shared>, mut request: GetFlowsRequest, after: Option<After>) -> Self {
        shared.open_streams.fetch_add(1, Ordering::SeqCst);
        let changed = shared.changed.subscribe();
        let times: Vec<_> = {
            let behaviour = shared.behaviour.lock().unwrap();
            behaviour.flows.iter().map(|(at, _)| key(at)).collect()
        };
        let number = usize::try_from(request.number).unwrap();
        let behind = |index: Option<usize>| index.map_or(0, |index| index + 1);
        let next = match (after, request.since) {
            (Some(After { time, count }), _) => {
                request.since = None;
                let of_this_time = times
                    .iter()
                    .enumerate()
                    .filter(|(_, at)| **at == key(&time));
                let mut of_this_time = of_this_time.map(|(index, _)| index);
                behind(of_this_time.nth(usize::try_from(count).unwrap() - 1))
            }
            (None, Some(since)) => behind(times.iter().rposition(|at| *at < key(&since))),
            (None, None) if number > 0 => times.len().saturating_sub(number),
            // Everything stored; as if each test began with an empty ring.
            (None, None) => 0,
        };
        Self {
            shared,
            request,
            next,
            changed,
            failed: false,
        }
    }

    async fn item(&mut self) -> Option<Result<Bytes, Status>> {
        if self.failed {
            return None;
        }
        loop {
            {
                let behaviour = self.shared.behaviour.lock().unwrap();
                if let Some((after, status)) = &behaviour.fail_after
                    && self.next >= *after
                {
                    self.failed = true;
                    return Some(Err(status.clone()));
                }
                let rest = behaviour.flows.get(self.next..).unwrap_or_default();
                for (at, bytes) in rest {
                    self.next += 1;
                    if self
                        .request
                        .since
                        .is_none_or(|since| key(&since) <= key(at))
                    {
                        self.shared.flows_sent.fetch_add(1, Ordering::SeqCst);
                        return Some(Ok(bytes.clone()));
                    }
                }
                if !behaviour.hang && !self.request.follow {
                    return None;
                }
            }
            if self.changed.changed().await.is_err() {
                return None;
            }
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.shared.open_streams.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tonic::async_trait]
impl Script for Service {
    async fn flows(&self, request: Request<GetFlowsRequest>) -> Result<Response<Messages>, Status> {
        let metadata = request.metadata().clone();
        let request = request.into_inner();
        let (refused, after) = {
            let mut behaviour = self.0.behaviour.lock().unwrap();
            let after = resume::asked(&metadata).filter(|_| behaviour.resumes);
            behaviour.requests.push((request.clone(), metadata));
            (behaviour.refuse.clone(), after)
        };
        if let Some(status) = refused {
            return Err(status);
        }
        let cursor = Cursor::new(Arc::clone(&self.0), request, after);
        let stream = futures::stream::unfold(cursor, |mut cursor| async move {
            let item = cursor.item().await?;
            Some((item, cursor))
        });
        let mut response = Response::new(stream.boxed());
        if after.is_some() {
            resume::accept(response.metadata_mut());
        }
        Ok(response)
    }

    async fn agent_events(&self, request: GetAgentEventsRequest) -> Result<Messages, Status> {
        let behaviour = self.0.willing()?;
        let events = messages(behaviour.agent_events.clone());
        Ok(if request.follow {
            events.chain(futures::stream::pending()).boxed()
        } else {
            events
        })
    }

    async fn namespaces(&self) -> Result<GetNamespacesResponse, Status> {
        let namespaces = self.0.willing()?.namespaces.clone();
        Ok(GetNamespacesResponse { namespaces })
    }

    async fn status(
        &self,
        request: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        let behaviour = self.0.willing()?;
        let mut response = Response::new(behaviour.status.clone());
        flow_api::clock::answer(request.metadata(), response.metadata_mut());
        if let Some(now) = flow_api::clock::told(response.metadata()) {
            let told = now - behaviour.clock_behind;
            let nanos = told.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            let value = nanos.as_nanos().to_string().parse().unwrap();
            response.metadata_mut().insert("palomar-clock", value);
        }
        Ok(response)
    }
}
