//! Responses that a thread reads while the printer works.

use flow_api::observer::GetFlowsResponse;
use futures::{StreamExt as _, stream};
use tokio::sync::mpsc;

use super::Flows;

/// Batches that wait for the printer: one being printed, one ready, one being filled. When full,
/// the reader waits.
const BATCHES_WAITING: usize = 2;

/// Where the thread puts batches. Sending fails when nobody wants more.
pub(super) type Batches = mpsc::Sender<anyhow::Result<Vec<GetFlowsResponse>>>;

/// The two ends: batches go in, responses come out.
pub(super) fn channel() -> (Batches, Flows) {
    let (batches, receiver) = mpsc::channel(BATCHES_WAITING);
    let received = stream::unfold(receiver, |mut receiver| async move {
        let batch = receiver.recv().await?;
        Some((batch, receiver))
    });
    let flows = received
        .flat_map(|batch| match batch {
            Ok(responses) => stream::iter(responses).map(Ok).left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        })
        .boxed();
    (batches, flows)
}
