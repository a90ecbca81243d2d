//! A client that reads all there is, and keeps account of it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use flow_api::{
    connect::{ConnectOptions, Target, connect},
    observer::GetFlowsRequest,
    service::observer_client::ObserverClient,
};
use tonic::Streaming;

use crate::message::{is_flow, now, origin};

/// What has come.
#[derive(Default)]
pub(crate) struct Account {
    pub(crate) flows: u64,
    /// Flows that were told as lost.
    pub(crate) lost: u64,
    /// Flows that are older than another one, of whichever peer, that came before.
    pub(crate) inversions: u64,
    /// Flows that had come already, or after a later one of the same peer.
    repeated: u64,
    /// The same of flows that were told as lost.
    lost_repeated: u64,
    /// From the time of each flow until it came.
    pub(crate) latencies: Vec<Duration>,
    newest: Duration,
    newest_of: Vec<Duration>,
}

impl Account {
    fn take(&mut self, message: &[u8], with_latency: bool) {
        let Some((peer, time)) = origin(message) else {
            return;
        };
        let peer = peer as usize;
        if self.newest_of.len() <= peer {
            self.newest_of.resize(peer + 1, Duration::ZERO);
        }
        let is_repeated = time <= self.newest_of[peer];
        self.newest_of[peer] = self.newest_of[peer].max(time);
        if is_flow(message) {
            self.flows += 1;
            self.repeated += u64::from(is_repeated);
            // A gap has the time at which it was told, and its place where it came.
            self.inversions += u64::from(time < self.newest);
            self.newest = self.newest.max(time);
            if with_latency {
                self.latencies.push(now().saturating_sub(time));
            }
        } else {
            self.lost += 1;
            self.lost_repeated += u64::from(is_repeated);
        }
    }

    /// Nothing may come twice, whatever peers do.
    pub(crate) fn must_be_once(&self) -> Result<()> {
        let (flows, losses) = (self.repeated, self.lost_repeated);
        ensure!(
            flows + losses == 0,
            "{flows} flows and {losses} losses twice"
        );
        Ok(())
    }

    /// The latency that so much of the flows kept to.
    pub(crate) fn latency(&mut self, part: f64) -> Duration {
        self.latencies.sort_unstable();
        let index = ((self.latencies.len() as f64 * part) as usize)
            .min(self.latencies.len().saturating_sub(1));
        self.latencies.get(index).copied().unwrap_or_default()
    }
}

pub(crate) async fn ask(relay: &Target, request: GetFlowsRequest) -> Result<Streaming<Bytes>> {
    let channel = connect(relay, &ConnectOptions::default()).await?;
    let mut client = ObserverClient::new(channel);
    Ok(client.get_flows(request).await?.into_inner())
}

/// All that a relay's peers hold.
pub(crate) async fn all(relay: &Target) -> Result<(Account, Duration)> {
    let began = Instant::now();
    let request = GetFlowsRequest {
        number: u64::MAX >> 1,
        ..GetFlowsRequest::default()
    };
    let mut stream = ask(relay, request).await?;
    let mut account = Account::default();
    while let Some(message) = stream.message().await? {
        account.take(&message, false);
    }
    Ok((account, began.elapsed()))
}

/// What comes within some time.
pub(crate) async fn follow(
    stream: &mut Streaming<Bytes>,
    account: &mut Account,
    time: Duration,
    with_latency: bool,
) -> Result<()> {
    let reading = async {
        loop {
            let message = stream.message().await?.context("the follow ended")?;
            account.take(&message, with_latency);
        }
    };
    match tokio::time::timeout(time, reading).await {
        Ok(error) => error,
        Err(_elapsed) => Ok(()),
    }
}

/// What comes until nothing is missing.
pub(crate) async fn rest(
    stream: &mut Streaming<Bytes>,
    account: &mut Account,
    expected: u64,
    patience: Duration,
) -> Result<()> {
    let until = Instant::now() + patience;
    while account.flows + account.lost < expected {
        ensure!(
            Instant::now() < until,
            "{} of {expected} flows came",
            account.flows + account.lost
        );
        let next = tokio::time::timeout(patience, stream.message()).await;
        let message = next.context("flows are missing")??;
        account.take(&message.context("the follow ended")?, false);
    }
    Ok(())
}
