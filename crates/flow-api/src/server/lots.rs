//! Writes in lots.
//!
//! What sends HTTP/2 writes and flushes each large frame by itself, and a frame has 16 KiB. Most of
//! what a write costs is the kernel's, and the same for four frames; so large frames are kept until
//! there are some, or until nothing more comes. A small frame is sent when it is flushed, and with it
//! whatever was kept.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_write_buf;

/// Written at a time: what the codec gathers.
const LOT: usize = 64 * 1024;

/// From here on a write is worth keeping for the next: less than a full frame, and more than a flow.
const LARGE: usize = 8 * 1024;

/// A stream that is written in lots; see the [module](self).
#[derive(Debug)]
pub(super) struct Lots<S> {
    stream: S,
    kept: BytesMut,
    /// The last write was a large one, so that more may follow the flush that it comes with.
    may_wait: bool,
}

impl<S> Lots<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            kept: BytesMut::new(),
            may_wait: false,
        }
    }
}

impl<S: AsyncWrite + Unpin> Lots<S> {
    /// Writes what is kept.
    fn poll_write_kept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.kept.is_empty() {
            let stream = Pin::new(&mut self.stream);
            if ready!(poll_write_buf(stream, cx, &mut self.kept))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        // Hundreds of clients wait for flows most of the time.
        self.kept = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// Takes as much of these parts as there is room for, all of them if it can.
    fn poll_keep<'a>(
        &mut self,
        cx: &mut Context<'_>,
        length: usize,
        parts: impl Iterator<Item = &'a [u8]>,
    ) -> Poll<io::Result<usize>> {
        if !self.kept.is_empty() && self.kept.len() + length > LOT {
            ready!(self.poll_write_kept(cx))?;
        }
        if length >= LARGE && self.kept.capacity() < LOT {
            self.kept.reserve(LOT);
        }
        let mut taken = 0;
        for part in parts {
            let part = &part[..part.len().min(LOT - taken)];
            self.kept.extend_from_slice(part);
            taken += part.len();
        }
        self.may_wait = length >= LARGE;
        Poll::Ready(Ok(taken))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lots<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_keep(cx, bytes.len(), std::iter::once(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = parts.iter().map(|part| part.len()).sum();
        self.poll_keep(cx, length, parts.iter().map(|part| &**part))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.may_wait) && self.kept.len() < LOT {
            // Whoever has more to write does so before it waits. Who has not, comes back because of
            // this, if it does not flush once more by itself.
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_write_kept(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_kept(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lots<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;

    const FRAME: usize = 16 * 1024;

    /// What has arrived at the other end.
    async fn arrived(other: &mut tokio::io::DuplexStream) -> usize {
        let mut bytes = vec![0; 1 << 20];
        let read = other.read(&mut bytes);
        match futures::FutureExt::now_or_never(read) {
            Some(read) => read.unwrap(),
            None => 0,
        }
    }

    fn write(lots: &mut Lots<tokio::io::DuplexStream>, length: usize) {
        let mut cx = Context::from_waker(Waker::noop());
        let bytes = vec![7; length];
        let written = Pin::new(&mut *lots).poll_write(&mut cx, &bytes);
        assert!(matches!(written, Poll::Ready(Ok(written)) if written == length));
    }

    fn flush(lots: &mut Lots<tokio::io::DuplexStream>) {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(lots).poll_flush(&mut cx).is_ready());
    }

    #[tokio::test]
    async fn large_frames_go_together_and_all_at_the_second_flush() {
        let (stream, mut other) = duplex(1 << 20);
        let mut lots = Lots::new(stream);
        for _ in 0..3 {
            write(&mut lots, FRAME);
            flush(&mut lots);
            assert_eq!(arrived(&mut other).await, 0);
        }
        flush(&mut lots);
        assert_eq!(arrived(&mut other).await, 3 * FRAME);
    }

    #[tokio::test]
    async fn a_small_frame_is_sent_when_it_is_flushed_with_what_was_kept() {
        let (stream, mut other) = duplex(1 << 20);
        let mut lots = Lots::new(stream);
        write(&mut lots, 700);
        flush(&mut lots);
        assert_eq!(arrived(&mut other).await, 700);
        write(&mut lots, FRAME);
        flush(&mut lots);
        write(&mut lots, 13);
        flush(&mut lots);
        assert_eq!(arrived(&mut other).await, FRAME + 13);
    }

    #[tokio::test]
    async fn no_more_is_kept_than_a_lot_and_a_slow_client_makes_the_writer_wait() {
        let (stream, mut other) = duplex(FRAME);
        let mut lots = Lots::new(stream);
        let mut cx = Context::from_waker(Waker::noop());
        let bytes = vec![7; 3 * FRAME];
        let mut taken = 0;
        while let Poll::Ready(written) = Pin::new(&mut lots).poll_write(&mut cx, &bytes) {
            taken += written.unwrap();
        }
        assert!(taken <= LOT + FRAME, "{taken}");
        let mut came = 0;
        while came < taken {
            came += arrived(&mut other).await;
            lots.may_wait = false;
            // Pending as long as not all of it was read.
            drop(Pin::new(&mut lots).poll_flush(&mut cx));
        }
        assert_eq!(came, taken);
    }
}
