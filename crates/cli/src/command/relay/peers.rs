//! Where a relay's nodes come from, and how they are reached: what was typed.

use std::{net::SocketAddr, path::PathBuf};

use flow_api::{
    connect::Target,
    server::{TlsClientFiles, TlsVersion},
};
use flow_observer::agent::DEFAULT_SOCKET;
use relay::{Config, PeerNames, PeerSlices, StaticPeer};

use crate::command::serving::tls_version;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Nodes")]
#[group(skip)]
pub(super) struct Args {
    /// Agent that announces the nodes [default: the one on this host, unless nodes are found in
    /// another way]
    #[arg(long, value_name = "TARGET")]
    peer_service: Option<Target>,

    /// A node to serve, whatever others say; may be given more than once. `,server-name=NAME` after
    /// it says which name its certificate has
    #[arg(long = "peer", value_name = "NAME=ADDR")]
    peers: Vec<StaticPeer>,

    /// File of nodes, each on a line as NAME=ADDR, or YAML; read again when it changes. May be given
    /// more than once
    #[arg(long, value_name = "FILE")]
    peers_file: Vec<PathBuf>,

    /// Kubernetes service whose endpoints are the nodes, as kube-system/hubble-peer; may be given
    /// more than once
    #[arg(long, value_name = "NAMESPACE/SERVICE[:PORT]")]
    peer_endpoints: Vec<PeerSlices>,

    /// Kubeconfig by which endpoints are asked for [default: this pod's service account, else the
    /// usual file]
    #[arg(long, value_name = "FILE", requires = "peer_endpoints")]
    kubeconfig: Option<PathBuf>,

    /// Its context to use [default: the current one]
    #[arg(long, value_name = "NAME", requires = "peer_endpoints")]
    kube_context: Option<String>,

    /// Name in DNS whose addresses are the nodes, asked for again and again: HOST, HOST:PORT, or
    /// _SERVICE._PROTOCOL.NAME for SRV records. May be given more than once
    #[arg(long, value_name = "NAME")]
    peer_dns: Vec<PeerNames>,

    /// DNS server to ask, as 192.0.2.53:53; may be given more than once [default: the system's]
    #[arg(long, value_name = "ADDR:PORT", requires = "peer_dns")]
    dns_server: Vec<SocketAddr>,

    /// Reach nodes by IPv6 where they have addresses of both families
    #[arg(long)]
    prefer_ipv6: bool,

    /// Cluster of nodes whose names do not say theirs; part of the names in their certificates
    #[arg(long, value_name = "NAME", default_value = "default")]
    cluster_name: String,

    /// Folder of certificates for nodes: `tls.crt`, `tls.key` and `ca.crt` as in a Kubernetes secret,
    /// or `client.crt`, `client.key` and `hubble-server-ca.crt` as where Cilium mounts those of
    /// Hubble's relay. Files that change are read again. Without certificates, nodes are reached in
    /// plain text
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = ["peer_tls_cert_file", "peer_tls_key_file", "peer_tls_ca_files"]
    )]
    peer_tls_dir: Option<PathBuf>,

    /// Certificate that is shown to nodes, followed by its intermediates
    #[arg(
        long,
        alias = "tls-hubble-client-cert-file",
        value_name = "FILE",
        requires_all = ["peer_tls_key_file", "peer_tls_ca_files"]
    )]
    peer_tls_cert_file: Option<PathBuf>,

    /// Private key of the certificate
    #[arg(
        long,
        alias = "tls-hubble-client-key-file",
        value_name = "FILE",
        requires = "peer_tls_cert_file"
    )]
    peer_tls_key_file: Option<PathBuf>,

    /// Authorities of nodes, with commas between
    #[arg(
        long,
        alias = "tls-hubble-server-ca-files",
        value_name = "FILES",
        value_delimiter = ','
    )]
    peer_tls_ca_files: Vec<PathBuf>,

    /// Oldest version of TLS to speak with nodes: 1.2 or 1.3
    #[arg(long, value_name = "VERSION", default_value = "1.3", value_parser = tls_version)]
    peer_tls_min_version: TlsVersion,

    /// Name in the certificate of the peer service [default:
    /// hubble-peer.CLUSTER.hubble-grpc.cilium.io]
    #[arg(long, value_name = "NAME")]
    peer_service_server_name: Option<String>,
}

impl Args {
    /// Puts into the configuration what was typed.
    pub(super) fn apply(self, config: &mut Config) {
        let has_others = !self.peers.is_empty()
            || !self.peers_file.is_empty()
            || !self.peer_endpoints.is_empty()
            || !self.peer_dns.is_empty();
        config.peer_service = match self.peer_service {
            None if !has_others => Some(Target::Unix(DEFAULT_SOCKET.into())),
            given => given,
        };
        let identity = self.peer_tls_cert_file.zip(self.peer_tls_key_file);
        config.peer_tls = match self.peer_tls_dir {
            Some(folder) => Some(TlsClientFiles::Folder(folder)),
            None if self.peer_tls_ca_files.is_empty() => None,
            None => Some(TlsClientFiles::Each {
                identity,
                server_cas: self.peer_tls_ca_files,
            }),
        };
        config.peers = self.peers;
        config.peer_files = self.peers_file;
        config.peer_slices = self.peer_endpoints;
        config.kubeconfig = self.kubeconfig;
        config.kube_context = self.kube_context;
        config.peer_names = self.peer_dns;
        config.dns_servers = self.dns_server;
        config.prefer_ipv6 = self.prefer_ipv6;
        config.cluster_name = self.cluster_name;
        config.peer_tls_oldest = self.peer_tls_min_version;
        config.peer_service_name = self.peer_service_server_name;
    }
}
