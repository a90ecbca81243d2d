//! Following a relay of which pods come and go.
//!
//! In: a call to a server inside a cluster. Out: its responses, as if its pod had lived on: where the
//! connection breaks, the next pod is asked for everything from the last flow on, which the nodes still
//! have, and what was there before is left out. What happens is told on standard error.

mod marks;

use std::time::{Duration, Instant, SystemTime};

use flow_api::observer::{GetAgentEventsRequest, GetDebugEventsRequest, GetFlowsRequest};
use futures::{StreamExt as _, future::BoxFuture, stream};
use prost_types::Timestamp;
use tonic::Code;
use tracing::warn;

use self::marks::{Marks, Placed};
use super::{
    Responses,
    server::{RpcError, Server},
};
use crate::forward::ForwardError;
use crate::print::time::TimeFormat;
use crate::settings::Settings;

/// How long to wait between two attempts: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A stream that stood for so long was well, and the next attempt is made at once.
const STOOD_WELL: Duration = Duration::from_secs(10);

/// Texts that are remembered, so that they are not said again: pods of a relay are few, and so are
/// their reasons.
const MAX_TOLD: usize = 32;

/// A request that can be made again from where the last answer ended.
pub(crate) trait Request: Clone + Send + 'static {
    /// Whether the answer has no end.
    fn follows(&self) -> bool;

    /// Whether it is for what comes after it was made, and for nothing that is there.
    fn is_from_now(&self) -> bool;

    /// Asks for what is newer, instead of for what was asked first.
    fn go_on(&mut self, since: Timestamp);
}

macro_rules! requests {
    ($($request:ty),+) => {$(
        impl Request for $request {
            fn follows(&self) -> bool {
                self.follow
            }

            fn is_from_now(&self) -> bool {
                self.number == 0 && self.since.is_none()
            }

            fn go_on(&mut self, since: Timestamp) {
                self.number = 0;
                self.first = false;
                self.since = Some(since);
            }
        }
    )+};
}

requests!(
    GetFlowsRequest,
    GetAgentEventsRequest,
    GetDebugEventsRequest
);

/// Makes a call.
pub(crate) trait Ask<Q, T>: Send + 'static {
    /// Makes the call to this server.
    fn ask(&self, server: Server, request: Q) -> BoxFuture<'static, anyhow::Result<Responses<T>>>;
}

impl<Q, T, F> Ask<Q, T> for F
where
    F: Fn(Server, Q) -> BoxFuture<'static, anyhow::Result<Responses<T>>> + Send + 'static,
{
    fn ask(&self, server: Server, request: Q) -> BoxFuture<'static, anyhow::Result<Responses<T>>> {
        self(server, request)
    }
}

/// Makes a call; if it follows and the server is inside a cluster, on one pod after the other.
///
/// # Errors
/// The first call fails.
pub(crate) async fn responses<Q: Request, T: Placed>(
    settings: &Settings,
    request: Q,
    ask: impl Ask<Q, T>,
) -> anyhow::Result<Responses<T>> {
    let server = Server::connect(settings).await?;
    let (began, now) = (Instant::now(), SystemTime::now());
    let responses = ask.ask(server.clone(), request.clone()).await?;
    if !server.is_forwarded() || !request.follows() {
        return Ok(responses);
    }
    let following = Following {
        server,
        settings: settings.clone(),
        request,
        ask,
        responses,
        began,
        first: Timestamp::from(now),
        marks: Marks::default(),
        pause: Duration::ZERO,
        told: Vec::new(),
    };
    let responses = stream::unfold(Some(following), |following| async {
        let mut following = following?;
        match following.next().await? {
            Ok(response) => Some((Ok(response), Some(following))),
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(responses.boxed())
}

struct Following<Q, T, A> {
    server: Server,
    settings: Settings,
    request: Q,
    ask: A,
    responses: Responses<T>,
    /// When the current stream began.
    began: Instant,
    /// When the first one began.
    first: Timestamp,
    marks: Marks,
    /// How long to wait before the next attempt.
    pause: Duration,
    /// What was said since it was last well: the same is not said twice.
    told: Vec<String>,
}

impl<Q: Request, T: Placed, A: Ask<Q, T>> Following<Q, T, A> {
    async fn next(&mut self) -> Option<anyhow::Result<T>> {
        loop {
            match self.responses.next().await {
                Some(Ok(response)) => {
                    if self.marks.is_new(&response) {
                        self.told.clear();
                        return Some(Ok(response));
                    }
                }
                Some(Err(error)) if is_broken(&error) => {
                    if let Err(error) = self.go_on(&error).await {
                        return Some(Err(error));
                    }
                }
                ended => return ended,
            }
        }
    }

    /// Goes on with the next pod, as soon as there is one.
    async fn go_on(&mut self, error: &anyhow::Error) -> anyhow::Result<()> {
        let broken = Instant::now();
        if self.began.elapsed() >= STOOD_WELL {
            self.pause = Duration::ZERO;
            self.told.clear();
        }
        self.tell(
            error,
            "the connection to the relay broke: looking for a pod to go on with",
        );
        let since = match self.marks.begin_again() {
            // Nothing came, but something may have happened by now.
            None if self.request.is_from_now() => Some(self.first),
            since => since,
        };
        if let Some(since) = since {
            self.request.go_on(since);
        }
        loop {
            tokio::time::sleep(self.pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            match self.attempt(broken, since).await {
                Ok(responses) => {
                    self.responses = responses;
                    self.began = Instant::now();
                    return Ok(());
                }
                Err(error) if is_broken(&error) || may_pass(&error) => {
                    self.tell(
                        &error,
                        "no pod of the relay to go on with yet: trying again",
                    );
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn attempt(
        &mut self,
        broken: Instant,
        since: Option<Timestamp>,
    ) -> anyhow::Result<Responses<T>> {
        self.server = self.server.again(&self.settings).await?;
        let mut from = Vec::new();
        TimeFormat::Rfc3339Milli.write(&mut from, since.as_ref());
        if self.is_news(format!("going on with {}", self.server.name())) {
            warn!(
                pod = self.server.name(),
                after = ?broken.elapsed(),
                since = %String::from_utf8_lossy(&from),
                "going on with a pod of the relay: what its nodes no longer have of that time is missing"
            );
        }
        let asking = self.ask.ask(self.server.clone(), self.request.clone());
        asking.await
    }

    fn tell(&mut self, error: &anyhow::Error, what: &str) {
        let error = format!("{error:#}");
        if self.is_news(error.clone()) {
            warn!(pod = self.server.name(), error, "{what}");
        }
    }

    fn is_news(&mut self, text: String) -> bool {
        let is_new = !self.told.contains(&text);
        if is_new {
            if self.told.len() == MAX_TOLD {
                self.told.clear();
            }
            self.told.push(text);
        }
        is_new
    }
}

/// Whether the connection is gone, and not the call refused. A relay that is asked to end cancels its
/// calls.
fn is_broken(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<RpcError>()
        .is_some_and(|error| matches!(error.code, Code::Unavailable | Code::Cancelled))
}

fn may_pass(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<ForwardError>()
        .is_some_and(|error| !error.is_lasting())
}
