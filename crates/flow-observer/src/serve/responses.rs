//! A request's answer as the stream that a client gets.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use flow_api::{coverage, frames::Frames, palomar::CoverageReport};
use futures::{Stream, stream};
use tonic::Status;

use super::query::Query;

/// Encoded responses, one by one. Polled by the client's connection: a client that does not read
/// stops its own request only, and a stream that is dropped ends it.
pub(crate) struct Responses {
    /// Of the frames that were taken last.
    current: Frames,
    frames: Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>,
}

impl Responses {
    pub(super) fn of(query: Query) -> Self {
        Self::from_frames(stream::unfold(query, async |mut query| {
            let frames = query.next_frames().await?;
            Some((frames, query))
        }))
    }

    /// With a report of what the answer covers at its end.
    pub(super) fn with_coverage<R>(query: Query, report: R) -> Self
    where
        R: Fn(&Query) -> CoverageReport + Send + 'static,
    {
        Self::from_frames(stream::unfold(Some((query, report)), async |answer| {
            let (mut query, report) = answer?;
            Some(match query.next_frames().await {
                Some(Ok(frames)) => (Ok(frames), Some((query, report))),
                Some(Err(status)) => (Err(coverage::append(status, &report(&query))), None),
                // A status that is no error carries the trailers.
                None => (Err(coverage::end(&report(&query))), None),
            })
        }))
    }

    fn from_frames(frames: impl Stream<Item = Result<Bytes, Status>> + Send + 'static) -> Self {
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
