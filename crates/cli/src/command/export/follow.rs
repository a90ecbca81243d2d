//! Follows a server for as long as it takes: connects, asks for what came since, hands on what is new,
//! and begins again when the stream breaks.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
    time::Duration,
};

use flow_api::{
    coverage,
    observer::{GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes},
    palomar::CoverageReport,
};
use flow_observer::export::{Intake, LineForm};
use futures::StreamExt as _;
use prost_types::Timestamp;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tracing::{info, warn};

use super::recent::{Recent, nanoseconds};
use crate::{
    print::time::TimeFormat,
    settings::Settings,
    source::server::{RpcError, Server},
};

/// After a break, the server is asked again so soon, and each time after twice as long.
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// It is asked so often at least: its ring goes on while nobody reads it.
const LAST_RETRY: Duration = Duration::from_secs(5);
/// Responses that are handed on at once, as far as they are there.
const LOT: usize = 256;
/// How long a server may take to tell from when on it has flows.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// A server that is followed.
#[derive(Debug)]
pub(super) struct Following {
    settings: Settings,
    request: GetFlowsRequest,
    /// Where to begin if nothing was received before.
    since: Option<Timestamp>,
    recent: Recent,
    /// Flows without a uuid are known by their lines.
    form: LineForm,
}

impl Following {
    pub(super) fn new(
        settings: Settings,
        request: GetFlowsRequest,
        since: Option<Timestamp>,
        recent: Recent,
        form: LineForm,
    ) -> Self {
        Self {
            settings,
            request,
            since,
            recent,
            form,
        }
    }

    /// Hands everything that is new to `intake` until `shutdown`.
    ///
    /// # Errors
    /// When the server refuses what it is asked for: asking again would not help.
    pub(super) async fn run(
        &mut self,
        intake: &mut Intake,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut retry = FIRST_RETRY;
        let mut told = String::new();
        let mut was_answered = false;
        loop {
            let mut received = 0;
            let asking = self.ask(intake, &mut received);
            let Some(ended) = shutdown.run_until_cancelled(asking).await else {
                return Ok(());
            };
            if received > 0 {
                was_answered = true;
                retry = FIRST_RETRY;
                told.clear();
            }
            let error = match ended {
                Ok(()) => "the server ended the stream".to_owned(),
                Err(error) if !was_answered && is_final(&error) => return Err(error),
                Err(error) => format!("{error:#}"),
            };
            // Told once, however often it is the same.
            if error != told {
                warn!(error, "no flows: trying again");
                told = error;
            }
            let pause = tokio::time::sleep(retry);
            if shutdown.run_until_cancelled(pause).await.is_none() {
                return Ok(());
            }
            retry = (retry * 2).min(LAST_RETRY);
        }
    }

