//! The way to a relay inside a Kubernetes cluster: through the API server, which passes a connection on
//! to a port of a pod. No `kubectl`, and no port of this machine.
//!
//! In: how to reach the API server, and where the relay runs. Out: streams to a pod behind the relay's
//! service that is ready, each over a WebSocket of its own. Where the pod is gone, the next stream goes
//! to another. Little is asked of the API server: the slices of the service, which name its pods and
//! their ports; only those who may not see them look at the service and its pods themselves.

mod access;
mod error;
mod listener;
mod service;
mod stream;

use std::{
    fmt,
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing::debug;

use self::{
    access::Access,
    service::{Backend, Found, Place},
};
pub(crate) use self::{error::ForwardError, stream::PodStream};

/// How long the API server may take for one step: some are far away, and ask others in turn.
const STEP_TIMEOUT: Duration = Duration::from_secs(15);

/// Pods that are tried for one stream. More that are ready and refuse are not to be expected.
const MAX_PODS_TRIED: usize = 3;

/// What to forward.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Wanted {
    /// A kubeconfig; the usual one for `None`.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Its context; the current one for `None`.
    pub(crate) context: Option<String>,
    /// Where the relay runs; looked for where it usually is for `None`.
    pub(crate) namespace: Option<String>,
    /// Port of this machine to open for others.
    pub(crate) local_port: Option<u16>,
}

/// A relay behind an API server.
#[derive(Clone)]
pub(crate) struct Forward(Arc<Inner>);

struct Inner {
    access: Access,
    namespaces: Vec<String>,
    state: Mutex<State>,
}

struct State {
    place: Place,
    /// What was found and not used yet: what is older may no longer hold.
    fresh: Option<Found>,
    /// To which the latest stream goes.
    pod: Option<Backend>,
    /// Why the latest stream did not come about.
    failure: Option<ForwardError>,
}

impl Forward {
    /// Finds the relay, and opens the port for others if one is wanted.
    ///
    /// # Errors
    /// There is no way to the API server, or it knows no relay that is ready.
    pub(crate) async fn find(wanted: &Wanted) -> Result<Self, ForwardError> {
        let access = Access::new(wanted).await?;
        let namespaces = match &wanted.namespace {
            Some(namespace) => vec![namespace.clone()],
            None => service::NAMESPACES.map(str::to_owned).to_vec(),
        };
        let found = in_time(&access, service::find(&access, &namespaces)).await?;
        debug!(relay = %found.place, pods = found.backends.len(), "found the relay");
        let forward = Self(Arc::new(Inner {
            access,
            namespaces,
            state: Mutex::new(State {
                place: found.place.clone(),
                fresh: Some(found),
                pod: None,
                failure: None,
            }),
        }));
        if let Some(port) = wanted.local_port {
            listener::listen(forward.clone(), port).await?;
        }
        Ok(forward)
    }

    /// Opens a stream to a pod that is ready; not to the one of the stream before if there is another.
    ///
    /// # Errors
    /// The API server says no, or no pod is ready.
    pub(crate) async fn open(&self) -> Result<PodStream, ForwardError> {
        let opened = self.try_open().await;
        self.state().failure = opened.as_ref().err().cloned();
        opened
    }

    async fn try_open(&self) -> Result<PodStream, ForwardError> {
        let fresh = self.state().fresh.take();
        let found = match fresh {
            Some(found) => found,
            None => self.look_again().await?,
        };
        let mut failure = None;
        for backend in found.backends.into_iter().take(MAX_PODS_TRIED) {
            let opening = stream::open(&self.0.access, &found.place, &backend);
            match in_time(&self.0.access, opening).await {
                Ok(stream) => {
                    debug!(pod = %Pod(&found.place, &backend), "forwarding to a pod");
                    let mut state = self.state();
                    state.place = found.place;
                    state.pod = Some(backend);
                    return Ok(stream);
                }
                Err(error) if error.is_lasting() => return Err(error),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or(ForwardError::NoReadyPod { place: found.place }))
    }

    /// The pods of now. The one that was used last comes last: it may be about to go.
    async fn look_again(&self) -> Result<Found, ForwardError> {
        let inner = &self.0;
        let mut found = in_time(
            &inner.access,
            service::find(&inner.access, &inner.namespaces),
        )
        .await?;
        let last = self.state().pod.clone();
        found
            .backends
            .sort_by_key(|backend| last.as_ref().is_some_and(|last| last.pod == backend.pod));
        Ok(found)
    }

    /// Why the latest stream did not come about; `None` if it did.
    pub(crate) fn failure(&self) -> Option<ForwardError> {
        self.state().failure.clone()
    }

    /// The pod to which the latest stream goes, as in `kube-system/relay-0:4245`; the service before
    /// there is one.
    pub(crate) fn pod(&self) -> String {
        let state = self.state();
        match &state.pod {
            Some(backend) => Pod(&state.place, backend).to_string(),
            None => state.place.to_string(),
        }
    }

    /// The name of the service in its cluster, by which the relay is asked.
    pub(crate) fn host(&self) -> String {
        let state = self.state();
        format!("{}.{}.svc", state.place.service, state.place.namespace)
    }

    /// The name that a relay's certificate can be expected to carry. It is for no address of a pod,
    /// which change, and for none of this machine.
    pub(crate) fn certificate_name(&self) -> String {
        let service = self.state().place.service.clone();
        if service == service::HUBBLE {
            service::HUBBLE_CERTIFICATE.to_owned()
        } else {
            self.host()
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pod in its namespace, with its port.
struct Pod<'a>(&'a Place, &'a Backend);

impl fmt::Display for Pod<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.0.namespace, self.1.pod, self.1.port)
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Forward").field(&self.pod()).finish()
    }
}

async fn in_time<T>(
    access: &Access,
    step: impl Future<Output = Result<T, ForwardError>>,
) -> Result<T, ForwardError> {
    tokio::time::timeout(STEP_TIMEOUT, step)
        .await
        .unwrap_or_else(|_elapsed| {
            Err(ForwardError::Unreachable {
                server: access.server.clone(),
                cause: format!("no answer within {STEP_TIMEOUT:?}"),
            })
        })
}
