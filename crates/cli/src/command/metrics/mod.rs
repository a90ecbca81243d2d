//! `palomar metrics plan`: how many series a configuration makes, tried on flows.
//!
//! In go flows of files, a server or this machine, out comes a table or JSON. The flows are counted by
//! the agent's own code.

mod args;
mod config;
mod json;
mod table;
mod tried;

use std::{pin::pin, time::Duration};

use anyhow::bail;
use flow_api::observer::GetFlowsRequest;
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::Code;

pub(crate) use args::{Args, SECTION};

use crate::{
    cli::Globals,
    embedded,
    observe::request,
    progress::Progress,
    settings::Settings,
    source::{
        Flows,
        file::{self, Files},
        follow, offline,
        server::{RpcError, Server},
    },
};
use tried::Tried;

/// Where nothing says how long to follow, a signal does.
const FOREVER: Duration = Duration::from_secs(86_400 * 365);

pub(crate) async fn plan(
    globals: Globals<Args>,
    words: Vec<String>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut args = globals.command;
    let print = match args.output.as_str() {
        "json" => json::print,
        "table" => table::print,
        other => bail!("unknown output format: {other}: expected table or json"),
    };
    let metrics = config::read(&words)?;
    args.complete();
    let settings = Settings::new(args.observe.server.clone(), globals.config.clone())?;
    let (request, _) = request::flows(&mut args.observe, &globals.config, globals.debug)?;
    let mut tried = Tried::new(&metrics, args.budget)?;
    let period = args.period.unwrap_or(FOREVER);
    let ended = if let Some(source) = embedded::source(&args.observe)? {
        let inventory = embedded::inventory(&args.observe);
        if source.spec.is_finite() {
            let flows = offline::flows(&source, inventory.as_deref(), &request)?;
            count(&mut tried, flows, period, &Progress::default(), &shutdown).await
        } else {
            let tried = &mut tried;
            let stop = shutdown.clone();
            embedded::live(source, inventory, request, &shutdown, async |flows| {
                count(tried, flows, period, &Progress::default(), &stop).await
            })
            .await
        }
    } else if args.observe.input_file.is_empty() {
        let progress = match request.follow {
            true => Progress::default(),
            false => Progress::of_answer(&settings.address()),
        };
        match shutdown.run_until_cancelled(ask(&settings, request)).await {
            Some(flows) => count(&mut tried, flows?, period, &progress, &shutdown).await,
            None => Ok(()),
        }
    } else {
        let names = &args.observe.input_file;
        let progress = match request.follow {
            true => Progress::default(),
            false => Progress::of_bytes(file::length(names)),
        };
        let files = Files::open(names, &request, progress.clone())?;
        count(&mut tried, files.flows(None)?, period, &progress, &shutdown).await
    };
    // What was counted until then is worth something.
    if ended.is_ok() || tried.plan.flows() > 0 {
        super::print_bytes(&print(&tried))?;
    }
    ended
}

/// The flows of a server.
async fn ask(settings: &Settings, request: GetFlowsRequest) -> anyhow::Result<Flows> {
    let ask = |server: Server, request| {
        async move {
            let mut observer = server.observer();
            let call = async |request| observer.get_flows(request).await;
            Ok(server.streaming(request, call).await?)
        }
        .boxed()
    };
    follow::responses(settings, request, ask).await
}

/// Counts flows until there are no more, the time is over, or a signal comes.
async fn count(
    tried: &mut Tried,
    flows: Flows,
    period: Duration,
    progress: &Progress,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let end = Instant::now() + period;
    let mut flows = pin!(flows);
    let ended = loop {
        let next = shutdown.run_until_cancelled(flows.next());
        match timeout_at(end, next).await {
            Ok(Some(Some(Ok(response)))) => tried.take(&response),
            Ok(Some(Some(Err(error)))) => break Err(error),
            Ok(Some(None) | None) | Err(_) => break Ok(()),
        }
    };
    progress.finish();
    match ended {
        Err(error) if is_cancelled(&error) => Ok(()),
        ended => ended,
    }
}

fn is_cancelled(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<RpcError>();
    error.is_some_and(|error| error.code == Code::Cancelled)
}
