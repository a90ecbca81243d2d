//! Where the API server is, and who we are to it: by a kubeconfig, or as the pod that this is.

use flow_api::cause::root_cause;
use kube::{Client, Config};
use kube_access::KubeconfigError;

use super::{Wanted, error::ForwardError};

/// An API server.
pub(super) struct Access {
    pub(super) client: Client,
    /// Its address.
    pub(super) server: String,
}

impl Access {
    /// Reads who and where. Programs that a kubeconfig names for getting tokens run here; nothing is
    /// asked of the API server yet.
    pub(super) async fn new(wanted: &Wanted) -> Result<Self, ForwardError> {
        let config = config(wanted).await?;
        let server = kube_access::server(&config);
        match kube_access::client(config) {
            Ok(client) => Ok(Self { client, server }),
            Err(error) => Err(match error {
                kube::Error::Auth(error) => ForwardError::Unauthorized {
                    server,
                    cause: root_cause(&error),
                },
                error => ForwardError::Unreachable {
                    server,
                    cause: root_cause(&error),
                },
            }),
        }
    }
}

async fn config(wanted: &Wanted) -> Result<Config, KubeconfigError> {
    let context = wanted.context.as_deref();
    match kube_access::config(wanted.kubeconfig.as_deref(), context).await {
        Err(KubeconfigError::Absent) if context.is_none() => {
            Config::incluster().map_err(|_| KubeconfigError::Absent)
        }
        config => config,
    }
}
