//! `palomar observe --embedded`: an agent inside this process, for one command on one host.
//!
//! The agent serves on a socket of its own in a private directory, and is asked through it like any
//! other, so that nothing behaves differently. It ends with the stream.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, bail};
use flow_api::{
    connect::{ConnectOptions, Target, connect},
    extension,
    observer::{GetFlowsRequest, observer_client::ObserverClient},
    server::SocketAccess,
};
use flow_observer::{
    agent::{self, AgentError, Config, DEFAULT_LOST_EVENT_INTERVAL},
    enrich::{self, ContainerMode},
    exchange,
    ring::Limits,
    source::{SourceOptions, SourceSpec},
};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::command::{aggregation, show};
use crate::observe::{args::Args, request::Display};
use crate::print::Format;
use crate::source::{Flows, offline, server::RpcError};

/// How long probes may take to load and attach: verifying them takes the kernel some seconds on a
/// slow machine.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How often to look for the socket meanwhile.
const START_POLL: Duration = Duration::from_millis(20);

/// What an embedded agent is to read; `None` where none was asked for.
///
/// # Errors
/// A source that there is not, or flags that do not go together.
pub(crate) fn source(args: &Args) -> anyhow::Result<Option<SourceOptions>> {
    if !args.embedded {
        for (given, flag) in [
            (!args.aggregation.is_empty(), "aggregation"),
            (!args.source.is_empty(), "source"),
            (!args.inventory.is_empty(), "inventory"),
            (args.realtime, "realtime"),
            (args.take_over, "take-over"),
        ] {
            if given {
                bail!("--{flag} says what --embedded reads: add --embedded");
            }
        }
        return Ok(None);
    }
    if !args.input_file.is_empty() {
        bail!("cannot set both --embedded and --input-file");
    }
    let spec = match args.source.as_str() {
        "" => SourceSpec::Probes,
        source => source
            .parse()
            .with_context(|| format!("invalid argument {source:?} for --source"))?,
    };
    let mut options = SourceOptions {
        spec,
        realtime: args.realtime,
        take_over: args.take_over,
        ..SourceOptions::default()
    };
    if !args.aggregation.is_empty() {
        options.probes.aggregation =
            aggregation(&args.aggregation).context("invalid argument for --aggregation")?;
    }
    Ok(Some(options))
}

/// The inventory file for the embedded agent, if one was given.
pub(crate) fn inventory(args: &Args) -> Option<PathBuf> {
    (!args.inventory.is_empty()).then(|| PathBuf::from(&args.inventory))
}

/// Shows what the source sees from now on, until a signal comes or the agent breaks; of a source
/// that has an end, everything.
///
/// # Errors
/// The agent cannot run here, or breaks later.
pub(crate) async fn observe(
    source: SourceOptions,
    inventory: Option<PathBuf>,
    request: GetFlowsRequest,
    display: Display,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    if source.spec.is_finite() {
        let flows = offline::flows(&source, inventory.as_deref(), &request)?;
        return show(flows, display, shutdown, |printer, response, page| {
            printer.flows(response, page);
            page.save(response);
            Ok(())
        })
        .await;
    }
    if display.format == Format::Table {
        bail!("table output format is not compatible with --embedded, which follows");
    }
    let print = shutdown.clone();
    live(source, inventory, request, &shutdown, async |flows| {
        show(flows, display, print, |printer, response, page| {
            printer.flows(response, page);
            page.save(response);
            Ok(())
        })
        .await
    })
    .await
}

/// Hands the flows that an agent in this process sees from now on to `watch`, for as long as that goes on.
///
/// # Errors
/// The agent cannot run here, breaks later, or `watch` fails.
pub(crate) async fn live(
    source: SourceOptions,
    inventory: Option<PathBuf>,
    request: GetFlowsRequest,
    shutdown: &CancellationToken,
    watch: impl AsyncFnOnce(Flows) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let directory = PrivateDirectory::new().context("cannot make a directory for the agent")?;
    let socket = directory.0.join("observer.sock");
    let stopping = CancellationToken::new();
    let config = Config {
        node_name: host_name(),
        socket: socket.clone(),
        socket_access: SocketAccess::default(),
        listen: None,
        enrich: enrich::Settings::default(),
        kubernetes: flow_observer::enrich::kubernetes::Settings::default(),
        inventory,
        containers: ContainerMode::Auto,
        source,
        exchanges: exchange::Options::default(),
        ring: Limits::default(),
        lost_event_interval: DEFAULT_LOST_EVENT_INTERVAL,
        prefer_ipv6: false,
        metrics: None,
        export: flow_observer::export::Config::default(),
    };
    let mut agent = tokio::spawn(agent::run(config, stopping.clone()));
    let watching = async {
        let asking = flows(socket, request);
        let Some(flows) = shutdown.run_until_cancelled(asking).await else {
            return Ok(());
        };
        watch(flows?).await
    };
    let watched = tokio::select! {
        // The agent's own error says more than the broken stream that it causes.
        biased;
        ended = &mut agent => {
            told(ended)?;
            bail!("the agent inside this process ended by itself");
        }
        watched = watching => watched,
    };
    stopping.cancel();
    told(agent.await)?;
    watched
}

/// Connects once the agent listens, and asks for everything from then on.
async fn flows(socket: PathBuf, request: GetFlowsRequest) -> anyhow::Result<Flows> {
    let target = Target::Unix(socket);
    let options = ConnectOptions::default();
    let connecting = async {
        loop {
            if let Ok(channel) = connect(&target, &options).await {
                return channel;
            }
            tokio::time::sleep(START_POLL).await;
        }
    };
    let channel = tokio::time::timeout(START_TIMEOUT, connecting)
        .await
        .context("the agent inside this process does not come up")?;
    let request = GetFlowsRequest {
        number: 0,
        first: false,
        follow: true,
        ..request
    };
    let mut request = tonic::Request::new(request);
    extension::ask_for_names(&mut request);
    let responses = ObserverClient::new(channel)
        .get_flows(request)
        .await
        .map_err(RpcError::from)?;
    let responses = responses.into_inner();
    Ok(responses
        .map_err(|status| RpcError::from(status).into())
        .boxed())
}

/// What the agent says at its end.
fn told(ended: Result<Result<(), AgentError>, JoinError>) -> anyhow::Result<()> {
    ended
        .context("the agent inside this process failed")?
        .context("cannot watch this machine")
}

/// The node's name in flows. Nothing depends on it here.
pub(crate) fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

/// A directory that nobody else can enter; gone when this is dropped.
struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    fn new() -> io::Result<Self> {
        let name = format!("palomar-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Fails if it exists: then somebody else made it.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "cannot remove directory");
        }
    }
}
