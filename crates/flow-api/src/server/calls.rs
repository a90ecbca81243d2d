//! Counts the calls of clients as Go's Prometheus middleware does, so that dashboards of Hubble work.
//!
//! In: requests and responses that pass by. Out: [`CallCounts`], which a scrape reads.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter},
};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

use crate::code_name;

/// All codes that gRPC has.
const CODES: usize = 17;

/// A gRPC message begins with a flag and its length.
const MESSAGE_HEADER: usize = 5;

/// A call that there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Method {
    /// Its service, as in `observer.Observer`.
    pub service: &'static str,
    /// Its name, as in `GetFlows`.
    pub name: &'static str,
    /// What Go calls its type: `unary`, `server_stream` or `bidi_stream`.
    pub kind: &'static str,
}

impl Method {
    /// One answer to one question.
    #[must_use]
    pub const fn unary(service: &'static str, name: &'static str) -> Self {
        let kind = "unary";
        Self {
            service,
            name,
            kind,
        }
    }

    /// Many answers to one question.
    #[must_use]
    pub const fn server_stream(service: &'static str, name: &'static str) -> Self {
        let kind = "server_stream";
        Self {
            service,
            name,
            kind,
        }
    }
}

/// What observers answer.
pub const OBSERVER_METHODS: [Method; 6] = [
    Method::server_stream("observer.Observer", "GetFlows"),
    Method::server_stream("observer.Observer", "GetAgentEvents"),
    Method::server_stream("observer.Observer", "GetDebugEvents"),
    Method::unary("observer.Observer", "GetNodes"),
    Method::unary("observer.Observer", "GetNamespaces"),
    Method::unary("observer.Observer", "ServerStatus"),
];

/// Health and reflection, which all servers have.
pub const STANDARD_METHODS: [Method; 4] = [
    Method::unary("grpc.health.v1.Health", "Check"),
    Method::server_stream("grpc.health.v1.Health", "Watch"),
    reflection("grpc.reflection.v1.ServerReflection"),
    reflection("grpc.reflection.v1alpha.ServerReflection"),
];

const fn reflection(service: &'static str) -> Method {
    Method {
        service,
        name: "ServerReflectionInfo",
        kind: "bidi_stream",
    }
}

/// What was counted of one method.
#[derive(Debug, Default)]
struct Counts {
    started: AtomicU64,
    handled: [AtomicU64; CODES],
    sent: AtomicU64,
}

/// What was counted of all methods.
#[derive(Debug)]
pub struct CallCounts {
    methods: Vec<Method>,
    /// As many.
    counts: Vec<Counts>,
}

impl CallCounts {
    /// Counts calls of these, and no others.
    #[must_use]
    pub fn new(methods: impl IntoIterator<Item = Method>) -> Self {
        let methods: Vec<_> = methods.into_iter().collect();
        let counts = methods.iter().map(|_| Counts::default()).collect();
        Self { methods, counts }
    }

    fn each(&self) -> impl Iterator<Item = (&Method, &Counts)> {
        self.methods.iter().zip(&self.counts)
    }
}

impl Counts {
    fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Collector for CallCounts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        type Value = fn(&Method, &Counts) -> u64;
        let counters: [(_, _, Value); 3] = [
            (
                "grpc_server_started",
                "Calls of clients that began.",
                |_, it| it.started(),
            ),
            (
                "grpc_server_msg_received",
                "Messages from clients.",
                // One for each call but those of reflection, which answer each question once.
                |method, it| match method.kind {
                    "bidi_stream" => it.sent(),
                    _ => it.started(),
                },
            ),
            ("grpc_server_msg_sent", "Messages to clients.", |_, it| {
                it.sent()
            }),
        ];
        for (name, help, value) in counters {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (method, counts) in self.each() {
                let count = ConstCounter::new(value(method, counts));
                count.encode(family.encode_family(&labels(method))?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "grpc_server_handled",
            "Calls of clients that ended, by code.",
            None,
            MetricType::Counter,
        )?;
        for (method, counts) in self.each() {
            for (code, count) in (0..).zip(&counts.handled) {
                let count = count.load(Ordering::Relaxed);
                // All that ever happened, and success so that rates have something to divide by.
                if count > 0 || code == 0 {
                    let [kind, service, name] = labels(method);
                    let code = ("grpc_code", code_name(Code::from_i32(code)));
                    let labels = [kind, service, name, code];
                    ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

fn labels(method: &Method) -> [(&'static str, &'static str); 3] {
    [
        ("grpc_type", method.kind),
        ("grpc_service", method.service),
        ("grpc_method", method.name),
    ]
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
        let method = counts
            .methods
            .iter()
            .position(|known| (known.service, known.name) == (service, method))?;
        counts
            .counts
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
        if let Some(counts) = self.counts.counts.get(self.method) {
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
        let counts = self.counts.counts.get(self.method);
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
pub struct Counted<S> {
    inner: S,
    counts: Arc<CallCounts>,
}

impl<S> Counted<S> {
    /// Calls of these are counted there.
    #[must_use]
    pub fn new(inner: S, counts: Arc<CallCounts>) -> Self {
        Self { inner, counts }
    }
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
        let flows = Method::server_stream("observer.Observer", "GetFlows");
        let counts = Arc::new(CallCounts::new([flows]));
        let mut open = Open::begin(&counts, "/observer.Observer/GetFlows").unwrap();
        open.end(Code::Ok);
        drop(open);
        drop(Open::begin(&counts, "/observer.Observer/GetFlows"));
        assert!(Open::begin(&counts, "/observer.Observer/Other").is_none());
        let handled = |code: Code| counts.counts[0].handled[code as usize].load(Ordering::Relaxed);
        assert_eq!(counts.counts[0].started(), 2);
        assert_eq!(handled(Code::Ok), 1);
        assert_eq!(handled(Code::Cancelled), 1);
    }
}
