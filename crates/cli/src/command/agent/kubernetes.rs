//! Whether and how to ask a Kubernetes API server: what was typed.

use std::path::PathBuf;

use flow_observer::enrich::kubernetes::{Mode, Settings};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Kubernetes")]
#[group(skip)]
pub(super) struct Args {
    /// Name pods, nodes and services by the Kubernetes API server: `auto` where this runs in a pod
    /// with a service account, or --kubeconfig or --kube-context is given; `on` also by
    /// $KUBECONFIG or ~/.kube/config; `off` never
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = When::Auto)]
    kubernetes: When,

    /// How to reach the API server, instead of the pod's service account
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig to use [default: its current one]
    #[arg(long, value_name = "NAME")]
    kube_context: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum When {
    Auto,
    On,
    Off,
}

impl Args {
    pub(super) fn settings(self) -> Settings {
        Settings {
            mode: match self.kubernetes {
                When::Auto => Mode::Auto,
                When::On => Mode::On,
                When::Off => Mode::Off,
            },
            kubeconfig: self.kubeconfig,
            context: self.kube_context,
            ..Settings::default()
        }
    }
}
