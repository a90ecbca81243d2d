//! Why there is no way to the relay, and what to do.

use std::fmt;

use flow_api::cause::root_cause;
use kube_access::KubeconfigError;

use super::service::{Backend, Place};

/// Why nothing could be forwarded. Each text is the whole story: no cause is behind it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ForwardError {
    /// Neither a kubeconfig nor a pod's service account, or a kubeconfig that says nothing.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// The API server does not answer, or its certificate is not believed.
    #[error("cannot reach the Kubernetes API server {server}: {cause}")]
    Unreachable {
        /// Its address.
        server: String,
        /// Why not.
        cause: String,
    },
    /// It does not know us.
    #[error(
        "the Kubernetes API server {server} does not know you ({cause}): log in again, or check the \
         context's user"
    )]
    Unauthorized {
        /// Its address.
        server: String,
        /// What it says.
        cause: String,
    },
    /// It knows us, and we may not.
    #[error(
        "{message}; a port-forward needs, in namespace {namespace}: list of endpointslices (or get of \
         services and list of pods), and get and create of pods/portforward"
    )]
    Forbidden {
        /// Where.
        namespace: String,
        /// What the API server says.
        message: String,
    },
    /// No relay there.
    #[error(
        "no service {} in namespace {}: name the relay's namespace with --kube-namespace, or another \
         cluster with --kube-context",
        List(.services), List(.namespaces)
    )]
    NoService {
        /// Names that were looked for.
        services: Vec<String>,
        /// Where.
        namespaces: Vec<String>,
    },
    /// A relay that is not running.
    #[error(
        "no pod of service {place} is ready: see 'kubectl -n {} get pods' and what its events say",
        place.namespace
    )]
    NoReadyPod {
        /// Whose.
        place: Place,
    },
    /// The service has no port that its pods have, too.
    #[error("service {place} has no port that leads to one of its pods")]
    NoPort {
        /// Whose.
        place: Place,
    },
    /// The API server or the node does not pass the connection on.
    #[error("cannot forward to {}/{}:{}: {cause}", place.namespace, backend.pod, backend.port)]
    Refused {
        /// Where.
        place: Place,
        /// To which pod.
        backend: Backend,
        /// What was said.
        cause: String,
    },
    /// The API server says something else than an answer.
    #[error("the Kubernetes API server {server} fails: {cause}")]
    Failed {
        /// Its address.
        server: String,
        /// What it says.
        cause: String,
    },
    /// The port for others is taken, or not ours to take.
    #[error("cannot open 127.0.0.1:{port}: {cause}; without --port-forward-port no port is needed")]
    Listen {
        /// The port.
        port: u16,
        /// Why not.
        cause: String,
    },
}

impl ForwardError {
    /// Whether trying again changes nothing, unless the user does something.
    pub(crate) const fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Kubeconfig(_)
                | Self::Unauthorized { .. }
                | Self::Forbidden { .. }
                | Self::Listen { .. }
        )
    }

    /// What an error of the library means for a question about a namespace.
    pub(super) fn of(error: &kube::Error, server: &str, namespace: &str) -> Self {
        let server = server.to_owned();
        match error {
            kube::Error::Api(status) if status.code == 401 => Self::Unauthorized {
                server,
                cause: status.message.clone(),
            },
            kube::Error::Api(status) if status.code == 403 => Self::Forbidden {
                namespace: namespace.to_owned(),
                message: status.message.clone(),
            },
            kube::Error::Api(status) => Self::Failed {
                server,
                cause: status.message.clone(),
            },
            kube::Error::Auth(error) => Self::Unauthorized {
                server,
                cause: root_cause(error),
            },
            kube::Error::HyperError(_) | kube::Error::Service(_) => Self::Unreachable {
                server,
                cause: root_cause(error),
            },
            error => Self::Failed {
                server,
                cause: root_cause(error),
            },
        }
    }
}

/// Names, as people list them.
struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("none"),
            [only] => f.write_str(only),
            [first @ .., last] => write!(f, "{} or {last}", first.join(", ")),
        }
    }
}
