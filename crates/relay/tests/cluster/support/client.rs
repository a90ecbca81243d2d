//! A client of the relay that decodes what it gets, and never waits for ever.

use std::time::{Duration, Instant};

use flow_api::connect::{ConnectOptions, Target, connect};
use flow_api::observer::get_flows_response::ResponseTypes;
use flow_api::observer::observer_client::ObserverClient;
use flow_api::observer::{GetFlowsRequest, GetFlowsResponse, GetNodesRequest, ServerStatusRequest};
use flow_api::relay::NodeState;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{IntoRequest, Status, Streaming};

use super::LONG;

/// One response, as tests compare it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Item {
    /// Node and milliseconds.
    Flow(String, i64),
    Lost(String, i64),
    /// State, nodes, message.
    Status(NodeState, Vec<String>, String),
}

impl Item {
    pub(crate) fn status(state: NodeState, nodes: &[&str]) -> Self {
        Self::Status(
            state,
            nodes.iter().map(ToString::to_string).collect(),
            String::new(),
        )
    }
}

impl From<GetFlowsResponse> for Item {
    fn from(response: GetFlowsResponse) -> Self {
        let time = response.time.unwrap_or_default();
        let millis = time.seconds * 1000 + i64::from(time.nanos) / 1_000_000;
        match response
            .response_types
            .expect("each response holds something")
        {
            ResponseTypes::Flow(_) => Self::Flow(response.node_name, millis),
            ResponseTypes::LostEvents(_) => Self::Lost(response.node_name, millis),
            ResponseTypes::NodeStatus(event) => {
                assert_eq!(response.node_name, super::RELAY_NAME);
                assert!(response.time.is_some());
                Self::Status(event.state_change(), event.node_names, event.message)
            }
        }
    }
}

/// The flows alone, by time.
pub(crate) fn flow_times(items: &[Item]) -> Vec<i64> {
    let flow = |item: &Item| match item {
        Item::Flow(_, millis) => Some(*millis),
        _ => None,
    };
    items.iter().filter_map(flow).collect()
}

pub(crate) struct Client {
    pub(crate) grpc: ObserverClient<Channel>,
}

impl Client {
    pub(crate) async fn connect(address: &Target) -> Self {
        let channel = connect(address, &ConnectOptions::default()).await.unwrap();
        Self {
            grpc: ObserverClient::new(channel),
        }
    }

    /// Waits until so many nodes are connected.
    pub(crate) async fn connected_nodes(&self, count: usize) {
        let mut grpc = self.grpc.clone();
        let wait = async {
            loop {
                let status = grpc
                    .server_status(ServerStatusRequest {})
                    .await
                    .unwrap()
                    .into_inner();
                if status.num_connected_nodes == Some(u32::try_from(count).unwrap()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, wait).await.expect("all nodes connect");
    }

    /// Waits until so many nodes are known to be down.
    pub(crate) async fn unavailable_nodes(&self, count: usize) {
        let mut grpc = self.grpc.clone();
        let wait = async {
            loop {
                let nodes = grpc
                    .get_nodes(GetNodesRequest {})
                    .await
                    .unwrap()
                    .into_inner()
                    .nodes;
                let down = nodes
                    .iter()
                    .filter(|node| node.state() == NodeState::NodeUnavailable);
                if down.count() == count {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, wait)
            .await
            .expect("the nodes are found to be down");
    }

    pub(crate) async fn flows(&self, request: impl IntoRequest<GetFlowsRequest>) -> Flows {
        let mut grpc = self.grpc.clone();
        let request = request.into_request();
        let stream = timeout(LONG, grpc.get_flows(request))
            .await
            .unwrap()
            .unwrap();
        Flows(stream.into_inner())
    }

    /// All of a finite query.
    pub(crate) async fn all(&self, request: impl IntoRequest<GetFlowsRequest>) -> Vec<Item> {
        self.flows(request).await.rest().await
    }

    pub(crate) async fn follow(&self) -> Flows {
        self.flows(GetFlowsRequest {
            follow: true,
            ..Default::default()
        })
        .await
    }
}

pub(crate) struct Flows(pub(crate) Streaming<GetFlowsResponse>);

impl Flows {
    /// The next one; `None` at the end.
    pub(crate) async fn try_next(&mut self) -> Result<Option<Item>, Status> {
        let next = timeout(LONG, self.0.message())
            .await
            .expect("the stream does not hang");
        Ok(next?.map(Item::from))
    }

    pub(crate) async fn next(&mut self) -> Item {
        self.try_next().await.unwrap().expect("the stream goes on")
    }

    /// The next so many.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Item> {
        let mut items = Vec::new();
        while items.len() < count {
            items.push(self.next().await);
        }
        items
    }

    /// The next flow's time, whatever is told in between.
    pub(crate) async fn next_flow(&mut self) -> i64 {
        loop {
            if let Item::Flow(_, millis) = self.next().await {
                return millis;
            }
        }
    }

    /// The next so many flows and gaps, whatever is told of nodes in between.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<Item> {
        let mut events = Vec::new();
        while events.len() < count {
            let item = self.next().await;
            if !matches!(item, Item::Status(..)) {
                events.push(item);
            }
        }
        events
    }

    /// The next status, whatever flows come in between.
    pub(crate) async fn next_status(&mut self) -> Item {
        loop {
            let item = self.next().await;
            if matches!(item, Item::Status(..)) {
                return item;
            }
        }
    }

    /// Everything up to the end.
    pub(crate) async fn rest(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        while let Some(item) = self.try_next().await.unwrap() {
            items.push(item);
        }
        items
    }

    /// Nothing comes for this long, and the stream does not end.
    pub(crate) async fn stays_quiet_for(&mut self, wait: Duration) {
        if let Ok(next) = timeout(wait, self.0.message()).await {
            panic!(
                "nothing was to come: {:?}",
                next.map(|it| it.map(Item::from))
            );
        }
    }

    /// No flow comes for this long, whatever is told of nodes, and the stream does not end.
    pub(crate) async fn has_no_flow_for(&mut self, wait: Duration) {
        let flow = async {
            loop {
                if let flow @ Item::Flow(..) = self.next().await {
                    return flow;
                }
            }
        };
        if let Ok(flow) = timeout(wait, flow).await {
            panic!("no flow was to come: {flow:?}");
        }
    }

    /// How long the next item takes.
    pub(crate) async fn timed(&mut self) -> (Item, Duration) {
        let start = Instant::now();
        (self.next().await, start.elapsed())
    }
}
