//! Counts the calls of clients as Go's Prometheus middleware does, so that dashboards of Hubble's
//! relay work.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

/// All codes that gRPC has.
pub(crate) const CODES: usize = 17;

/// A gRPC message begins with a flag and its length.
const MESSAGE_HEADER: usize = 5;

/// The calls that there are: service, method, and what Go calls their type.
const METHODS: [(&str, &str, &str); 10] = [
    ("observer.Observer", "GetFlows", "server_stream"),
    ("observer.Observer", "GetAgentEvents", "server_stream"),
    ("observer.Observer", "GetDebugEvents", "server_stream"),
    ("observer.Observer", "GetNodes", "unary"),
    ("observer.Observer", "GetNamespaces", "unary"),
    ("observer.Observer", "ServerStatus", "unary"),
    ("grpc.health.v1.Health", "Check", "unary"),
    ("grpc.health.v1.Health", "Watch", "server_stream"),
    (
        "grpc.reflection.v1.ServerReflection",
        "ServerReflectionInfo",
        "bidi_stream",
    ),
    (
        "grpc.reflection.v1alpha.ServerReflection",
        "ServerReflectionInfo",
        "bidi_stream",
    ),
];

/// What was counted of one method.
#[derive(Debug, Default)]
struct Counts {
    started: AtomicU64,
    handled: [AtomicU64; CODES],
    sent: AtomicU64,
}

/// What was counted of all methods.
#[derive(Debug, Default)]
pub(crate) struct CallCounts([Counts; METHODS.len()]);

/// One method's numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MethodNumbers {
    /// Labels.
    pub(crate) service: &'static str,
    pub(crate) method: &'static str,
    pub(crate) kind: &'static str,
    /// Calls that began.
    pub(crate) started: u64,
    /// Calls that ended, by code.
    pub(crate) handled: [u64; CODES],
    /// Messages to clients.
    pub(crate) sent: u64,
}

impl CallCounts {
    /// What was counted so far, of all methods.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = MethodNumbers> + '_ {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        METHODS
            .iter()
            .zip(&self.0)
            .map(move |((service, method, kind), counts)| MethodNumbers {
                service,
                method,
                kind,
                started: load(&counts.started),
                handled: counts.handled.each_ref().map(load),
                sent: load(&counts.sent),
            })
    }
}

/// A call that goes on. Counted as cancelled where it is dropped before it has ended.
#[derive(Debug)]
struct Open {
    counts: Arc<CallCounts>,
    method: usize,
    has_ended: bool,
}

impl Open {
    /// Counts a call that begins; `None` for a method that there is not.
    fn begin(counts: &Arc<CallCounts>, path: &str) -> Option<Self> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        let method = METHODS
            .iter()
            .position(|known| (known.0, known.1) == (service, method))?;
        counts
            .0
            .get(method)?
            .started
            .fetch_add(1, Ordering::Relaxed);
        Some(Self {
            counts: Arc::clone(counts),
            method,
            has_ended: false,
        })
    }

    fn sent(&self, messages: u64) {
        if let Some(counts) = self.counts.0.get(self.method) {
            counts.sent.fetch_add(messages, Ordering::Relaxed);
        }
    }

    /// Counts the end, if these headers have one.
    fn look_for_end(&mut self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.end(status.code());
        }
    }

    fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let counts = self.counts.0.get(self.method);
        let code = usize::try_from(i32::from(code)).unwrap_or(CODES);
        if let Some(count) = counts.and_then(|counts| counts.handled.get(code)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// Services whose calls are counted.
#[derive(Clone, Debug)]
pub(crate) struct Counted<S> {
    pub(crate) inner: S,
    pub(crate) counts: Arc<CallCounts>,
}

impl<S> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let open = Open::begin(&self.counts, request.uri().path());
        let answering = self.inner.call(request);
        Box::pin(async move {
            let response = answering.await?;
            let Some(mut open) = open else {
                return Ok(response);
            };
            open.look_for_end(response.headers());
            Ok(response.map(|body| {
                Body::new(CountedBody {
                    body,
                    open,
                    messages: Messages::default(),
                })
            }))
        })
    }
}

/// A response on its way to the client.
#[derive(Debug)]
struct CountedBody {
    body: Body,
    open: Open,
    messages: Messages,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    let messages = self.messages.begun_in(data);
                    self.open.sent(messages);
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.open.look_for_end(trailers);
                }
            }
            Poll::Ready(Some(Err(status))) => self.open.end(status.code()),
            Poll::Ready(None) => self.open.end(Code::Ok),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Where a body is within its messages.
#[derive(Debug, Default)]
struct Messages {
    header: [u8; MESSAGE_HEADER],
    header_filled: usize,
    /// Bytes of the current message that are still to come.
    left: usize,
}

impl Messages {
    /// How many messages begin in a piece of the body. Steps from header to header.
    fn begun_in(&mut self, mut bytes: &[u8]) -> u64 {
        let mut begun = 0;
        while !bytes.is_empty() {
            let part = self.left.min(bytes.len());
            self.left -= part;
            bytes = bytes.get(part..).unwrap_or_default();
            while self.left == 0
                && let Some((byte, rest)) = bytes.split_first()
            {
                bytes = rest;
                if let Some(place) = self.header.get_mut(self.header_filled) {
                    *place = *byte;
                }
                self.header_filled += 1;
                if self.header_filled == MESSAGE_HEADER {
                    self.header_filled = 0;
                    let [_, length @ ..] = self.header;
                    self.left = u32::from_be_bytes(length) as usize;
                    begun += 1;
                }
            }
        }
        begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let mut body = Vec::new();
        for length in [0_u32, 3, 0, 700] {
            body.push(0);
            body.extend(length.to_be_bytes());
            body.extend(vec![7; length as usize]);
        }
        for size in [1, 2, 5, 6, 100, body.len()] {
            let mut messages = Messages::default();
            let begun: u64 = body.chunks(size).map(|it| messages.begun_in(it)).sum();
            assert_eq!(begun, 4, "pieces of {size}");
        }
    }

    #[test]
    fn a_call_ends_once_and_one_that_is_dropped_was_cancelled() {
        let counts: Arc<CallCounts> = Arc::default();
        let mut open = Open::begin(&counts, "/observer.Observer/GetFlows").unwrap();
        open.end(Code::Ok);
        drop(open);
        drop(Open::begin(&counts, "/observer.Observer/GetFlows"));
        assert!(Open::begin(&counts, "/observer.Observer/Other").is_none());
        let flows = counts.numbers().next().unwrap();
        assert_eq!(flows.started, 2);
        assert_eq!(flows.handled[Code::Ok as usize], 1);
        assert_eq!(flows.handled[Code::Cancelled as usize], 1);
    }
}
