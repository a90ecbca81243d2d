//! Follows certificate files: new ones are used by the next connection, broken ones are not.

use std::{
    error::Error as _,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Protocol, TlsServer,
    files::{Loaded, Stamps, TlsError},
    settings,
};
use crate::server::{counts::ServerCounts, watched::Watched};

/// How often to look. A changed file is read at the second look that finds it the same, so that a
/// new certificate is in use within about two seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often to say that files are missing.
const REMIND_EVERY: Duration = Duration::from_secs(30);

/// How long before a certificate's end that is told.
const EXPIRY_WARNING_SECONDS: i64 = 7 * 24 * 60 * 60;

/// A server's certificates, as they are used now.
#[derive(Debug)]
pub(in crate::server) struct Certificates {
    current: ArcSwap<ServerConfig>,
    tls: TlsServer,
    protocol: Protocol,
    counts: Arc<ServerCounts>,
}

impl Certificates {
    /// Reads the files; waits for them where they are missing.
    ///
    /// # Errors
    /// When they do not come in time, or cannot be used.
    pub(in crate::server) async fn wait_for(
        tls: TlsServer,
        protocol: Protocol,
        counts: Arc<ServerCounts>,
    ) -> Result<(Self, Watched<Stamps>), TlsError> {
        let begun = tokio::time::Instant::now();
        let mut reminded = None;
        loop {
            // Before the contents: what changes in between is seen as a change.
            let watched = Watched::new(tls.files.stamps());
            let file = match read_now(&tls, protocol, true) {
                Ok(current) => {
                    let current = ArcSwap::new(current);
                    let certificates = Self {
                        current,
                        tls,
                        protocol,
                        counts,
                    };
                    return Ok((certificates, watched));
                }
                Err(TlsError::Missing { file }) => file,
                Err(error) => return Err(error),
            };
            if begun.elapsed() >= tls.wait {
                return Err(TlsError::NeverCame {
                    file,
                    after: tls.wait,
                });
            }
            if reminded.is_none_or(|told: tokio::time::Instant| told.elapsed() >= REMIND_EVERY) {
                info!(file = %file.display(), "waiting for a TLS file; TCP is served when it is there");
                reminded = Some(tokio::time::Instant::now());
            }
            let left = tls.wait.saturating_sub(begun.elapsed());
            tokio::time::sleep(LOOK_EVERY.min(left)).await;
        }
    }

    /// What the next connection is to use.
    pub(in crate::server) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Takes what is new until `closing`.
    pub(in crate::server) async fn follow(
        self: Arc<Self>,
        watched: Watched<Stamps>,
        closing: CancellationToken,
    ) {
        follow(watched, closing, move |watched| self.look(watched)).await;
    }

    /// Takes the files if they are others than before, and at rest.
    fn look(&self, watched: &mut Watched<Stamps>) {
        if !watched.has_changed(self.tls.files.stamps()) {
            return;
        }
        match read_now(&self.tls, self.protocol, false) {
            Ok(new) => {
                self.current.store(new);
                self.counts
                    .certificates_taken
                    .fetch_add(1, Ordering::Relaxed);
                info!("certificates changed: new connections use them");
            }
            Err(error) => {
                self.counts
                    .certificates_refused
                    .fetch_add(1, Ordering::Relaxed);
                let cause = error.source().map(tracing::field::display);
                warn!(%error, cause, "certificates are broken: the ones before hold");
            }
        }
    }
}

/// Looks at files from time to time until `closing`; each look may wait for a disk.
pub(super) async fn follow(
    mut watched: Watched<Stamps>,
    closing: CancellationToken,
    look: impl Fn(&mut Watched<Stamps>) + Send + Sync + 'static,
) {
    let look = Arc::new(look);
    while closing
        .run_until_cancelled(tokio::time::sleep(LOOK_EVERY))
        .await
        .is_some()
    {
        let look = Arc::clone(&look);
        let looked = spawn_blocking(move || {
            look(&mut watched);
            watched
        });
        match looked.await {
            Ok(back) => watched = back,
            Err(error) => {
                warn!(%error, "certificates are not followed any more");
                return;
            }
        }
    }
}

/// What the files say now. At the start there is nothing better than a certificate that has expired,
/// and clients say best what is wrong with it; later the one before may still hold.
fn read_now(
    tls: &TlsServer,
    protocol: Protocol,
    is_start: bool,
) -> Result<Arc<ServerConfig>, TlsError> {
    let loaded = Loaded::read(&tls.files)?;
    if let Some(expires) = loaded.expires {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_secs() as i64);
        let left_seconds = expires.saturating_sub(now);
        let file = loaded.cert_file.display();
        if left_seconds <= 0 && !is_start {
            return Err(TlsError::unusable(&loaded.cert_file, "it has expired"));
        } else if left_seconds <= 0 {
            warn!(%file, "the certificate has expired: clients will refuse it");
        } else if left_seconds < EXPIRY_WARNING_SECONDS {
            let hours = left_seconds / 3600;
            warn!(%file, hours, "the certificate expires soon");
        }
    }
    settings(loaded, tls.oldest, protocol)
}
