//! Where peers come from: the configuration in, sources that are ready to be asked out.

use std::sync::Arc;

use flow_api::connect::Target;
use flow_api::server::{TlsClient, TlsClientFiles};

use crate::config::{Config, RelayError};
use crate::dial::Dialer;
#[cfg(feature = "kubernetes")]
use crate::discovery::Slices;
use crate::discovery::{Names, Notify, PeerFile, Source};
use crate::peers::{Rules, server_name};

/// What stands for a node in the name of the peer service's certificate, as in Hubble.
const PEER_SERVICE_NODE: &str = "hubble-peer";

/// Where peers come from, ready to be asked.
pub(crate) struct Sources {
    /// How peers are reached.
    pub(crate) rules: Rules,
    /// Certificates for them.
    pub(crate) tls: Option<Arc<TlsClient>>,
    /// Who tells of them, besides the fixed list.
    pub(crate) sources: Vec<Source>,
}

impl Sources {
    /// Reads what is to be read, and asks nobody yet.
    ///
    /// # Errors
    /// When a file, a certificate or a way to ask is broken, or there is no source at all.
    pub(crate) async fn of(config: &Config) -> Result<Self, RelayError> {
        let rules = Rules {
            has_tls: config.peer_tls.is_some(),
            cluster: config.cluster_name.clone(),
        };
        let wants_tls = |target: &Target| matches!(target, Target::Tls { .. });
        let files = match &config.peer_tls {
            Some(files) => Some(files.clone()),
            // As those who ask for TLS in an address expect it: by what the system trusts.
            None if config.peers.iter().any(|peer| wants_tls(&peer.address))
                || config.peer_service.as_ref().is_some_and(wants_tls)
                || !config.peer_files.is_empty() =>
            {
                Some(TlsClientFiles::Each {
                    identity: None,
                    server_cas: Vec::new(),
                })
            }
            None => None,
        };
        let tls = match files {
            Some(files) => Some(Arc::new(
                TlsClient::read(files, config.peer_tls_oldest).map_err(RelayError::PeerTls)?,
            )),
            None => None,
        };
        let mut sources = Vec::new();
        for file in &config.peer_files {
            sources.push(Source::File(PeerFile::open(file, &rules)?));
        }
        if let Some(service) = &config.peer_service {
            sources.push(Source::Notify(Notify {
                dialer: peer_service(service, config, &rules, tls.as_ref()),
                service: service.clone(),
                rules: rules.clone(),
                retry_timeout: config.retry_timeout,
            }));
        }
        #[cfg(feature = "kubernetes")]
        for slices in &config.peer_slices {
            let slices = Slices::new(
                slices.clone(),
                config.kubeconfig.clone(),
                config.kube_context.clone(),
                rules.clone(),
                config.prefer_ipv6,
            );
            sources.push(Source::Slices(Box::new(slices.await?)));
        }
        for names in &config.peer_names {
            let servers = &config.dns_servers;
            let names = Names::new(names.clone(), servers, rules.clone(), config.prefer_ipv6)?;
            sources.push(Source::Names(Box::new(names)));
        }
        if sources.is_empty() && config.peers.is_empty() {
            return Err(RelayError::NoPeers);
        }
        Ok(Self {
            rules,
            tls,
            sources,
        })
    }
}

/// How the peer service is reached: as peers are, under a name that is the same in all clusters.
fn peer_service(
    service: &Target,
    config: &Config,
    rules: &Rules,
    tls: Option<&Arc<TlsClient>>,
) -> Dialer {
    let (host, port) = match service {
        Target::Tls { host, port } => (host, *port),
        Target::Tcp { host, port } if rules.has_tls => (host, *port),
        Target::Tcp { .. } | Target::Unix(_) => return Dialer::new(service.clone(), None),
    };
    let name = match &config.peer_service_name {
        Some(name) => name.clone(),
        None if rules.has_tls => server_name(PEER_SERVICE_NODE, &rules.cluster),
        None => host.clone(),
    };
    let target = Target::Tls {
        host: host.clone(),
        port,
    };
    Dialer::new(target, tls.map(|tls| (Arc::clone(tls), name)))
}
