//! A kubeconfig, read for one of its contexts.

use std::{error::Error as _, io, path::Path};

use flow_api::cause::{plain, root_cause};
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError as LibraryError},
};

/// Why a kubeconfig says nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KubeconfigError {
    /// None was named, and none is where they usually are.
    #[error(
        "no kubeconfig: there is none in $KUBECONFIG or ~/.kube/config; name one with --kubeconfig"
    )]
    Absent,
    /// The user may not read it.
    #[error("cannot use {origin}: {reason}")]
    Denied {
        /// The file, or in words where it was looked for.
        origin: String,
        /// What the system says.
        reason: String,
    },
    /// It has other contexts.
    #[error("no context {context:?} in {origin}; there is {}", any_of(.known))]
    NoContext {
        /// Which was asked for.
        context: String,
        /// The file, or in words where it was looked for.
        origin: String,
        /// Those that are there.
        known: Vec<String>,
    },
    /// It cannot be read, or does not add up.
    #[error("cannot use {origin}: {reason}")]
    Unusable {
        /// The file, or in words where it was looked for.
        origin: String,
        /// What is wrong.
        reason: String,
    },
}

/// Reads a kubeconfig, the usual one for `None`, for a context, the current one for `None`.
///
/// # Errors
/// There is none, or it cannot be used so.
pub async fn config(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Result<Config, KubeconfigError> {
    let (origin, read) = match kubeconfig {
        Some(path) => (
            format!("kubeconfig {}", path.display()),
            Kubeconfig::read_from(path),
        ),
        None => ("the usual kubeconfig".to_owned(), Kubeconfig::read()),
    };
    let read = match read {
        Ok(read) => read,
        Err(error) if kubeconfig.is_none() && is_absent(&error) => {
            return Err(KubeconfigError::Absent);
        }
        Err(error) => return Err(unusable(origin, &error)),
    };
    let current = read.current_context.as_deref();
    let Some(context) = context.or(current.filter(|name| !name.is_empty())) else {
        let reason = "it has no current context: choose one with --kube-context".to_owned();
        return Err(KubeconfigError::Unusable { origin, reason });
    };
    if !read.contexts.iter().any(|it| it.name == context) {
        return Err(KubeconfigError::NoContext {
            context: context.to_owned(),
            origin,
            known: read.contexts.into_iter().map(|it| it.name).collect(),
        });
    }
    let options = KubeConfigOptions {
        context: Some(context.to_owned()),
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(read, &options)
        .await
        .map_err(|error| unusable(origin, &error))
}

fn is_absent(error: &LibraryError) -> bool {
    match error {
        LibraryError::FindPath => true,
        LibraryError::ReadConfig(error, _) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

fn unusable(origin: String, error: &LibraryError) -> KubeconfigError {
    let reason = match error {
        // The file is told before.
        LibraryError::ReadConfig(error, _) => {
            let reason = plain(&error.to_string());
            if error.kind() == io::ErrorKind::PermissionDenied {
                return KubeconfigError::Denied { origin, reason };
            }
            reason
        }
        error => match error.source() {
            Some(source) => {
                // The first line has it all; the others draw the place.
                let cause = root_cause(source);
                let head = error.to_string();
                let head = head.split(':').next().unwrap_or_default();
                format!("{head}: {}", cause.lines().next().unwrap_or_default())
            }
            None => error.to_string(),
        },
    };
    KubeconfigError::Unusable { origin, reason }
}

fn any_of(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
