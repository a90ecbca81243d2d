//! A service with streams that never end by themselves.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flow_api::peer::{ChangeNotification, NotifyRequest, peer_server::Peer};
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// How long a message is, about.
pub(crate) const MESSAGE_BYTES: usize = 16 * 1024;

/// Streams of messages, as fast as they are read or each time that it is told to.
pub(crate) struct Notifier {
    /// How many messages were made, for all streams.
    pub(crate) made: Arc<AtomicU64>,
    /// Each change makes a message; `None` makes them as fast as they are read.
    pub(crate) ticks: Option<watch::Receiver<u64>>,
    /// Ends the streams. `None` for one that does not care.
    pub(crate) closing: Option<CancellationToken>,
}

#[tonic::async_trait]
impl Peer for Notifier {
    type NotifyStream = Pin<Box<dyn Stream<Item = Result<ChangeNotification, Status>> + Send>>;

    async fn notify(
        &self,
        _request: Request<NotifyRequest>,
    ) -> Result<Response<Self::NotifyStream>, Status> {
        let made = Arc::clone(&self.made);
        let message = move |name: String| {
            made.fetch_add(1, Ordering::Relaxed);
            Ok(ChangeNotification {
                name,
                ..ChangeNotification::default()
            })
        };
        let messages: Self::NotifyStream = match self.ticks.clone() {
            None => {
                let long = "x".repeat(MESSAGE_BYTES);
                Box::pin(stream::repeat_with(move || message(long.clone())))
            }
            Some(ticks) => {
                let ticking = stream::unfold(ticks, async |mut ticks| {
                    ticks.changed().await.ok()?;
                    let tick = *ticks.borrow_and_update();
                    Some((tick, ticks))
                });
                Box::pin(ticking.map(move |tick| message(tick.to_string())))
            }
        };
        let Some(closing) = self.closing.clone() else {
            return Ok(Response::new(messages));
        };
        let closed = stream::once(async move {
            closing.cancelled().await;
            Err(Status::unavailable("closing"))
        });
        let mut ended = false;
        let both = stream::select(messages, closed).take_while(move |it| {
            let goes_on = !ended;
            ended = it.is_err();
            futures::future::ready(goes_on)
        });
        Ok(Response::new(Box::pin(both)))
    }
}
