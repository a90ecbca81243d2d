//! Flows of a finite source, such as a capture file: read by this process, in full.

use std::path::Path;

use flow_api::{extension::asks_for_flow_detail, observer::GetFlowsRequest};
use flow_observer::{enrich::Inventory, offline::Offline, source::SourceOptions};
use tracing::warn;

use super::{
    Flows,
    batches::{self, Batches},
    selection::{Count, Counted, Wanted},
};
use crate::embedded::host_name;

/// Opens a source and reads the flows that `request` asks for.
///
/// # Errors
/// The source cannot be used, a filter means nothing, or too many flows are to be kept.
pub(crate) fn flows(
    source: &SourceOptions,
    inventory: Option<&Path>,
    request: &GetFlowsRequest,
) -> anyhow::Result<Flows> {
    let inventory = match inventory {
        Some(path) => Inventory::read(path)?,
        None => Inventory::default(),
    };
    let wanted = Wanted::new(request)?;
    let counted = Counted::new(Count::new(request)?);
    let with_detail = asks_for_flow_detail(request.extensions.as_ref());
    let offline = Offline::open(source, &host_name(), inventory, with_detail)?;
    let (batches, flows) = batches::channel();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read(offline, &wanted, counted, &batches) {
            // Nobody listens any more if this fails, so nobody misses it.
            batches.blocking_send(Err(error)).ok();
        }
    });
    Ok(flows)
}

/// Reads to the end, or until nobody wants more.
fn read(
    mut offline: Offline,
    wanted: &Wanted,
    mut counted: Counted,
    batches: &Batches,
) -> anyhow::Result<()> {
    while !counted.is_complete() {
        let Some(responses) = offline.next_batch()? else {
            break;
        };
        let batch: Vec<_> = responses
            .into_iter()
            .filter(|response| wanted.contain(response))
            .filter_map(|response| counted.pass(response))
            .collect();
        if batches.is_closed() || (!batch.is_empty() && batches.blocking_send(Ok(batch)).is_err()) {
            return Ok(());
        }
    }
    let rest = counted.finish().into();
    batches.blocking_send(Ok(rest)).ok();
    for (reason, count) in offline.counters().undecodable_records() {
        warn!(reason, count, "skipped what could not be read");
    }
    Ok(())
}
