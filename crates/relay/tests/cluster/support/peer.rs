//! A peer that behaves like a small agent: it keeps flows, answers `GetFlows` from them and follows,
//! and does as it is told otherwise. It runs in a runtime of its own, so that it can be killed.

mod answers;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use flow_api::flow::{AgentEvent, Flow, LostEvent};
use flow_api::observer::get_flows_response::ResponseTypes;
use flow_api::observer::{
    GetAgentEventsResponse, GetFlowsRequest, GetFlowsResponse, Namespace, ServerStatusResponse,
};
use flow_api::server::{Limits, Listener, Server as TcpServer, TlsServer};
use flow_api::service::observer_server::ObserverServer;
use prost::Message as _;
use relay::StaticPeer;
use tempfile::TempDir;
use testbed::observer::Scripted;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::transport::Server;

use super::LONG;
use answers::Service;

/// Milliseconds after some moment as the wire has it. 0 is long ago.
pub(crate) fn time(millis: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(millis.rem_euclid(1000)).unwrap() * 1_000_000;
    prost_types::Timestamp {
        seconds: millis.div_euclid(1000),
        nanos,
    }
}

/// One flow of a node as an agent sends it.
pub(crate) fn encoded_flow(node: &str, at: prost_types::Timestamp) -> Bytes {
    let response = GetFlowsResponse {
        response_types: Some(ResponseTypes::Flow(Flow {
            node_name: node.into(),
            time: Some(at),
            // About as large as a flow of a pod.
            uuid: "x".repeat(600),
            ..Flow::default()
        })),
        node_name: node.into(),
        time: Some(at),
    };
    response.encode_to_vec().into()
}

/// What a peer does; tests set it through [`FakePeer`].
#[derive(Default)]
struct Behaviour {
    /// Sent in this order; with the time, for `since`.
    flows: Vec<(prost_types::Timestamp, Bytes)>,
    /// Sent instead of flows beyond this number of them: the stream breaks.
    fail_after: Option<(usize, Status)>,
    refuse: Option<Status>,
    /// Takes calls and never answers.
    hang: bool,
    /// Goes on after a flow that is named, as servers of ours do.
    resumes: bool,
    clock_behind: Duration,
    status: ServerStatusResponse,
    namespaces: Vec<Namespace>,
    agent_events: Vec<Bytes>,
    requests: Vec<(GetFlowsRequest, MetadataMap)>,
}

#[derive(Default)]
struct Shared {
    behaviour: Mutex<Behaviour>,
    /// Counts changes of the behaviour: what followers wait for.
    changed: watch::Sender<u64>,
    open_streams: AtomicUsize,
    flows_sent: AtomicUsize,
}

/// See the [module](self).
pub(crate) struct FakePeer {
    pub(crate) name: String,
    path: PathBuf,
    _dir: TempDir,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
    with_health: bool,
    /// Instead of the socket.
    tcp: Option<(SocketAddr, Option<TlsServer>)>,
}

impl FakePeer {
    /// A peer without flows that is up.
    pub(crate) fn new(name: &str) -> Self {
        let mut peer = Self::down(name);
        peer.start();
        peer
    }

    /// A peer that has sent flows at these milliseconds.
    pub(crate) fn with_flows(name: &str, millis: impl IntoIterator<Item = i64>) -> Self {
        let peer = Self::new(name);
        millis.into_iter().for_each(|millis| peer.flow(millis));
        peer
    }

