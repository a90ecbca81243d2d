//! Bounds on calls: how many there are, how long a request is, and how long it takes to come.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, OnceLock, atomic::Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Sleep,
};
use tonic::{Status, body::Body};
use tower::Service;

use super::{
    Limits,
    admission::ClientName,
    counts::{Refusal, ServerCounts},
};

/// Asked by whoever decides whether to restart us: answered also when everything else is full.
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

/// A gRPC message begins with a flag and its length.
const MESSAGE_HEADER: usize = 5;

/// What the calls of all connections share.
#[derive(Debug)]
pub(super) struct Calls {
    limits: Limits,
    counts: Arc<ServerCounts>,
    open: Arc<Semaphore>,
    /// Bytes of requests that may still come.
    bytes: Arc<Semaphore>,
}

/// An open call. Lives as long as its request and its response.
#[derive(Debug)]
struct Call {
    calls: Arc<Calls>,
    /// `None` for a call that is always taken.
    _open: Option<OwnedSemaphorePermit>,
    /// Set when the request's length is known.
    bytes: OnceLock<OwnedSemaphorePermit>,
}

impl Calls {
    pub(super) fn new(limits: Limits, counts: Arc<ServerCounts>) -> Arc<Self> {
        Arc::new(Self {
            open: Arc::new(Semaphore::new(limits.calls)),
            bytes: Arc::new(Semaphore::new(limits.request_bytes_in_all)),
            limits,
            counts,
        })
    }

    fn begin(self: &Arc<Self>, path: &str) -> Result<Arc<Call>, Status> {
        let open = match Arc::clone(&self.open).try_acquire_owned() {
            Ok(open) => Some(open),
            Err(_) if path == HEALTH_CHECK => None,
            Err(_) => {
                self.counts.refuse(Refusal::Calls);
                return Err(Status::resource_exhausted(format!(
                    "{} calls are open, which is the limit: try again later",
                    self.limits.calls
                )));
            }
        };
        self.counts.calls.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Call {
            calls: Arc::clone(self),
            _open: open,
            bytes: OnceLock::new(),
        }))
    }
}

impl Call {
    /// Whether a message of this length may come.
    fn announce(&self, length: usize) -> Result<(), Status> {
        let calls = &self.calls;
        if length > calls.limits.request_bytes {
            calls.counts.refuse(Refusal::RequestSize);
            return Err(Status::resource_exhausted(format!(
                "request of {length} bytes: at most {} are taken",
                calls.limits.request_bytes
            )));
        }
        if self.bytes.get().is_some() {
            // One of several messages of a call: those of reflection, which are not kept.
            return Ok(());
        }
        // Both are below 2^32, as the header has it.
        let permits = u32::try_from(length).unwrap_or(u32::MAX);
        match Arc::clone(&calls.bytes).try_acquire_many_owned(permits) {
            Ok(bytes) => {
                // Only ever set by the one body of the call.
                drop(self.bytes.set(bytes));
                Ok(())
            }
            Err(_) => {
                calls.counts.refuse(Refusal::RequestsInAll);
                Err(Status::resource_exhausted(format!(
                    "requests of open calls have {} bytes together, which is the limit: \
                     try again later, or with fewer filters",
                    calls.limits.request_bytes_in_all
                )))
            }
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.calls.counts.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Calls of one connection on their way to the services.
#[derive(Clone, Debug)]
pub(super) struct Bounded<S> {
    pub(super) inner: S,
    pub(super) calls: Arc<Calls>,
    pub(super) client: ClientName,
}

impl<S> Service<Request<Incoming>> for Bounded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let call = match self.calls.begin(request.uri().path()) {
            Ok(call) => call,
            Err(status) => {
                let refused = status
                    .into_http()
                    .map(|body| ResponseBody { body, _call: None });
                return Box::pin(async { Ok(refused) });
            }
        };
        let mut request = request.map(|body| {
            let timeout = self.calls.limits.request_timeout;
            Body::new(RequestBody {
                body,
                call: Arc::clone(&call),
                header: [0; MESSAGE_HEADER],
                header_filled: 0,
                message_left: 0,
                deadline: Some(Box::pin(tokio::time::sleep(timeout))),
            })
        });
        request.extensions_mut().insert(self.client);
        let response = self.inner.call(request);
        Box::pin(async {
            let response = response.await?;
            Ok(response.map(|body| ResponseBody {
                body,
                _call: Some(call),
            }))
        })
    }
}

/// A request as it comes in, watched.
struct RequestBody {
    body: Incoming,
    call: Arc<Call>,
    header: [u8; MESSAGE_HEADER],
    header_filled: usize,
    /// Bytes of the current message that are still to come.
    message_left: usize,
    /// Until when the first message has to be whole. Later ones come when the client has a question.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    /// Follows the messages through a piece of the body.
    fn watch(&mut self, mut bytes: &[u8]) -> Result<(), Status> {
        while !bytes.is_empty() {
            if self.message_left > 0 {
                let part = self.message_left.min(bytes.len());
                self.message_left -= part;
                bytes = bytes.get(part..).unwrap_or_default();
            } else {
                let part = (MESSAGE_HEADER - self.header_filled).min(bytes.len());
                let (now, later) = bytes.split_at(part);
                if let Some(place) = self
                    .header
                    .get_mut(self.header_filled..)
                    .and_then(|it| it.get_mut(..part))
                {
                    place.copy_from_slice(now);
                }
                self.header_filled += part;
                bytes = later;
                if self.header_filled < MESSAGE_HEADER {
                    return Ok(());
                }
                self.header_filled = 0;
                let [_, length @ ..] = self.header;
                self.message_left = u32::from_be_bytes(length) as usize;
                self.call.announce(self.message_left)?;
            }
            if self.message_left == 0 && self.header_filled == 0 {
                self.deadline = None;
            }
        }
        Ok(())
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = tower::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tower::BoxError>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let is_late = self
                    .deadline
                    .as_mut()
                    .is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
                if !is_late {
                    return Poll::Pending;
                }
                self.deadline = None;
                let calls = &self.call.calls;
                calls.counts.refuse(Refusal::RequestTimeout);
                let message = format!(
                    "the request did not arrive within {:?}",
                    calls.limits.request_timeout
                );
                return Poll::Ready(Some(Err(Status::deadline_exceeded(message).into())));
            }
        };
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(status) = self.watch(data)
        {
            return Poll::Ready(Some(Err(status.into())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response, and with it the call that it belongs to.
#[derive(Debug)]
pub(super) struct ResponseBody {
    body: Body,
    _call: Option<Arc<Call>>,
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
