//! What the fuzz targets reach: bytes as peers may send them in, what this relay makes of them out.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use prost_types::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tonic::Status;

use crate::answer::Cutter;
use crate::gather::Gather;
use crate::names::Names;
use crate::wire::scan;

/// What is handed on of a connection whose bytes come in these pieces, read by so many at a time.
/// `None` if it waits for more although all has come.
#[must_use]
pub fn gathered(pieces: &[&[u8]], read_at_once: usize) -> Option<Vec<u8>> {
    let mut connection = Gather::new(Pieces {
        piece: &[],
        after: pieces,
    });
    let mut handed_on = Vec::new();
    let mut part = vec![0; read_at_once.max(1)];
    loop {
        match connection.read(&mut part).now_or_never()? {
            Ok(0) | Err(_) => return Some(handed_on),
            Ok(length) => handed_on.extend_from_slice(part.get(..length)?),
        }
    }
}

/// The messages of a stream that comes in these pieces, but for those that are too long or compressed.
///
/// # Errors
/// When there is something in it that no message begins with.
pub fn cut(pieces: &[&[u8]]) -> Result<Vec<Bytes>, Status> {
    let (mut cutter, mut messages) = (Cutter::default(), Vec::new());
    for piece in pieces {
        cutter.cut(Bytes::copy_from_slice(piece), &mut messages)?;
    }
    Ok(messages)
}

/// What is read of a message: its time and the name of its node. `None` for one that is left out.
#[must_use]
pub fn scanned(message: &[u8]) -> Option<(Option<Timestamp>, &str)> {
    let envelope = scan(message).ok()?;
    Some((envelope.time.map(Timestamp::from), envelope.node_name))
}

/// A message of a peer as clients get it, with full names; `None` for one that is left out.
#[must_use]
pub fn completed(message: &[u8], peer: &str) -> Option<Vec<u8>> {
    let completed = Names::of(peer.into()).completed(message, &scan(message).ok()?);
    Some(completed.map_or_else(|| message.to_vec(), |bytes| bytes.to_vec()))
}

/// A connection that brings one piece at a read, and then ends.
struct Pieces<'a> {
    piece: &'a [u8],
    after: &'a [&'a [u8]],
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // An empty one would be the end.
        while let ([], Some((next, after))) = (self.piece, self.after.split_first()) {
            (self.piece, self.after) = (next, after);
        }
        let (now, later) = self.piece.split_at(self.piece.len().min(out.remaining()));
        out.put_slice(now);
        self.piece = later;
        Poll::Ready(Ok(()))
    }
}
