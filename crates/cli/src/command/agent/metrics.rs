//! Flags of `palomar agent` about metrics.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, bail};
use flow_observer::metrics::{
    self, Source,
    flows::{DEFAULT_SERIES_BUDGET, parse_line},
};

use crate::command::serving::MetricsTls;

/// Which metrics to serve, and where.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Metrics")]
#[group(skip)]
pub(super) struct Args {
    /// Serve metrics on `/metrics` there, as in :9965 or 127.0.0.1:9965: the agent's own numbers, and what
    /// --metrics or --metrics-config ask for
    #[arg(long, value_name = "[ADDRESS]:PORT", alias = "hubble-metrics-server", value_parser = address)]
    metrics_listen: Option<SocketAddr>,

    /// Metrics of flows under Hubble's names, as in "dns:query drop:sourceContext=pod|ip flow", with
    /// blanks or commas between them
    #[arg(
        long,
        value_name = "LIST",
        alias = "hubble-metrics",
        requires = "metrics_listen"
    )]
    metrics: Vec<String>,

    /// A file that says the same, and may change; as Hubble's dynamic metrics
    #[arg(
        long,
        value_name = "FILE",
        alias = "hubble-dynamic-metrics-config-path",
        requires = "metrics_listen"
    )]
    metrics_config: Option<PathBuf>,

    /// Hubble's flag for the format of OpenMetrics: here, all who ask for it get it
    #[arg(
        long,
        hide = true,
        num_args = 0..=1,
        default_missing_value = "true",
        requires = "metrics_listen"
    )]
    enable_hubble_open_metrics: Option<bool>,

    /// Most series of each metric of flows; what is beyond them is counted as "other"
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SERIES_BUDGET, requires = "metrics_listen")]
    metrics_series_budget: usize,

    /// Measure how long the probes run, program by program. Costs each run of every BPF program on
    /// this host two looks at the clock: 20 to 90 nanoseconds
    #[arg(long, requires = "metrics_listen")]
    metrics_probe_time: bool,

    #[command(flatten)]
    tls: MetricsTls,
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
    /// Whether the probes' time is to be measured.
    pub(super) fn probe_time(&self) -> bool {
        self.metrics_probe_time
    }

    pub(super) fn config(self) -> anyhow::Result<Option<metrics::Config>> {
        let Some(address) = self.metrics_listen else {
            return Ok(None);
        };
        let list = self.metrics.join(" ");
        let flows = match self.metrics_config {
            None => Source::These(parse_line(&list).context("invalid --metrics")?),
            Some(path) if list.trim().is_empty() => Source::File(path),
            Some(_) => bail!(
                "cannot configure both static and dynamic Hubble metrics: \
                 leave out --metrics or --metrics-config"
            ),
        };
        Ok(Some(metrics::Config {
            address,
            flows,
            series_budget: self.metrics_series_budget,
            tls: self.tls.tls()?,
        }))
    }
}
