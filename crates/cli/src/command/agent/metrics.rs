//! Flags of `palomar agent` about metrics.

use std::{net::SocketAddr, path::PathBuf};

use flow_observer::metrics::{
    self, Source,
    flows::{DEFAULT_SERIES_BUDGET, parse_line},
};

/// Which metrics to serve, and where.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Metrics")]
#[group(skip)]
pub(super) struct Args {
    /// Serve metrics on `/metrics` there, as in :9965 or 127.0.0.1:9965: the agent's own numbers, and what
    /// --metrics or --metrics-config ask for
    #[arg(long, value_name = "[ADDRESS]:PORT", alias = "hubble-metrics-server", value_parser = address)]
    metrics_listen: Option<SocketAddr>,

    /// Metrics of flows under Hubble's names, as in "dns:query drop:sourceContext=pod|ip flow"
    #[arg(
        long,
        value_name = "LIST",
        alias = "hubble-metrics",
        requires = "metrics_listen"
    )]
    metrics: Option<String>,

    /// A file that says the same, and may change; as Hubble's dynamic metrics
    #[arg(
        long,
        value_name = "FILE",
        alias = "hubble-dynamic-metrics-config-path",
        requires = "metrics_listen",
        conflicts_with = "metrics"
    )]
    metrics_config: Option<PathBuf>,

    /// Most series of each metric of flows; what is beyond them is counted as "other"
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SERIES_BUDGET, requires = "metrics_listen")]
    metrics_series_budget: usize,
}

/// Without a host, all addresses of this one, as Go's programs have it.
fn address(text: &str) -> Result<SocketAddr, String> {
    let whole = match text.strip_prefix(':') {
        Some(port) => format!("[::]:{port}"),
        None => text.to_owned(),
    };
    whole
        .parse()
        .map_err(|_| "expected ADDRESS:PORT or :PORT, as in 127.0.0.1:9965".to_owned())
}

impl Args {
    pub(super) fn config(self) -> anyhow::Result<Option<metrics::Config>> {
        let Some(address) = self.metrics_listen else {
            return Ok(None);
        };
        let flows = match (self.metrics, self.metrics_config) {
            (_, Some(path)) => Source::File(path),
            (list, None) => Source::These(parse_line(&list.unwrap_or_default())?),
        };
        Ok(Some(metrics::Config {
            address,
            flows,
            series_budget: self.metrics_series_budget,
        }))
    }
}
