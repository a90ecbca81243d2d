//! A request's answer as the stream that a client gets.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use flow_api::frames::Frames;
use futures::Stream;
use tonic::Status;

/// Encoded responses, one by one. Polled by the client's connection: a client that does not read
/// stops its own request only, and a stream that is dropped ends it.
pub(crate) struct Responses {
    /// Of the frames that were taken last.
    current: Frames,
    frames: Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>,
}

impl Responses {
    pub(super) fn of(frames: impl Stream<Item = Result<Bytes, Status>> + Send + 'static) -> Self {
        Self {
            current: Frames::default(),
            frames: Box::pin(frames),
        }
    }
}

impl Stream for Responses {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(response) = self.current.next() {
                return Poll::Ready(Some(Ok(response)));
            }
            match ready!(self.frames.as_mut().poll_next(context)) {
                Some(Ok(frames)) => self.current = Frames::new(frames),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => return Poll::Ready(None),
            }
        }
    }
}
