//! What a relay needs to know, and why it does not run.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use flow_api::connect::Target;
use flow_api::server::{ServeError, SocketAccess, TlsClientFiles, TlsError, TlsServer, TlsVersion};

use crate::access::TokensError;
use crate::defaults;
use crate::discovery::{NamesError, PeerFileError, PeerNames};
#[cfg(feature = "kubernetes")]
use crate::discovery::{PeerSlices, SlicesError};
use crate::listen::Listen;
use crate::pace::Pace;
use crate::peers::{DEFAULT_CLUSTER, StaticPeer};

/// What a relay needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect: one or more addresses.
    pub listen: Vec<Listen>,
    /// Who may connect to those that are Unix sockets.
    pub socket_access: SocketAccess,
    /// Certificates for those that are TCP; plain text without.
    pub tls: Option<TlsServer>,
    /// Nodes that are always peers. Where several sources tell of the same name, the first in the
    /// order of these fields wins.
    pub peers: Vec<StaticPeer>,
    /// Files of peers, followed.
    pub peer_files: Vec<PathBuf>,
    /// An agent that announces the nodes; asked again whenever its stream ends.
    pub peer_service: Option<Target>,
    /// The name in the peer service's certificate; the cluster's own for `None`.
    pub peer_service_name: Option<String>,
    /// Kubernetes services whose endpoints are peers.
    #[cfg(feature = "kubernetes")]
    pub peer_slices: Vec<PeerSlices>,
    /// Who to ask for them; for `None`, as the pod that this is, or by the usual kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// Its context to use; the current one for `None`.
    pub kube_context: Option<String>,
    /// Names in DNS behind which there are peers.
    pub peer_names: Vec<PeerNames>,
    /// Who to ask for them; the system's servers if there are none.
    pub dns_servers: Vec<SocketAddr>,
    /// Whether nodes that have addresses of both families are reached by IPv6, as far as this is the
    /// relay's to choose.
    pub prefer_ipv6: bool,
    /// Certificates for peers and for the peer service; plain text without.
    pub peer_tls: Option<TlsClientFiles>,
    /// The oldest version of TLS to speak with peers.
    pub peer_tls_oldest: TlsVersion,
    /// The cluster of nodes whose names do not say theirs.
    pub cluster_name: String,
    /// Tokens of clients, followed; without, whoever can connect sees everything.
    pub tokens_file: Option<PathBuf>,
    /// Where each call is written down, `-` for standard output; nowhere for `None`.
    pub audit_log: Option<PathBuf>,
    /// Where metrics are served, and `/healthz` and `/readyz`; nowhere for `None`.
    pub metrics_listen: Option<SocketAddr>,
    /// How they are encrypted; not at all for `None`.
    pub metrics_tls: Option<TlsServer>,
    /// Where health alone is served, in plain text whatever [`Config::tls`] is: those who probe
    /// seldom have certificates.
    pub health_listen: Option<Listen>,
    /// How long a following call holds a flow back for peers that say nothing.
    pub max_hold: Duration,
    /// Told of the calls that are open; what else is done with it is the caller's to decide.
    pub pace: Pace,
    /// How often a peer is asked whether it still lives, besides that its connection stands; less
    /// often where there are thousands.
    pub probe_interval: Duration,
    /// The longest pause between attempts to reach the peer service.
    pub retry_timeout: Duration,
    /// The relay's own name, in whose name status events come.
    pub node_name: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![Listen::default()],
            socket_access: SocketAccess::default(),
            tls: None,
            peers: Vec::new(),
            peer_files: Vec::new(),
            peer_service: None,
            peer_service_name: None,
            #[cfg(feature = "kubernetes")]
            peer_slices: Vec::new(),
            kubeconfig: None,
            kube_context: None,
            peer_names: Vec::new(),
            dns_servers: Vec::new(),
            prefer_ipv6: false,
            peer_tls: None,
            peer_tls_oldest: TlsVersion::default(),
            cluster_name: DEFAULT_CLUSTER.to_owned(),
            tokens_file: None,
            audit_log: None,
            metrics_listen: None,
            metrics_tls: None,
            health_listen: None,
            max_hold: defaults::MAX_HOLD,
            pace: Pace::default(),
            probe_interval: defaults::PROBE_INTERVAL,
            retry_timeout: defaults::RETRY_TIMEOUT,
            node_name: String::new(),
        }
    }
}

/// Why a relay does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The address is taken, or not ours to take.
    #[error("cannot listen on {listen}: {reason}")]
    Listen {
        /// The address.
        listen: Listen,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Nobody could ask it anything.
    #[error("no address to listen on")]
    NoAddress,
    /// A relay without peers would never show anything.
    #[error("no peers: name a peer service or at least one peer")]
    NoPeers,
    /// A file of peers is not there, or broken.
    #[error(transparent)]
    PeerFile(#[from] PeerFileError),
    /// The file of tokens is not there, or broken.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The audit log cannot be written.
    #[error("cannot write the audit log {}: {reason}", file.display())]
    Audit {
        /// The file.
        file: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// There is no DNS.
    #[error(transparent)]
    Names(#[from] NamesError),
    /// There is no API server.
    #[cfg(feature = "kubernetes")]
    #[error(transparent)]
    Slices(#[from] SlicesError),
    /// The certificates for peers cannot be used.
    #[error("cannot connect to peers")]
    PeerTls(#[source] TlsError),
    /// The description of the services is broken: a fault in the build.
    #[error("cannot describe the services for reflection: {reason}")]
    Reflection {
        /// What is wrong with it.
        reason: String,
    },
    /// The server ended by itself; mostly because of certificates.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl RelayError {
    pub(crate) fn reflection(error: tonic_reflection::server::Error) -> Self {
        Self::Reflection {
            reason: error.to_string(),
        }
    }
}
