//! Mock peers: one listener, a node at each address of 127.0.0.0/8 that is asked for. They speak as
//! much of HTTP/2 as a relay needs of a server, and write ready bytes; what they cost is not measured.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use flow_api::{connect::Target, observer::GetFlowsRequest};
use prost::Message as _;
use relay::StaticPeer;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::Instant,
};

use crate::{
    connection::Connection,
    message::{Messages, now},
};

/// How long before now a peer says that all is sent, as agents do.
pub(crate) const PROGRESS_LAG: Duration = Duration::from_millis(10);

/// A node keeps so many times of flows, for a relay that comes back.
const KEPT: usize = 1024;

/// What peers do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Behaviour {
    /// Flows that each holds when it is asked for what it has.
    pub(crate) held: u64,
    /// Flows per second of each that follow.
    pub(crate) rate: f64,
    /// Their clocks are wrong by at most so much.
    pub(crate) skew: Duration,
    /// From a flow's time until it is sent it takes at most so long.
    pub(crate) jitter: Duration,
    /// Of the flows, those that are told as lost.
    pub(crate) loss: f64,
    /// Of the peers, those whose connection breaks within a second.
    pub(crate) flap: f64,
    /// Peers that have nothing to send say so at this interval.
    pub(crate) progress: Option<Duration>,
}

/// All peers.
pub(crate) struct Peers {
    pub(crate) behaviour: Behaviour,
    pub(crate) messages: Messages,
    /// When their stored flows begin.
    pub(crate) began: Duration,
    nodes: Vec<Mutex<Node>>,
    /// Flows that they have made in a follow.
    pub(crate) made: AtomicU64,
    /// Flows that they have told as lost.
    pub(crate) lost: AtomicU64,
    pub(crate) connections: AtomicUsize,
    /// Connections with a `GetFlows` call.
    pub(crate) asked: AtomicUsize,
    /// When set, following peers make no more flows.
    pub(crate) quiet: std::sync::atomic::AtomicBool,
}

/// What of a peer outlives its connections.
#[derive(Default)]
pub(crate) struct Node {
    /// Times of its last flows, and whether each is told as lost.
    pub(crate) history: std::collections::VecDeque<(Duration, u64, bool)>,
    pub(crate) number: u64,
    pub(crate) skew_ns: i64,
    pub(crate) newest: Duration,
}

impl Node {
    /// Notes a flow of this moment, whose way to the relay took so long already.
    pub(crate) fn make(&mut self, behaviour: &Behaviour) -> (Duration, u64, bool) {
        let delay = behaviour.jitter.mul_f64(fastrand::f64());
        let time = self.clock(now().saturating_sub(delay));
        let time = time.max(self.newest + Duration::from_nanos(1));
        self.newest = time;
        self.number += 1;
        let flow = (time, self.number, fastrand::f64() < behaviour.loss);
        if self.history.len() == KEPT {
            self.history.pop_front();
        }
        self.history.push_back(flow);
        flow
    }

    /// What its clock shows.
    pub(crate) fn clock(&self, time: Duration) -> Duration {
        let skew = Duration::from_nanos(self.skew_ns.unsigned_abs());
        if self.skew_ns < 0 {
            time.saturating_sub(skew)
        } else {
            time + skew
        }
    }
}

impl Peers {
    /// Starts so many peers on a thread of their own; they end with the process.
    pub(crate) fn start(count: u32, behaviour: Behaviour) -> Result<(Arc<Self>, u16)> {
        let skew_ns = behaviour.skew.as_nanos() as i64;
        let nodes = (0..count).map(|_| {
            Mutex::new(Node {
                skew_ns: fastrand::i64(-skew_ns..=skew_ns),
                ..Node::default()
            })
        });
        let peers = Arc::new(Self {
            behaviour,
            messages: Messages::new(),
            began: now() - Duration::from_secs(3600),
            nodes: nodes.collect(),
            made: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            quiet: false.into(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = runtime.block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.bind((Ipv4Addr::UNSPECIFIED, 0).into())?;
            socket.listen(4096)
        })?;
        let port = listener.local_addr()?.port();
        let shared = Arc::clone(&peers);
        std::thread::spawn(move || runtime.block_on(shared.accept(listener)));
        Ok((peers, port))
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let peers = Arc::clone(&self);
            tokio::spawn(async move {
                peers.connections.fetch_add(1, Ordering::Relaxed);
                // However it ends: it is the relay's to make a new one.
                drop(peers.serve(stream).await);
                peers.connections.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    async fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let peer = index(stream.local_addr()?);
        let connection = Connection::new(self, peer, stream);
        let flap = self.behaviour.flap;
        if flap <= 0.0 {
            return connection.run().await;
        }
        // Exponential, so that flapping peers do not flap together.
        let lives = Duration::from_secs_f64(-fastrand::f64().max(1e-9).ln() / flap);
        let ends = Instant::now() + lives;
        tokio::time::timeout_at(ends, connection.run())
            .await
            .unwrap_or(Ok(()))
    }

    pub(crate) fn with_node<T>(&self, peer: u32, act: impl FnOnce(&mut Node) -> T) -> T {
        let index = peer as usize % self.nodes.len();
        let mut node = self.nodes[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        act(&mut node)
    }
}

/// What a relay is told of them.
pub(crate) fn addresses(count: u32, port: u16) -> Result<Vec<StaticPeer>> {
    (0..count)
        .map(|peer| {
            let [_, a, b, c] = (peer + 1).to_be_bytes();
            Ok(StaticPeer {
                name: format!("peer-{peer:05}"),
                address: format!("127.{a}.{b}.{c}:{port}").parse::<Target>()?,
                tls_server_name: None,
            })
        })
        .collect()
}

/// Which peer was called.
fn index(address: SocketAddr) -> u32 {
    match address.ip() {
        IpAddr::V4(ip) => (ip.to_bits() & 0x00ff_ffff).saturating_sub(1),
        IpAddr::V6(_) => 0,
    }
}

/// A request for flows; `None` for what has no content, as a question about health.
pub(crate) fn request(body: &[u8]) -> Option<GetFlowsRequest> {
    let message = body.get(5..).filter(|message| !message.is_empty())?;
    GetFlowsRequest::decode(message).ok()
}
