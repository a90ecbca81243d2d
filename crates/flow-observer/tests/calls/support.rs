//! A running agent without a source of its own, or with flows from a file.

use std::{fs, path::PathBuf, time::Duration};

use flow_api::{
    connect::{self, ConnectOptions, Target},
    observer::{GetFlowsRequest, ServerStatusRequest, observer_client::ObserverClient},
};
use flow_observer::{
    agent::{self, AgentError, Config, DEFAULT_LOST_EVENT_INTERVAL},
    enrich::{
        ContainerMode, Settings,
        kubernetes::{Mode, Settings as Kubernetes},
    },
    source::{SourceOptions, SourceSpec},
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// How long anything may take that takes milliseconds on a machine with nothing else to do.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The agent's node.
pub(crate) const NODE: &str = "node-1";

pub(crate) struct Agent {
    pub(crate) channel: Channel,
    pub(crate) files: TempDir,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), AgentError>>,
}

/// What an agent is to know.
#[derive(Default)]
pub(crate) struct Setup {
    /// An inventory file.
    pub(crate) inventory: String,
    /// Flows, as JSON lines.
    pub(crate) flows: String,
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) cluster: Option<&'static str>,
}

impl Agent {
    pub(crate) async fn start(setup: Setup) -> Self {
        let files = TempDir::new().unwrap();
        let inventory = files.path().join("inventory.yaml");
        fs::write(&inventory, &setup.inventory).unwrap();
        let spec = if setup.flows.is_empty() {
            SourceSpec::None
        } else {
            let path = files.path().join("flows.jsonl");
            fs::write(&path, &setup.flows).unwrap();
            SourceSpec::Replay(path)
        };
        let mut enrich = Settings::default();
        if let Some(cluster) = setup.cluster {
            enrich.cluster_name = cluster.into();
        }
        let socket = files.path().join("observer.sock");
        let config = Config {
            node_name: NODE.to_owned(),
            socket: socket.clone(),
            socket_access: Default::default(),
            listen: None,
            inventory: Some(inventory),
            enrich,
            kubernetes: Kubernetes {
                mode: match setup.kubeconfig {
                    Some(_) => Mode::On,
                    None => Mode::Off,
                },
                kubeconfig: setup.kubeconfig,
                ..Kubernetes::default()
            },
            containers: ContainerMode::Off,
            source: SourceOptions::from(spec),
            exchanges: Default::default(),
            ring: Default::default(),
            lost_event_interval: DEFAULT_LOST_EVENT_INTERVAL,
            prefer_ipv6: false,
            metrics: None,
            export: flow_observer::export::Config::default(),
        };
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(agent::run(config, shutdown.clone()));
        let target = Target::Unix(socket);
        let started = tokio::time::Instant::now();
        let channel = loop {
            match connect::connect(&target, &ConnectOptions::default()).await {
                Ok(channel) => break channel,
                Err(error) => assert!(started.elapsed() < DEADLINE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        Self {
            channel,
            files,
            shutdown,
            running,
        }
    }

    pub(crate) fn observer(&self) -> ObserverClient<Channel> {
        ObserverClient::new(self.channel.clone())
    }

    /// Waits until this many flows are in the ring.
    pub(crate) async fn await_flows(&self, count: u64) {
        let started = tokio::time::Instant::now();
        loop {
            let mut client = self.observer();
            let status = client.server_status(ServerStatusRequest {});
            if status.await.unwrap().into_inner().num_flows >= count {
                return;
            }
            assert!(started.elapsed() < DEADLINE, "not {count} flows in time");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Tells the agent to end.
    pub(crate) fn shut_down(&self) {
        self.shutdown.cancel();
    }

    /// Waits for the agent to have ended.
    pub(crate) async fn ended(self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(DEADLINE, self.running).await;
        ended.unwrap().unwrap().unwrap();
    }
}

pub(crate) fn everything() -> GetFlowsRequest {
    GetFlowsRequest {
        number: u64::MAX,
        ..GetFlowsRequest::default()
    }
}

/// A flow as a line of JSON, at a time in milliseconds since 1970.
pub(crate) fn flow_line(millis: i64, namespace: &str) -> String {
    let seconds = millis / 1000;
    let time = prost_types::Timestamp {
        seconds,
        nanos: (millis % 1000) as i32 * 1_000_000,
    };
    let flow = flow_api::flow::Flow {
        time: Some(time),
        uuid: millis.to_string(),
        verdict: flow_api::flow::Verdict::Forwarded.into(),
        node_name: NODE.to_owned(),
        source: Some(flow_api::flow::Endpoint {
            namespace: namespace.to_owned(),
            pod_name: "web-0".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let response = flow_api::observer::GetFlowsResponse {
        node_name: NODE.to_owned(),
        time: Some(time),
        response_types: Some(flow_api::observer::get_flows_response::ResponseTypes::Flow(
            flow,
        )),
    };
    flow_api::json::to_string(&response) + "\n"
}

/// Milliseconds since 1970.
pub(crate) fn now_millis() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_millis() as i64
}
