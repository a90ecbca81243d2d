//! Frames of HTTP/2 that came together, handed on as fewer.
//!
//! In: what a server sends. Out: the same, but that DATA frames of one stream that follow each other
//! are one frame. Go servers send a frame for each message, some 700 bytes; reading a frame takes
//! locks, an entry in a queue, credit and a wake-up, so what it costs is best shared by many messages.
//! Nothing waits here for more to come: a frame is handed on as soon as it is whole, which is when a
//! reader of HTTP/2 can use it.
//!
//! What is handed on takes as much of the windows as what came, since padded frames are left as they
//! are, and it ends where it ended. A frame larger than anybody may send without being asked is not
//! looked into, nor anything after it: whoever reads this will end the connection.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// Read at a time: some 45 flows, and room for one frame of any size in any case.
const READ_BYTES: usize = 32 * 1024;

/// The largest frame that a peer may send to whoever does not ask for larger ones (RFC 9113, 4.2);
/// also the largest that is put together.
const MAX_FRAME: usize = 16_384;

/// Length in three bytes, type, flags, stream in four (RFC 9113, 4.1).
const HEADER: usize = 9;
const DATA: u8 = 0;
const END_STREAM: u8 = 1;

/// The reading side of a client's connection; see the [module](self).
#[derive(Debug)]
pub(crate) struct Gather<S> {
    stream: S,
    /// `ready` bytes to hand on, and behind them the beginning of a frame.
    buffer: BytesMut,
    ready: usize,
    /// A frame came that is too large.
    is_broken: bool,
}

impl<S> Gather<S> {
    /// Reads from `stream`, which has nothing of HTTP/2 read yet.
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            ready: 0,
            is_broken: false,
        }
    }

    /// Makes what has come ready as far as it is whole.
    fn gather(&mut self) {
        if self.is_broken {
            self.ready = self.buffer.len();
            return;
        }
        let bytes = &mut self.buffer[..];
        // `bytes[..end]` is ready, `bytes[next..]` was not looked at. `run` is where the last frame
        // that is ready begins, if more may be added to it.
        let (mut end, mut next) = (0, 0);
        let mut run: Option<usize> = None;
        while let Some(header) = bytes.get(next..).and_then(|rest| rest.first_chunk()) {
            let header: [u8; HEADER] = *header;
            let length = length(header);
            if length > MAX_FRAME {
                self.is_broken = true;
                bytes.copy_within(next.., end);
                end += bytes.len() - next;
                next = bytes.len();
                break;
            }
            let after = next + HEADER + length;
            if after > bytes.len() {
                break;
            }
            let is_plain = header[3] == DATA && header[4] & !END_STREAM == 0;
            let joined = run.filter(|&run| {
                let before = end - run - HEADER;
                is_plain
                    && bytes[run + 5..run + HEADER] == header[5..]
                    && before + length <= MAX_FRAME
            });
            if let Some(run) = joined {
                bytes.copy_within(next + HEADER..after, end);
                end += length;
                let total = (end - run - HEADER) as u32;
                bytes[run..run + 3].copy_from_slice(&total.to_be_bytes()[1..]);
                bytes[run + 4] |= header[4];
            } else {
                bytes.copy_within(next..after, end);
                run = is_plain.then_some(end);
                end += HEADER + length;
            }
            if header[4] & END_STREAM != 0 {
                run = None;
            }
            next = after;
        }
        bytes.copy_within(next.., end);
        let left = bytes.len() - next;
        self.buffer.truncate(end + left);
        self.ready = end;
    }
}

/// What a frame's header says of the length of the rest.
fn length([a, b, c, ..]: [u8; HEADER]) -> usize {
    u32::from_be_bytes([0, a, b, c]) as usize
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.ready == 0 {
            if this.buffer.capacity() - this.buffer.len() < READ_BYTES {
                this.buffer.reserve(READ_BYTES);
            }
            let stream = Pin::new(&mut this.stream);
            let Poll::Ready(read) = poll_read_buf(stream, cx, &mut this.buffer) else {
                // Thousands of connections have nothing to say most of the time.
                this.buffer = BytesMut::from(&this.buffer[..]);
                return Poll::Pending;
            };
            if read? == 0 {
                // The end, maybe in the midst of a frame.
                this.ready = this.buffer.len();
                break;
            }
            this.gather();
        }
        let length = this.ready.min(out.remaining());
        out.put_slice(&this.buffer[..length]);
        this.buffer.advance(length);
        this.ready -= length;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
