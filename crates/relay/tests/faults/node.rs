//! Nodes that make flows with numbers all the time, from when they are followed.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use flow_api::flow::Flow;
use flow_api::observer::GetFlowsResponse;
use flow_api::observer::get_flows_response::ResponseTypes;
use prost::Message as _;
use testbed::Node as Place;

use crate::support::FakePeer;

/// What begins the arguments of a node in a process of its own.
pub(crate) const ROLE: &str = "as-node";

/// Between two flows.
const PAUSE: Duration = Duration::from_millis(20);

/// Where nodes in namespaces listen.
const PORT: u16 = 4244;

/// A flow with a number, and as many bytes more as are wanted.
pub(crate) fn numbered(node: &str, at: SystemTime, number: u64, padding: usize) -> Bytes {
    let response = GetFlowsResponse {
        response_types: Some(ResponseTypes::Flow(Flow {
            uuid: number.to_string(),
            node_labels: vec!["x".repeat(padding)],
            ..Flow::default()
        })),
        node_name: node.to_owned(),
        time: Some(at.into()),
    };
    response.encode_to_vec().into()
}

/// What a node sends as its flow of this number, and when it says that it was.
pub(crate) type Manner = fn(node: &str, number: u64) -> Vec<(SystemTime, Bytes)>;

/// One flow, of this moment.
pub(crate) fn honest(node: &str, number: u64) -> Vec<(SystemTime, Bytes)> {
    let now = SystemTime::now();
    vec![(now, numbered(node, now, number, 0))]
}

/// A node of this process that makes flows until it is told to stop.
pub(crate) struct Node {
    pub(crate) name: String,
    peer: Arc<Mutex<FakePeer>>,
    made: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    /// An honest one.
    pub(crate) fn new(name: &str) -> Self {
        Self::of(FakePeer::new(name), 0, honest)
    }

    /// One of a certain manner, whose first number comes after `last`.
    pub(crate) fn of(peer: FakePeer, last: u64, manner: Manner) -> Self {
        let name = peer.name.clone();
        let peer = Arc::new(Mutex::new(peer));
        let made = Arc::new(AtomicU64::new(last));
        let is_over = Arc::new(AtomicBool::new(false));
        let (its_peer, its_made, told) =
            (Arc::clone(&peer), Arc::clone(&made), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            while lock(&its_peer).open_streams() == 0 && !told.load(Ordering::SeqCst) {
                thread::sleep(PAUSE);
            }
            while !told.load(Ordering::SeqCst) {
                let number = its_made.load(Ordering::SeqCst) + 1;
                let peer = lock(&its_peer);
                for (at, bytes) in manner(&peer.name, number) {
                    peer.raw(at.into(), bytes);
                }
                drop(peer);
                its_made.store(number, Ordering::SeqCst);
                thread::sleep(PAUSE);
            }
        });
        Self {
            name,
            peer,
            made,
            is_over,
            thread: Some(thread),
        }
    }

    /// An honest one at a place of a test's network.
    pub(crate) fn at(place: &Place) -> Result<Self> {
        let address = address(place).to_string();
        let peer = place
            .namespace()
            .run(|| Ok(FakePeer::tcp(place.name(), &address, None)))?;
        Ok(Self::of(peer, 0, honest))
    }

    /// To do something to it.
    pub(crate) fn peer(&self) -> MutexGuard<'_, FakePeer> {
        lock(&self.peer)
    }

    /// As a relay is told of it.
    pub(crate) fn listed(&self) -> String {
        format!("{}={}", self.name, self.peer().address())
    }

    /// Makes no more; returns the last number.
    pub(crate) fn stop(&mut self) -> u64 {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.made.load(Ordering::SeqCst)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock(peer: &Mutex<FakePeer>) -> MutexGuard<'_, FakePeer> {
    peer.lock().unwrap_or_else(PoisonError::into_inner)
}

fn address(place: &Place) -> SocketAddr {
    let [ipv4, _] = place.ips();
    SocketAddr::new(ipv4, PORT)
}

/// A node in a process of its own; killed on drop.
pub(crate) struct NodeProcess(pub(crate) Child);

impl NodeProcess {
    /// Its first number comes after `last`.
    pub(crate) fn start(place: &Place, last: u64) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args([ROLE, place.name(), &address(place).to_string()])
            .arg(last.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Ok(Self(place.spawn(command)?))
    }

    /// As a relay is told of it.
    pub(crate) fn listed(place: &Place) -> String {
        format!("{}={}", place.name(), address(place))
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // Both fail only for a child that has ended and been reaped already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The process: makes flows until it is killed.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [name, address, last] = arguments else {
        anyhow::bail!("{arguments:?}: expected a name, an address and a number");
    };
    let last = last
        .parse()
        .with_context(|| format!("{last:?} is no number"))?;
    let _node = Node::of(FakePeer::tcp(name, address, None), last, honest);
    loop {
        thread::park();
    }
}
