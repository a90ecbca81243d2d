//! A client that follows, and keeps accounts of what it was given.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use flow_api::{
    flow::FlowFilter, observer::GetFlowsRequest, service::observer_client::ObserverClient,
};
use prost::Message as _;
use prost_types::{FieldMask, Timestamp};
use tokio::sync::watch;

use crate::agent::{Agent, PATIENCE, PORTS, Packets};

/// How a follower reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// The flows to one port, as they come.
    Filtered {
        /// The port.
        port: u16,
    },
    /// All flows, as fast as it can.
    Whole,
    /// All flows, with a pause after each for as long as flows are written.
    Slow,
}

const PAUSE: Duration = Duration::from_millis(20);

/// What a follower was given.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) kind: Kind,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    /// From a packet's time to its flow, in microseconds; of those that wait for each flow.
    pub(crate) delays_us: Vec<u32>,
}

/// What of a response is looked at: the rest is skipped, so that the clients leave the machine to
/// the server.
#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    flow: Option<Flow>,
    #[prost(message, optional, tag = "3")]
    lost: Option<Lost>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Flow {
    #[prost(message, optional, tag = "1")]
    time: Option<Timestamp>,
    #[prost(message, optional, tag = "5")]
    ip: Option<Ip>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Ip {
    #[prost(string, tag = "1")]
    source: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Lost {
    #[prost(uint64, tag = "2")]
    count: u64,
}

/// An open stream.
pub(crate) struct Follower {
    /// What it was given so far.
    pub(crate) so_far: Account,
    last: Option<u32>,
    responses: tonic::Streaming<bytes::Bytes>,
}

impl Follower {
    /// Opens a stream over a connection of its own. Everything written from now on concerns it.
    pub(crate) async fn open(agent: &Agent, kind: Kind) -> Result<Self> {
        let request = GetFlowsRequest {
            follow: true,
            whitelist: match kind {
                Kind::Filtered { port } => vec![FlowFilter {
                    destination_port: vec![port.to_string()],
                    ..FlowFilter::default()
                }],
                Kind::Whole | Kind::Slow => Vec::new(),
            },
            field_mask: matches!(kind, Kind::Filtered { .. }).then(|| FieldMask {
                paths: vec!["IP".to_owned(), "time".to_owned()],
            }),
            ..GetFlowsRequest::default()
        };
        let mut client = ObserverClient::new(agent.channel().await?);
        let responses = client.get_flows(request).await?.into_inner();
        let so_far = Account {
            kind,
            delivered: 0,
            lost: 0,
            delays_us: Vec::new(),
        };
        Ok(Self {
            so_far,
            last: None,
            responses,
        })
    }

    /// Takes one response; the number of its flow, if it has one.
    pub(crate) async fn next(&mut self) -> Result<Option<u32>> {
        let Some(bytes) = self.responses.message().await? else {
            bail!("the stream ended");
        };
        let response = Response::decode(bytes)?;
        if let Some(lost) = response.lost {
            ensure!(lost.count > 0, "a loss of nothing");
            self.so_far.lost += lost.count;
        }
        let Some(flow) = response.flow else {
            return Ok(None);
        };
        let source = flow.ip.unwrap_or_default().source;
        let number = Packets::number(&source).with_context(|| format!("a flow from {source:?}"))?;
        ensure!(
            self.last.is_none_or(|last| last < number),
            "flow {number} after {:?}",
            self.last
        );
        if let Kind::Filtered { port } = self.so_far.kind {
            ensure!(
                Packets::port(number) == port,
                "flow {number} is not asked for"
            );
            let delay = since(flow.time.unwrap_or_default())?;
            let delay_us = u32::try_from(delay.as_micros()).unwrap_or(u32::MAX);
            self.so_far.delays_us.push(delay_us);
        }
        self.last = Some(number);
        self.so_far.delivered += 1;
        Ok(Some(number))
    }

    /// Reads until everything that was written is accounted for. `written` is told when it is all
    /// there, the last of it for each port.
    pub(crate) async fn account(
        mut self,
        mut written: watch::Receiver<Option<u32>>,
    ) -> Result<Account> {
        let kind = self.so_far.kind;
        let all = loop {
            if let Some(all) = *written.borrow_and_update() {
                break all;
            }
            tokio::select! {
                read = self.next() => {
                    read?;
                    if kind == Kind::Slow {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                changed = written.changed() => changed?,
            }
        };
        while !self.is_complete(all)? {
            let next = tokio::time::timeout(PATIENCE, self.next());
            next.await.with_context(|| {
                let Account {
                    delivered, lost, ..
                } = self.so_far;
                format!("{kind:?}: {delivered} and {lost} lost of {all} written, then silence")
            })??;
        }
        Ok(self.so_far)
    }

    /// Whether all that was written came or was told to be lost; an error if it is more.
    fn is_complete(&self, written: u32) -> Result<bool> {
        let Account {
            kind,
            delivered,
            lost,
            ..
        } = self.so_far;
        let told = delivered + lost;
        match kind {
            Kind::Whole | Kind::Slow => {
                ensure!(told <= u64::from(written), "{told} of {written} flows");
                Ok(told == u64::from(written))
            }
            // Losses are those of the ring, whatever they would have been.
            Kind::Filtered { port } => {
                let wanted = Packets::to_port(written, port);
                let is_at_end = self.last.is_some_and(|last| last + PORTS >= written);
                Ok(is_at_end && wanted - delivered <= lost)
            }
        }
    }
}

/// How long ago that was.
fn since(time: Timestamp) -> Result<Duration> {
    let time = SystemTime::try_from(time)?.duration_since(UNIX_EPOCH)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(now.saturating_sub(time))
}
