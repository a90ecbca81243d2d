//! Flows as they come, from a server that may go away and come back.

use std::{future::Future, pin::Pin, time::Duration};

use flow_api::{
    extension,
    observer::{GetFlowsRequest, GetFlowsResponse, ServerStatusRequest, ServerStatusResponse},
};
use futures::{FutureExt as _, StreamExt as _, future::LocalBoxFuture};
use prost_types::Timestamp;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, sync::DropGuard};

use crate::settings::Settings;
use crate::source::{Flows, server::Server};

/// How long to wait before a server that went away is called again, at first and at most.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const MOST_WAIT: Duration = Duration::from_secs(10);

/// How often a server is asked how it is.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// Where flows come from.
pub(super) struct Feed {
    state: State,
    server: Option<Asked>,
    /// The time of the newest flow, after which to go on.
    newest: Option<Timestamp>,
    wait: Duration,
}

/// Whom to ask, and for what.
struct Asked {
    settings: Settings,
    request: GetFlowsRequest,
    status: watch::Sender<Option<ServerStatusResponse>>,
    /// Ends the questions to the connection at hand.
    polling: Option<DropGuard>,
}

enum State {
    /// Nothing more comes.
    Ended,
    Flowing(Flows),
    Waiting(Pin<Box<tokio::time::Sleep>>),
    Calling(LocalBoxFuture<'static, anyhow::Result<(Server, Flows)>>),
}

/// What a feed tells.
pub(super) enum News {
    Flow(Box<GetFlowsResponse>),
    /// Flows come again.
    Back,
    /// The server is gone; why, and that it is called again.
    Gone(String),
    /// There is no more.
    End,
}

impl Feed {
    /// Connects to a server.
    ///
    /// # Errors
    /// It cannot be reached, or refuses.
    pub(super) async fn of_server(
        settings: Settings,
        request: GetFlowsRequest,
    ) -> anyhow::Result<Self> {
        let (server, flows) = call(settings.clone(), request.clone()).await?;
        let mut asked = Asked {
            settings,
            request,
            status: watch::Sender::new(None),
            polling: None,
        };
        asked.poll(server);
        Ok(Self {
            state: State::Flowing(flows),
            server: Some(asked),
            newest: None,
            wait: FIRST_WAIT,
        })
    }

    /// Flows that are there already.
    #[cfg(feature = "node")]
    pub(super) fn of(flows: Flows) -> Self {
        Self {
            state: State::Flowing(flows),
            server: None,
            newest: None,
            wait: FIRST_WAIT,
        }
    }

    /// What the server says about itself; nothing for what has no server.
    pub(super) fn status(&self) -> Option<ServerStatusResponse> {
        self.server.as_ref()?.status.borrow().clone()
    }

    /// What comes next. Nothing is lost when this is dropped before it is done.
    pub(super) async fn next(&mut self) -> News {
        loop {
            match &mut self.state {
                State::Ended => std::future::pending().await,
                State::Flowing(flows) => {
                    let next = flows.next().await;
                    return self.take(next);
                }
                State::Waiting(sleep) => {
                    sleep.await;
                    self.state = match &self.server {
                        Some(server) => {
                            State::Calling(server.call_again(self.newest).boxed_local())
                        }
                        None => State::Ended,
                    };
                }
                State::Calling(calling) => match calling.await {
                    Ok((server, flows)) => {
                        self.state = State::Flowing(flows);
                        self.wait = FIRST_WAIT;
                        if let Some(asked) = &mut self.server {
                            asked.poll(server);
                        }
                        return News::Back;
                    }
                    Err(error) => return self.lose(&error),
                },
            }
        }
    }

    /// What is there without waiting.
    pub(super) fn ready(&mut self) -> Option<News> {
        let State::Flowing(flows) = &mut self.state else {
            return None;
        };
        let next = flows.next().now_or_never()?;
        Some(self.take(next))
    }

    fn take(&mut self, next: Option<anyhow::Result<GetFlowsResponse>>) -> News {
        match next {
            Some(Ok(response)) => {
                self.newest = response.time.or(self.newest);
                News::Flow(Box::new(response))
            }
            Some(Err(error)) => self.lose(&error),
            None if self.server.is_some() => {
                self.lose(&anyhow::anyhow!("the server ended its answer"))
            }
            None => {
                self.state = State::Ended;
                News::End
            }
        }
    }

    fn lose(&mut self, error: &anyhow::Error) -> News {
        if let Some(server) = &mut self.server {
            server.polling = None;
        }
        self.state = State::Waiting(Box::pin(tokio::time::sleep(self.wait)));
        self.wait = (self.wait * 2).min(MOST_WAIT);
        News::Gone(format!("{error:#}"))
    }
}

impl Asked {
    /// Goes on after the newest flow that came, so that none is counted twice.
    fn call_again(
        &self,
        newest: Option<Timestamp>,
    ) -> impl Future<Output = anyhow::Result<(Server, Flows)>> + use<> {
        let mut request = self.request.clone();
        if let Some(newest) = newest {
            let is_carried = newest.nanos >= 999_999_999;
            request.since = Some(Timestamp {
                seconds: newest.seconds + i64::from(is_carried),
                nanos: if is_carried { 0 } else { newest.nanos + 1 },
            });
        }
        call(self.settings.clone(), request)
    }

    /// Asks the server how it is, for as long as this connection is the one that counts.
    fn poll(&mut self, server: Server) {
        let stopping = CancellationToken::new();
        let told = self.status.clone();
        let stopped = stopping.clone();
        tokio::spawn(stopped.run_until_cancelled_owned(async move {
            let mut observer = server.observer();
            loop {
                let call = async |request| observer.server_status(request).await;
                if let Ok(status) = server.unary(ServerStatusRequest {}, call).await {
                    told.send_replace(Some(status));
                }
                tokio::time::sleep(STATUS_INTERVAL).await;
            }
        }));
        self.polling = Some(stopping.drop_guard());
    }
}

async fn call(settings: Settings, request: GetFlowsRequest) -> anyhow::Result<(Server, Flows)> {
    let server = Server::connect(&settings).await?;
    let mut observer = server.observer();
    let call = async |mut request: tonic::Request<_>| {
        extension::ask_for_names(&mut request);
        observer.get_flows(request).await
    };
    let flows = server.streaming(request, call).await?;
    Ok((server, flows))
}