    /// A peer that is not up yet.
    pub(crate) fn down(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            name: name.into(),
            path: dir.path().join("observer.sock"),
            _dir: dir,
            shared: Arc::default(),
            runtime: None,
            with_health: true,
            tcp: None,
        }
    }

    /// A peer that is up, by TCP; port 0 is any one.
    pub(crate) fn tcp(name: &str, address: &str, tls: Option<TlsServer>) -> Self {
        let mut peer = Self::down(name);
        peer.tcp = Some((address.parse().unwrap(), tls));
        peer.start();
        peer
    }

    pub(crate) fn without_health(name: &str) -> Self {
        let mut peer = Self::down(name);
        peer.with_health = false;
        peer.start();
        peer
    }

    /// Comes up, with the flows that it had before.
    pub(crate) fn start(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let service = Service(Arc::clone(&self.shared));
        let observer = ObserverServer::new(Scripted::new(service));
        if let Some((address, tls)) = &mut self.tcp {
            let listener = {
                let _in_runtime = runtime.enter();
                Listener::tcp(*address, tls.clone()).unwrap()
            };
            *address = listener.address().unwrap();
            let routes = Routes::new(observer)
                .add_service(tonic_health::server::health_reporter().1)
                .prepare();
            let server = TcpServer::new(Limits::default(), Arc::default());
            runtime.spawn(server.serve(vec![listener], routes, CancellationToken::new()));
            self.runtime = Some(runtime);
            return;
        }
        if self.path.exists() {
            std::fs::remove_file(&self.path).unwrap();
        }
        let listener = {
            let _in_runtime = runtime.enter();
            UnixListener::bind(&self.path).unwrap()
        };
        let mut server = Server::builder();
        let mut router = server.add_service(observer);
        if self.with_health {
            router = router.add_service(tonic_health::server::health_reporter().1);
        }
        runtime.spawn(router.serve_with_incoming(UnixListenerStream::new(listener)));
        self.runtime = Some(runtime);
    }

    /// Dies without a word: connections break, the socket's file stays. Nothing that happens after this
    /// is sent by whoever was up before.
    pub(crate) fn kill(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        // Its end is waited for, which none may do who belong to a runtime, as tests do.
        let ending = thread::spawn(move || runtime.shutdown_timeout(LONG));
        ending.join().unwrap();
    }

    /// Does nothing any more, as a process that was stopped: connections stand, and nobody answers.
    /// Dropping what is returned wakes it.
    pub(crate) fn freeze(&self) -> std::sync::mpsc::SyncSender<()> {
        let (waker, woken) = std::sync::mpsc::sync_channel(1);
        // The one thread that does everything.
        self.runtime.as_ref().unwrap().spawn(async move {
            // An error means the same: it is to wake.
            woken.recv().unwrap_or(());
        });
        waker
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn address(&self) -> String {
        match &self.tcp {
            Some((address, _)) => address.to_string(),
            None => format!("unix://{}", self.path.display()),
        }
    }

    pub(crate) fn listed(&self) -> StaticPeer {
        format!("{}={}", self.name, self.address()).parse().unwrap()
    }

    /// A flow happens at this time.
    pub(crate) fn flow(&self, millis: i64) {
        self.flow_at(time(millis));
    }

    /// A flow happens now.
    pub(crate) fn flow_now(&self) {
        self.flow_at(std::time::SystemTime::now().into());
    }

    pub(crate) fn flow_at(&self, at: prost_types::Timestamp) {
        self.raw(at, encoded_flow(&self.name, at));
    }

    /// So many flows are lost at this time, and that is told at another one.
    pub(crate) fn gap(&self, at_millis: i64, told_millis: i64, flows: u64) {
        let lost = LostEvent {
            num_events_lost: flows,
            ..LostEvent::default()
        };
        let response = GetFlowsResponse {
            response_types: Some(ResponseTypes::LostEvents(lost)),
            node_name: self.name.clone(),
            time: Some(time(told_millis)),
        };
        self.raw(time(at_millis), response.encode_to_vec().into());
    }

    /// These bytes come as if they were a flow of this time.
    pub(crate) fn raw(&self, at: prost_types::Timestamp, bytes: Bytes) {
        self.change(|behaviour| behaviour.flows.push((at, bytes)));
    }

    pub(crate) fn fail_after(&self, flows: usize, status: Status) {
        self.change(|behaviour| behaviour.fail_after = Some((flows, status)));
    }

    pub(crate) fn refuse(&self, status: Status) {
        self.change(|behaviour| behaviour.refuse = Some(status));
    }

    pub(crate) fn hang(&self) {
        self.change(|behaviour| behaviour.hang = true);
    }

    pub(crate) fn resume(&self) {
        self.change(|behaviour| behaviour.resumes = true);
    }

    /// Loses all that it had.
    pub(crate) fn forget(&self) {
        self.change(|behaviour| behaviour.flows.clear());
    }

    pub(crate) fn set_clock_behind(&self, by: Duration) {
        self.change(|behaviour| behaviour.clock_behind = by);
    }

    pub(crate) fn set_status(&self, status: ServerStatusResponse) {
        self.change(|behaviour| behaviour.status = status);
    }

    pub(crate) fn set_namespaces(&self, namespaces: &[(&str, &str)]) {
        let namespace = |(cluster, namespace): &(&str, &str)| Namespace {
            cluster: (*cluster).into(),
            namespace: (*namespace).into(),
        };
        self.change(|behaviour| {
            behaviour.namespaces = namespaces.iter().map(namespace).collect();
        });
    }

    /// Something happens to the agent at this time.
    pub(crate) fn agent_event(&self, millis: i64) {
        let event = GetAgentEventsResponse {
            agent_event: Some(AgentEvent::default()),
            node_name: self.name.clone(),
            time: Some(time(millis)),
        };
        let mut behaviour = self.shared.behaviour.lock().unwrap();
        behaviour.agent_events.push(event.encode_to_vec().into());
    }

    /// The `GetFlows` requests so far.
    pub(crate) fn requests(&self) -> Vec<(GetFlowsRequest, MetadataMap)> {
        self.shared.behaviour.lock().unwrap().requests.clone()
    }

    /// The `GetFlows` streams that are open at the moment.
    pub(crate) fn open_streams(&self) -> usize {
        self.shared.open_streams.load(Ordering::SeqCst)
    }

    /// The flows that all `GetFlows` streams have taken so far.
    pub(crate) fn flows_sent(&self) -> usize {
        self.shared.flows_sent.load(Ordering::SeqCst)
    }

    fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.shared.behaviour.lock().unwrap());
        self.shared.changed.send_modify(|count| *count += 1);
    }
}

impl Drop for FakePeer {
    fn drop(&mut self) {
        self.kill();
    }
}
