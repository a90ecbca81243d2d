//! Frames of HTTP/2 that came together, handed on as fewer.
//!
//! In: what a server sends. Out: the same, but that DATA frames of one stream that follow each other
//! are one frame. Go servers send a frame for each message, some 700 bytes; reading a frame takes
//! locks, an entry in a queue, credit and a wake-up, so what it costs is best shared by many messages.
//! Nothing waits here for more to come: a frame is handed on as soon as it is whole, which is when a
//! reader of HTTP/2 can use it.
//!
//! The other way, credit for what was read is sent in lots. It is given back frame by frame, each
//! time with a write of its own, and most of what a write costs is the kernel's. What is kept of it is
//! less than half of a stream's window, so that a server never stands still for it: it either has some
//! left, or what it sent is read, and makes up a lot.
//!
//! What is handed on takes as much of the windows as what came, since padded frames are left as they
//! are, and it ends where it ended. A frame larger than anybody may send without being asked is not
//! looked into, nor anything after it: whoever reads this will end the connection.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use crate::defaults::STREAM_WINDOW_BYTES;

/// Read at a time: some 45 flows, and room for one frame of any size in any case.
const READ_BYTES: usize = 32 * 1024;

/// The largest frame that a peer may send to whoever does not ask for larger ones (RFC 9113, 4.2);
/// also the largest that is put together.
const MAX_FRAME: usize = 16_384;

/// Length in three bytes, type, flags, stream in four (RFC 9113, 4.1).
const HEADER: usize = 9;
const DATA: u8 = 0;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;

/// Of a frame that gives credit, header included.
const CREDIT_FRAME: usize = HEADER + 4;

/// Credit is sent when there is so much of it.
const CREDIT_LOT: u32 = STREAM_WINDOW_BYTES / 2;

/// Frames up to this size are written together with credit that is sent before them.
const SMALL: usize = 1024;

thread_local! {
    /// What the connections of a thread read into by turns, so that it is warm in the processor's
    /// caches: hundreds of them have a flow or two each time.
    static SPARE: Cell<BytesMut> = Cell::default();
}

/// The reading side of a client's connection; see the [module](self).
#[derive(Debug)]
pub(crate) struct Gather<S> {
    stream: S,
    /// `ready` bytes to hand on, and behind them the beginning of a frame. While there is nothing of
    /// the former, as small as the latter.
    buffer: BytesMut,
    ready: usize,
    /// A frame came that is too large.
    is_broken: bool,
    /// To be written before anything else, when it `is_due`.
    kept: BytesMut,
    is_due: bool,
    /// Credit that is kept: of streams, and of the connection.
    credit: [u32; 2],
}

impl<S> Gather<S> {
    /// Reads from `stream`, which has nothing of HTTP/2 read yet.
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            ready: 0,
            is_broken: false,
            kept: BytesMut::new(),
            is_due: false,
            credit: [0; 2],
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

impl<S: AsyncRead + Unpin> Gather<S> {
    /// Reads until something is ready, or the end has come.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.borrow_room();
        while self.ready == 0 {
            self.buffer.reserve(READ_BYTES);
            let stream = Pin::new(&mut self.stream);
            if ready!(poll_read_buf(stream, cx, &mut self.buffer))? == 0 {
                // The end, maybe in the midst of a frame.
                self.ready = self.buffer.len();
                break;
            }
            self.gather();
        }
        Poll::Ready(Ok(()))
    }

    /// Takes the thread's room to read, with what is here at its beginning.
    fn borrow_room(&mut self) {
        let mut room = SPARE.take();
        room.extend_from_slice(&self.buffer);
        self.buffer = room;
    }

    /// Gives it back unless something in it waits to be handed on.
    fn return_room(&mut self) {
        if self.ready == 0 {
            // Thousands of connections have nothing to say most of the time.
            let begun = BytesMut::from(&self.buffer[..]);
            let mut room = std::mem::replace(&mut self.buffer, begun);
            room.clear();
            SPARE.set(room);
        }
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
        let filled = if self.ready == 0 {
            self.poll_fill(cx)
        } else {
            Poll::Ready(Ok(()))
        };
        let length = self.ready.min(out.remaining());
        out.put_slice(&self.buffer[..length]);
        self.buffer.advance(length);
        self.ready -= length;
        self.return_room();
        filled
    }
}

/// The credit in these bytes, of streams and of the connection, if there is nothing else.
fn credit(bytes: &[u8]) -> Option<[u32; 2]> {
    let frames = bytes.chunks_exact(CREDIT_FRAME);
    if bytes.is_empty() || !frames.remainder().is_empty() {
        return None;
    }
    frames.into_iter().try_fold([0u32; 2], |mut sum, frame| {
        let (header, more) = frame.split_first_chunk::<HEADER>()?;
        let more = u32::from_be_bytes(*more.first_chunk()?);
        let of_connection = header[5..] == [0; 4];
        let sum_of = &mut sum[usize::from(of_connection)];
        *sum_of = sum_of.saturating_add(more);
        (header[3] == WINDOW_UPDATE && length(*header) == 4).then_some(sum)
    })
}

impl<S: AsyncWrite + Unpin> Gather<S> {
    fn poll_write_kept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.kept.is_empty() {
            let stream = Pin::new(&mut self.stream);
            if ready!(poll_write_buf(stream, cx, &mut self.kept))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        (self.is_due, self.credit) = (false, [0; 2]);
        Poll::Ready(Ok(()))
    }

    /// Takes a small write.
    fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        match credit(bytes) {
            Some(more) => {
                for (sum, more) in self.credit.iter_mut().zip(more) {
                    *sum = sum.saturating_add(more);
                }
                self.is_due |= self.credit.iter().any(|sum| *sum >= CREDIT_LOT);
            }
            None => self.is_due = true,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_due || bytes.len() > SMALL {
            ready!(self.poll_write_kept(cx))?;
        }
        if bytes.len() > SMALL {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        self.keep(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_due {
            ready!(self.poll_write_kept(cx))?;
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_kept(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
