//! `palomar demo`: a cluster in network namespaces on this machine, observed by this binary.
//!
//! Sets up nodes, pods, traffic, an agent per node and a relay, all from the testbed; then follows
//! the relay's stream as `palomar observe` does, until a signal comes or the time is up; then takes
//! everything down again. Flows go to standard output, what happens meanwhile to standard error.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use testbed::{Cluster, requirements, workload};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::observe;
use crate::cli::Globals;
use crate::flags::{self, value};
use crate::observe::args;
use crate::print;

/// Run a small cluster with real traffic on this machine and show its flows.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  Watch until Ctrl-C:
    palomar demo

  Ten seconds of what is dropped, as JSON:
    palomar demo --for 10s -o json -- --verdict DROPPED

Needs root. It touches nothing outside the network namespaces that it makes, and removes them.")]
pub(crate) struct Args {
    /// Stop after this time, as in 20s or 1m30s, instead of waiting for Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    time: Option<Duration>,

    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=9))]
    nodes: u8,

    /// How flows look: compact, dict, json or jsonpb
    #[arg(short, long, value_name = "FORMAT", default_value = "compact")]
    output: String,

    /// Say nothing about what is set up and taken down
    #[arg(short, long)]
    quiet: bool,

    /// More flags of `palomar observe`: filters and formats
    #[arg(last = true, value_name = "OBSERVE FLAGS")]
    observe: Vec<String>,
}

/// What a demo consists of. Traffic ends before the cluster that carries it.
struct Demo {
    _traffic: workload::Scene,
    cluster: Cluster,
    relay: PathBuf,
}

/// Runs until `shutdown`, or for as long as was asked.
pub(crate) async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    let say = |text: &str| {
        if !args.quiet {
            eprintln!("{text}");
        }
    };
    // What was typed wrong is said before anything is built.
    observe_flags(&args, "unix:///")?;
    requirements::check("palomar demo", &requirements::for_observed_cluster())
        .context(WITHOUT_PRIVILEGES)
        .map_err(reason_first)?;

    say(&format!(
        "building {} nodes in network namespaces, with an agent on each, a relay and traffic",
        args.nodes
    ));
    let nodes = usize::from(args.nodes);
    let demo = spawn_blocking(move || Demo::start(nodes)).await??;
    say(&demo.description());

    let outcome = show(&args, &demo, &shutdown).await;
    // What the agents said explains a stream that failed; it is gone with the cluster. When it was
    // the reader who left there is nothing to explain.
    let outcome = outcome.map_err(|error| {
        if print::is_closed_pipe(&error) {
            error
        } else {
            reason_first(error.context(demo.cluster.last_words()))
        }
    });
    say("removing the cluster");
    spawn_blocking(move || drop(demo)).await?;
    outcome
}

impl Demo {
    fn start(nodes: usize) -> anyhow::Result<Self> {
        let palomar = std::env::current_exe().context("cannot tell where this program is")?;
        let mut cluster = Cluster::start(&workload::demo_spec(nodes))?;
        cluster.start_agents(&palomar)?;
        let relay = cluster.start_relay(&palomar)?;
        let traffic = workload::Scene::start(&cluster)?;
        traffic.warm_up()?;
        Ok(Self {
            _traffic: traffic,
            cluster,
            relay,
        })
    }

    /// Which pods there are, who calls whom, and how to ask on one's own.
    fn description(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for node in self.cluster.nodes() {
            let pods: Vec<_> = node
                .pods()
                .iter()
                .map(|it| format!("{} {}", it.name(), it.ipv4()))
                .collect();
            lines.push(format!("  {}: {}", node.name(), pods.join(", ")));
        }
        lines.push(workload::Scene::description());
        lines.push(format!(
            "ask from another terminal: palomar observe --server unix://{}",
            self.relay.display()
        ));
        lines.join("\n")
    }
}

/// Follows the relay's stream until `shutdown` or the end of the time.
async fn show(args: &Args, demo: &Demo, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let flags = observe_flags(args, &format!("unix://{}", demo.relay.display()))?;
    let stop = shutdown.child_token();
    let following = observe::flows(flags, stop.clone());
    let time_is_up = async {
        match args.time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
        stop.cancel();
        // Ended by the token: what was received is still to be printed.
        std::future::pending().await
    };
    tokio::select! {
        outcome = following => outcome,
        () = time_is_up => Ok(()),
    }
}

/// The flags of `palomar observe` that show this demo.
fn observe_flags(args: &Args, server: &str) -> anyhow::Result<Globals<args::Args>> {
    let fixed = [
        "--server",
        server,
        "--follow",
        "--print-node-name",
        "--output",
        &args.output,
    ];
    let line: Vec<String> = fixed
        .into_iter()
        .map(str::to_owned)
        .chain(args.observe.iter().cloned())
        .collect();
    let mut globals = Globals::default();
    flags::apply(&mut globals, &line, args::FLOWS)?;
    Ok(globals)
}

fn duration(text: &str) -> anyhow::Result<Duration> {
    let nanoseconds = value::duration_ns(text)?;
    let nanoseconds = u64::try_from(nanoseconds).context("expected a time that is not negative")?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// The two ways to look at flows that need nothing of this machine.
const WITHOUT_PRIVILEGES: &str = "\
without that these work:
  palomar observe --server ADDRESS      flows of a server that runs elsewhere
  palomar observe --input-file FILE     flows out of a file";

/// One message of an error and its context, the context below the error: it is long.
fn reason_first(error: anyhow::Error) -> anyhow::Error {
    let mut chain = error.chain().map(ToString::to_string);
    let context = chain.next().unwrap_or_default();
    let reasons: Vec<String> = chain.collect();
    anyhow::anyhow!("{}\n{context}", reasons.join(": "))
}
