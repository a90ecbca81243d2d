//! `palomar export`: writes the flows of a server to a file, and goes on where it ends.

mod args;
mod follow;
mod recent;

use std::time::Duration;

use anyhow::bail;
use flow_api::observer::GetFlowsRequest;
use flow_observer::export::{Intake, LineForm, Target};
use prost_types::FieldMask;
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub(crate) use args::{Args, SECTION};

use crate::{cli::Globals, command::agent, settings::Settings};
use follow::Following;
use recent::Recent;

/// How long it may take to write what is left at the end.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is needed to go on after a break, whatever is written.
const NEEDED: [&str; 3] = ["time", "uuid", "node_name"];

pub(crate) async fn run(globals: Globals<Args>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let args = globals.command;
    let settings = Settings::new(args.server.clone(), globals.config.clone())?;
    let Some(mut spec) = args.spec()? else {
        bail!("name the file to write with --file, or standard output with --file stdout");
    };
    let is_aggregated = !spec.aggregation_interval.is_zero();
    let mut paths = spec.field_mask.clone();
    if !paths.is_empty() {
        paths.extend(NEEDED.map(str::to_owned));
    }
    let request = GetFlowsRequest {
        follow: true,
        // The server looks for what is wanted, and tells of losses whatever that is.
        whitelist: std::mem::take(&mut spec.allow),
        blacklist: std::mem::take(&mut spec.deny),
        field_mask: (!paths.is_empty() && !is_aggregated).then_some(FieldMask { paths }),
        ..GetFlowsRequest::default()
    };
    let recent = match &spec.target {
        Target::File(path) if !is_aggregated => Recent::of_file(path, &spec.field_mask)?,
        _ => Recent::new(&spec.field_mask),
    };
    if !recent.tells_times() {
        warn!("without time among the fields, a restart cannot go on where the file ends");
    }
    let name = agent::host_name().unwrap_or_default();
    let mut intake = Intake::start(&spec, args.sync, &name)?;
    let mut following =
        Following::new(settings, request, args.since, recent, LineForm::new(&spec)?);
    let result = following.run(&mut intake, &shutdown).await;
    let stopped = tokio::task::spawn_blocking(move || intake.stop(PATIENCE));
    if !stopped.await? {
        warn!("not everything that was received could be written");
    }
    result
}
