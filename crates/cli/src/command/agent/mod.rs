//! `palomar agent`: observes this node and serves its flows.

pub(crate) mod export;
mod identities;
mod kubernetes;
mod layer7;
mod metrics;
mod probes;
mod ring;
mod serving;

pub(crate) use probes::aggregation;

use std::path::PathBuf;

use anyhow::Context as _;
use flow_observer::{
    agent::{self, Config},
    enrich::ContainerMode,
    source::{SourceOptions, SourceSpec, probes::ProbeConfig},
};
use tokio_util::sync::CancellationToken;

/// Observe this node and serve its flows on a Unix socket, and by TCP with mutual TLS.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  Observe this host and look at its flows from another terminal:
    palomar agent &
    palomar observe -f

  Report each packet, not each connection:
    palomar agent --aggregation none

  Name the pods and hosts behind the addresses:
    palomar agent --inventory inventory.yaml

  Name pods, nodes and services by the cluster's API server, from outside of a pod:
    palomar agent --kubeconfig /etc/palomar/kubeconfig

  Serve other hosts as well, to clients with a certificate of ca.crt:
    palomar agent --listen :4244 --tls-dir /etc/palomar/tls

  Write what is dropped to a file, for a log shipper:
    palomar agent --export-file /var/log/palomar/drops.log \\
      --export-allowlist '{\"verdict\":[\"DROPPED\"]}'")]
pub(crate) struct Args {
    /// Name of this node in flows [default: the host name]
    #[arg(long, value_name = "NAME", env = "K8S_NODE_NAME")]
    node_name: Option<String>,

    /// YAML file that tells who is behind which address
    #[arg(long, value_name = "FILE")]
    inventory: Option<PathBuf>,

    /// Name the containers and units of this host that have a network of their own, by their
    /// cgroups: `auto` does so where the probes are the source and nobody else names workloads
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Containers::Auto)]
    containers: Containers,

    /// Where events come from: `probes` (this kernel; needs root), `cilium[:SOCKET]` (the monitor
    /// socket of Cilium's agent), `cilium-map:PATH` (its event map), `pcap:FILE` (a capture),
    /// `replay:FILE` (flows as JSON), or `none`
    #[arg(long, value_name = "SOURCE", default_value_t = SourceSpec::Probes)]
    source: SourceSpec,

    /// Play a capture or exported flows at the pace at which they were recorded
    #[arg(long)]
    realtime: bool,

    /// Read Cilium's event map although that takes the events away from whoever reads it now
    #[arg(long)]
    take_over: bool,

    #[command(flatten)]
    ring: ring::Args,

    /// Tell relays the IPv6 addresses of nodes that have both
    #[arg(long)]
    prefer_ipv6: bool,

    #[command(flatten)]
    metrics: metrics::Args,

    #[command(flatten)]
    serving: serving::Args,

    #[command(flatten)]
    identities: identities::Args,

    #[command(flatten)]
    kubernetes: kubernetes::Args,

    #[command(flatten)]
    layer7: layer7::Args,

    #[command(flatten)]
    probes: probes::Args,

    #[command(flatten)]
    export: export::Args,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Containers {
    Auto,
    On,
    Off,
}

impl From<Containers> for ContainerMode {
    fn from(containers: Containers) -> Self {
        match containers {
            Containers::Auto => Self::Auto,
            Containers::On => Self::On,
            Containers::Off => Self::Off,
        }
    }
}

/// Runs until `shutdown`.
pub(crate) async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    let node_name = match args.node_name.filter(|name| !name.is_empty()) {
        Some(name) => name,
        None => host_name().context("cannot tell the host name: name the node with --node-name")?,
    };
    let config = Config {
        node_name,
        socket: args.serving.socket.clone(),
        socket_access: args.serving.access(),
        listen: args.serving.listen()?,
        inventory: args.inventory,
        enrich: args.identities.settings()?,
        kubernetes: args.kubernetes.settings(),
        containers: args.containers.into(),
        source: SourceOptions {
            spec: args.source,
            realtime: args.realtime,
            take_over: args.take_over,
            probes: ProbeConfig {
                run_time: args.metrics.probe_time(),
                ..args.probes.config()
            },
        },
        exchanges: args.layer7.options(),
        ring: args.ring.limits()?,
        lost_event_interval: args.ring.lost_event_interval(),
        prefer_ipv6: args.prefer_ipv6,
        metrics: args.metrics.config()?,
        export: args.export.config()?,
    };
    Ok(agent::run(config, shutdown).await?)
}

/// The kernel's name for this host.
pub(crate) fn host_name() -> std::io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/hostname")?
        .trim()
        .to_owned())
}