    /// One connection, to its end.
    async fn ask(&mut self, intake: &mut Intake, received: &mut u64) -> anyhow::Result<()> {
        let server = Server::connect(&self.settings).await?;
        let mut request = self.request.clone();
        let newest_ns = self.recent.newest_ns();
        match (self.recent.resume(), newest_ns) {
            (Some(since_ns), Some(newest_ns)) => {
                request.since = Some(timestamp(since_ns));
                self.look_for_gap(&server, newest_ns, intake).await?;
            }
            _ => request.since = self.since,
        }
        let since = text(request.since.as_ref());
        let mut observer = server.observer();
        let call = async |request| observer.get_flows(request).await;
        let responses = server.streaming(request, call).await?;
        info!(since, "receiving flows");
        let mut lots = responses.ready_chunks(LOT);
        while let Some(lot) = lots.next().await {
            let mut news = Vec::with_capacity(lot.len());
            let mut ended = None;
            for response in lot {
                match response {
                    Ok(response) => {
                        if self.is_new(&response) {
                            news.push(response);
                        }
                    }
                    Err(error) => ended = Some(error),
                }
            }
            *received += news.len() as u64;
            intake.put(news).await;
            if let Some(error) = ended {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether a response is to be written: nodes that come and go are only told in the log.
    fn is_new(&mut self, response: &GetFlowsResponse) -> bool {
        match &response.response_types {
            Some(ResponseTypes::Flow(flow)) => self.recent.take(flow, || self.form.line(response)),
            Some(ResponseTypes::NodeStatus(status)) => {
                let (state, nodes) = (status.state_change(), status.node_names.join(","));
                info!(
                    state = state.as_str_name(),
                    nodes,
                    message = status.message,
                    "nodes changed"
                );
                false
            }
            Some(ResponseTypes::LostEvents(_)) => {
                let line = self.form.line(response);
                self.recent.take_gap(response.time, &line)
            }
            None => false,
        }
    }

    /// Asks from when on the server has flows, and tells of what is missing between the newest one that
    /// was received and those.
    async fn look_for_gap(
        &self,
        server: &Server,
        newest_ns: i64,
        intake: &mut Intake,
    ) -> anyhow::Result<()> {
        let request = GetFlowsRequest {
            number: 1,
            first: true,
            since: Some(timestamp(newest_ns)),
            ..GetFlowsRequest::default()
        };
        let told: Arc<OnceLock<CoverageReport>> = Arc::default();
        let teller = Arc::clone(&told);
        let mut observer = server.observer();
        let call = async |mut request: tonic::Request<_>| {
            coverage::ask(request.metadata_mut());
            observer.get_flows(request).await
        };
        let ended = move |trailers: &tonic::metadata::MetadataMap| {
            if let Some(report) = coverage::told(trailers) {
                // Said once: a stream ends once.
                drop(teller.set(report));
            }
        };
        let answer = async {
            let mut responses = server.streaming_to_end(request, call, ended).await?;
            while let Some(response) = responses.next().await {
                response?;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PROBE_TIMEOUT, answer).await??;
        let Some(report) = told.get() else {
            warn!("the server does not tell whether flows are missing since the break");
            return Ok(());
        };
        let from_ns = |coverage: &flow_api::palomar::Coverage| coverage.from.map(nanoseconds);
        let mut nodes = BTreeSet::new();
        let mut begins_ns = newest_ns;
        for node in report.nodes.iter().chain(&report.total) {
            // Times are told by the microsecond somewhere on the way.
            if let Some(from_ns) = from_ns(node).filter(|&from_ns| from_ns > newest_ns + 1_000) {
                begins_ns = begins_ns.max(from_ns);
                nodes.insert(node.node_name.as_str());
            }
        }
        nodes.remove("");
        if begins_ns > newest_ns {
            let (from, to) = (timestamp(newest_ns), timestamp(begins_ns));
            let (from, to) = (text(Some(&from)), text(Some(&to)));
            let nodes: Vec<&str> = nodes.into_iter().collect();
            warn!(
                from,
                to,
                nodes = nodes.join(","),
                "flows are missing: the server has them no longer"
            );
            let node = if let [node] = nodes[..] { node } else { "" };
            intake.put_gap(newest_ns, begins_ns, node).await;
        }
        Ok(())
    }
}

/// Whether the server would say the same again.
fn is_final(error: &anyhow::Error) -> bool {
    error.downcast_ref::<RpcError>().is_some_and(|error| {
        matches!(
            error.code,
            Code::InvalidArgument | Code::Unimplemented | Code::PermissionDenied | Code::Unknown
        )
    })
}

fn timestamp(ns: i64) -> Timestamp {
    Timestamp {
        seconds: ns.div_euclid(1_000_000_000),
        nanos: ns.rem_euclid(1_000_000_000) as i32,
    }
}

/// A time in the log; `N/A` for none.
fn text(time: Option<&Timestamp>) -> String {
    let mut text = Vec::new();
    TimeFormat::Rfc3339Milli.write(&mut text, time);
    String::from_utf8(text).unwrap_or_default()
}
