//! The other side of TLS: whom a client trusts and who it is, of files that are read again when they
//! change.
//!
//! A connection uses what holds when it begins, so that certificates are renewed without a restart.

use std::{
    error::Error as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::ring};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Protocol, TlsError, TlsVersion,
    files::{Stamps, certificates, in_folder, private_key},
    reload::follow,
};
use crate::server::watched::Watched;

/// The names in a folder: those of a Kubernetes secret, and those under which Cilium's chart mounts
/// the certificates of Hubble's relay.
const LAYOUTS: [[&str; 3]; 2] = [
    ["tls.crt", "tls.key", "ca.crt"],
    ["client.crt", "client.key", "hubble-server-ca.crt"],
];

/// PEM files of a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TlsClientFiles {
    /// `tls.crt`, `tls.key` and `ca.crt`, or `client.crt`, `client.key` and `hubble-server-ca.crt`,
    /// in one folder.
    Folder(PathBuf),
    /// Each by its path.
    Each {
        /// The client's certificate, followed by its intermediates, and its private key; for
        /// servers that ask for one.
        identity: Option<(PathBuf, PathBuf)>,
        /// Authorities of servers; empty means those that this system trusts.
        server_cas: Vec<PathBuf>,
    },
}

impl TlsClientFiles {
    /// The identity and the authorities as they lie now.
    fn paths(&self) -> (Option<(PathBuf, PathBuf)>, Vec<PathBuf>) {
        match self {
            Self::Folder(folder) => {
                let [cert, key, authority] = in_folder(folder, LAYOUTS);
                (Some((cert, key)), vec![authority])
            }
            Self::Each {
                identity,
                server_cas,
            } => (identity.clone(), server_cas.clone()),
        }
    }

    fn stamps(&self) -> Stamps {
        let (identity, server_cas) = self.paths();
        let identity = identity.map(|(cert, key)| [cert, key]);
        Stamps::of(identity.iter().flatten().chain(&server_cas))
    }
}

/// How a client encrypts. What is used now is always whole: either all files as they were at one
/// moment, or none.
#[derive(Debug)]
pub struct TlsClient {
    files: TlsClientFiles,
    oldest: TlsVersion,
    /// Without settings, why there are none yet.
    current: ArcSwap<Result<Arc<ClientConfig>, String>>,
    taken: AtomicU64,
    refused: AtomicU64,
}

impl TlsClient {
    /// Reads the files. Those that are missing may come later: until then there is nothing to
    /// connect with.
    ///
    /// # Errors
    /// When a file is there and cannot be used.
    pub fn read(files: TlsClientFiles, oldest: TlsVersion) -> Result<Self, TlsError> {
        let current = match settings(&files, oldest) {
            Ok(settings) => Ok(settings),
            Err(error @ TlsError::Missing { .. }) => {
                warn!(%error, "waiting for it: servers with TLS cannot be reached before");
                Err(error.to_string())
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            files,
            oldest,
            current: ArcSwap::from_pointee(current),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// What the next connection is to use.
    ///
    /// # Errors
    /// Says which file is still missing.
    pub fn current(&self) -> Result<Arc<ClientConfig>, String> {
        self.current.load().as_ref().clone()
    }

    /// Changed files that came into use.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Changed files that could not be used; the ones before hold.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Takes what is new until `closing`.
    pub async fn follow(self: Arc<Self>, closing: CancellationToken) {
        // Nothing is known of what was read at the start, so it is read once more at rest.
        let watched = Watched {
            read: Stamps::of([]),
            found: self.files.stamps(),
        };
        follow(watched, closing, move |watched| self.look(watched)).await;
    }

    /// Takes the files if they are others than before, and at rest.
    fn look(&self, watched: &mut Watched<Stamps>) {
        let is_first = watched.read == Stamps::of([]);
        if !watched.has_changed(self.files.stamps()) {
            return;
        }
        match settings(&self.files, self.oldest) {
            Ok(new) => {
                let had_none = self.current.swap(Arc::new(Ok(new))).is_err();
                if !is_first || had_none {
                    self.taken.fetch_add(1, Ordering::Relaxed);
                    info!("client certificates changed: new connections use them");
                }
            }
            Err(error) => {
                let cause = error.source().map(tracing::field::display);
                if self.current.load().is_ok() {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    warn!(%error, cause, "client certificates are broken: the ones before hold");
                } else {
                    warn!(%error, cause, "client certificates cannot be used");
                    self.current.store(Arc::new(Err(error.to_string())));
                }
            }
        }
    }
}

/// Makes settings of what the files say now.
fn settings(files: &TlsClientFiles, oldest: TlsVersion) -> Result<Arc<ClientConfig>, TlsError> {
    let (identity, server_cas) = files.paths();
    let mut roots = RootCertStore::empty();
    for file in &server_cas {
        for authority in certificates(file)? {
            roots
                .add(authority)
                .map_err(|error| TlsError::unusable(file, error))?;
        }
    }
    if server_cas.is_empty() {
        // Of many, some that cannot be read make no difference to the others.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let told = identity.as_ref().map_or(Path::new(""), |(cert, _)| cert);
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(oldest.and_newer())
        .map_err(|error| TlsError::unusable(told, error))?
        .with_root_certificates(roots);
    let mut config = match &identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|error| TlsError::unusable(cert, error))?,
    };
    config.alpn_protocols = vec![Protocol::Http2.name().to_vec()];
    // Each connection is verified by what holds now.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
