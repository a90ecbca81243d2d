//! Where the API server is, and who we are to it.

use std::path::PathBuf;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

/// Why the API server cannot be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SlicesError {
    /// Neither a pod's service account nor a kubeconfig.
    #[error("no Kubernetes API server to ask for peers: {reason}; name one with --kubeconfig")]
    Nowhere {
        /// What was tried.
        reason: String,
    },
    /// The file cannot be read, or names no such context.
    #[error("cannot use kubeconfig {}: {reason}", file.display())]
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Certificates that do not add up.
    #[error("cannot make a client for the Kubernetes API server: {reason}")]
    Client {
        /// What is wrong.
        reason: String,
    },
}

/// By a kubeconfig, as the pod that this is, or by the usual file; in this order.
pub(super) async fn config(
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
) -> Result<Config, SlicesError> {
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    match kubeconfig {
        Some(file) => {
            let read = Kubeconfig::read_from(&file);
            let config = match read {
                Ok(read) => Config::from_custom_kubeconfig(read, &options).await,
                Err(error) => Err(error),
            };
            config.map_err(|error| SlicesError::Kubeconfig {
                file,
                reason: error.to_string(),
            })
        }
        None if options.context.is_none()
            && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() =>
        {
            Config::incluster().map_err(|error| SlicesError::Nowhere {
                reason: error.to_string(),
            })
        }
        None => Config::from_kubeconfig(&options)
            .await
            .map_err(|error| SlicesError::Nowhere {
                reason: error.to_string(),
            }),
    }
}
