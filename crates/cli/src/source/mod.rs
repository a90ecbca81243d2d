//! Where events come from: a server, a file of JSON lines, or a source that this process reads.

#[cfg(feature = "node")]
mod batches;
pub(crate) mod file;
pub(crate) mod follow;
#[cfg(feature = "node")]
pub(crate) mod offline;
mod selection;
pub(crate) mod server;

use flow_api::{cause::plain, observer::GetFlowsResponse};
use futures::stream::BoxStream;

/// Responses as they come, up to the first error.
pub(crate) type Responses<T> = BoxStream<'static, anyhow::Result<T>>;

/// A stream of flows, gaps and node states.
pub(crate) type Flows = Responses<GetFlowsResponse>;

/// An I/O error as people say it: `no such file or directory`, without number and capital.
pub(crate) fn reason(error: &std::io::Error) -> String {
    plain(&error.to_string())
}
