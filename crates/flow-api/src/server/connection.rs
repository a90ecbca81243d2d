//! From a bare connection to one that is encrypted if it should be, and to one that speaks HTTP/2, or to
//! a reason why not.
//!
//! A client has to begin TLS and send the first bytes of HTTP/2 in time; only then does anything
//! larger than a socket exist for it. The bytes that were read for this are read again by what
//! serves the connection.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::counts::Refusal;

/// What every client of HTTP/2 says first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A client's side of a socket, as it was accepted.
#[derive(Debug)]
pub(super) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// A connection; if it is for HTTP/2, that has begun on it.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    /// How much of the preface was handed on. All of it where none is expected.
    handed_on: usize,
}

/// What goes over a socket once it is encrypted, if it should be.
#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why there is no connection, in words where somebody should read them.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) refusal: Refusal,
    pub(super) reason: Option<String>,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            reason: None,
        }
    }
}

impl Stream {
    /// Meets a client. TLS is for TCP only.
    async fn begin(socket: Socket, tls: Option<Arc<ServerConfig>>) -> Result<Self, Failure> {
        Ok(match (socket, tls) {
            (Socket::Unix(stream), _) => Self::Unix(stream),
            (Socket::Tcp(stream), None) => Self::Tcp(stream),
            (Socket::Tcp(stream), Some(config)) => {
                let accepted = TlsAcceptor::from(config).accept(stream).await;
                Self::Tls(Box::new(accepted.map_err(|error| tls_failure(&error))?))
            }
        })
    }
}

impl Connection {
    /// Meets a client, whatever it speaks.
    pub(super) async fn meet(
        socket: Socket,
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            stream: Stream::begin(socket, tls).await?,
            handed_on: PREFACE.len(),
        })
    }

    /// Meets a client, and hears that it speaks HTTP/2.
    pub(super) async fn begin(
        socket: Socket,
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<Self, Failure> {
        let mut stream = Stream::begin(socket, tls).await?;
        let mut first = [0; PREFACE.len()];
        let mut filled = 0;
        while let Some(rest) = first.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let read = stream
                .read(rest)
                .await
                .map_err(|error| tls_failure(&error))?;
            if read == 0 {
                return Err(Refusal::HandshakeEnded.into());
            }
            filled += read;
            // At the first wrong byte: a client of HTTP/1 would wait for an answer to less.
            if !PREFACE.starts_with(first.get(..filled).unwrap_or_default()) {
                return Err(Refusal::NotHttp2.into());
            }
        }
        Ok(Self {
            stream,
            handed_on: 0,
        })
    }
}

/// What the TLS library refuses comes as invalid data; all else is a client that went away.
fn tls_failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidData => Failure {
            refusal: Refusal::Tls,
            reason: Some(error.to_string()),
        },
        _ => Refusal::HandshakeEnded.into(),
    }
}

/// The same call on whichever stream it is.
macro_rules! on_stream {
    ($stream:expr, $bound:ident => $call:expr) => {
        match $stream {
            Stream::Unix($bound) => $call,
            Stream::Tcp($bound) => $call,
            Stream::Tls($bound) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_stream!(&mut *self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(rest) = PREFACE.get(self.handed_on..).filter(|it| !it.is_empty()) {
            let part = rest.get(..buffer.remaining()).unwrap_or(rest);
            buffer.put_slice(part);
            self.handed_on += part.len();
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_stream!(&mut self.stream, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(&mut self.stream, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(&mut self.stream, stream => Pin::new(stream).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_stream!(&mut self.stream, stream => Pin::new(stream).poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        on_stream!(&self.stream, stream => stream.is_write_vectored())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    async fn begun_with(bytes: &[u8]) -> Result<Connection, Failure> {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(bytes).await.unwrap();
        drop(client);
        Connection::begin(Socket::Unix(server), None).await
    }

    #[tokio::test]
    async fn the_preface_is_handed_on_with_what_follows_in_pieces_of_any_size() {
        let mut sent = PREFACE.to_vec();
        sent.extend(b"and more");
        let mut connection = begun_with(&sent).await.unwrap();
        let mut read = Vec::new();
        let mut piece = [0; 7];
        loop {
            let len = connection.read(&mut piece).await.unwrap();
            if len == 0 {
                break;
            }
            read.extend_from_slice(&piece[..len]);
        }
        assert_eq!(read, sent);
    }

    #[tokio::test]
    async fn anything_else_is_refused_at_its_first_wrong_byte() {
        let garbage: [&[u8]; 4] = [
            b"GET / HTTP/1.1\r\n",
            b"PRI * HTTP/1",
            b"\x16\x03\x01",
            b"\0",
        ];
        for bytes in garbage {
            let failure = begun_with(bytes).await.unwrap_err();
            assert_eq!(failure.refusal, Refusal::NotHttp2);
        }
        for bytes in [&PREFACE[..23], b""] {
            let failure = begun_with(bytes).await.unwrap_err();
            assert_eq!(failure.refusal, Refusal::HandshakeEnded);
        }
    }
}
