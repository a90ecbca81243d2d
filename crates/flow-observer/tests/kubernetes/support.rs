//! A cluster of one API server, and the provider that follows it.

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use flow_observer::{
    counters::Counters,
    enrich::{
        Directory, Inventory, ProviderState, ProviderStatus, Reports as _,
        kubernetes::{Kubernetes, Mode, Patience, Settings},
    },
    record::Endpoint,
};
use tempfile::TempDir;
use testbed::api_server::{ApiServer, objects};

/// The agent's own node.
pub(crate) const NODE: &str = "worker-1";
/// How long anything may take that takes milliseconds on a machine with nothing else to do.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(2);

pub(crate) struct Cluster {
    pub(crate) server: ApiServer,
    pub(crate) directory: Arc<Directory>,
    pub(crate) counters: Arc<Counters>,
    kubernetes: Option<Kubernetes>,
    settings: Settings,
    _files: TempDir,
}

impl Cluster {
    /// Nobody follows the server yet.
    pub(crate) fn new() -> Self {
        let server = ApiServer::start().unwrap();
        let files = TempDir::new().unwrap();
        let kubeconfig: PathBuf = files.path().join("kubeconfig");
        std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
        server.put(objects::namespace("shop", &[("team", "a")]));
        server.put(objects::node(NODE, "192.0.2.11"));
        server.put(objects::node("worker-2", "192.0.2.12"));
        Self {
            server,
            directory: Arc::new(Directory::new(NODE, Inventory::default())),
            counters: Arc::default(),
            kubernetes: None,
            settings: Settings {
                mode: Mode::Auto,
                kubeconfig: Some(kubeconfig),
                context: None,
                patience: Patience {
                    first: Duration::from_millis(20),
                    longest: Duration::from_millis(200),
                    list_after: Duration::from_millis(500),
                    look_again: Duration::from_millis(100),
                },
            },
            _files: files,
        }
    }

    /// Everything is listed and followed.
    pub(crate) async fn connected() -> Self {
        let mut cluster = Self::new();
        cluster.follow().await;
        cluster.await_state(ProviderState::Connected).await;
        cluster
    }

    pub(crate) async fn follow(&mut self) {
        let (directory, counters) = (Arc::clone(&self.directory), Arc::clone(&self.counters));
        let started = Kubernetes::start(&self.settings, directory, counters).await;
        self.kubernetes = started.unwrap();
    }

    /// As patient as it is for users.
    pub(crate) fn usual_patience(&mut self) {
        self.settings.patience = Patience::default();
    }

    pub(crate) fn put_pod(&self, name: &str, ip: &str) {
        self.server.put(objects::pod("shop", name, ip, NODE));
    }

    pub(crate) fn endpoint(&self, ip: &str) -> Arc<Endpoint> {
        Arc::clone(self.directory.snapshot().endpoint(address(ip)))
    }

    /// The pod that has an address; empty for nobody.
    pub(crate) fn pod_at(&self, ip: &str) -> String {
        self.endpoint(ip).pod_name.to_string()
    }

    pub(crate) async fn await_pod(&self, ip: &str, pod: &str) {
        until(&format!("{ip} is {pod:?}"), || self.pod_at(ip) == pod).await;
    }

    pub(crate) fn status(&self) -> ProviderStatus {
        self.kubernetes.as_ref().unwrap().report()
    }

    pub(crate) fn part(&self, resource: &str) -> ProviderStatus {
        let parts = self.status().parts.into_iter();
        parts
            .into_iter()
            .find(|part| part.name == resource)
            .unwrap()
    }

    pub(crate) async fn await_state(&self, state: ProviderState) {
        until(&format!("{state:?}"), || self.status().state == state).await;
    }

    /// How often something was counted.
    pub(crate) fn errors(&self, kind: &str) -> u64 {
        let counts = self.counters.stages().into_iter();
        let of_kind = counts.filter(|it| it.what == "provider_errors" && it.kind == kind);
        of_kind.map(|it| it.count).sum()
    }
}

pub(crate) fn address(ip: &str) -> IpAddr {
    ip.parse().unwrap()
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl FnMut() -> bool) {
    until_within(DEADLINE, what, condition).await;
}

pub(crate) async fn until_within(
    deadline: Duration,
    what: &str,
    mut condition: impl FnMut() -> bool,
) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < deadline,
            "{what}: not within {deadline:?}"
        );
        tokio::time::sleep(INTERVAL).await;
    }
}

/// How long tests last that may be long: `PALOMAR_TEST_SECONDS`, or a minute where nobody waits for
/// them (`CI`), or what is given.
pub(crate) fn test_seconds(usual: u64) -> Duration {
    let told = std::env::var("PALOMAR_TEST_SECONDS").ok();
    let in_ci = std::env::var_os("CI").map(|_| 60);
    let told = told.and_then(|it| it.parse().ok());
    Duration::from_secs(told.or(in_ci).unwrap_or(usual))
}
