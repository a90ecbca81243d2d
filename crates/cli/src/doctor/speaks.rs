//! What answers on a connection: gRPC, or something else.
//!
//! In: a fresh connection, encrypted or not. Both sides of HTTP/2 begin with their settings, so one
//! exchange tells it, before any call.

use std::{io, time::Duration};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How a client of HTTP/2 begins: the fixed words and an empty frame of settings.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The length of a frame's head.
const HEAD: usize = 9;

/// The type of a frame of settings.
const SETTINGS: u8 = 4;

/// What came back.
#[derive(Debug)]
pub(super) enum Answer {
    /// HTTP/2, as gRPC needs it.
    Http2,
    /// The server knows the older protocol only.
    Http1,
    /// The server complains in the form of TLS.
    Tls,
    /// Something else.
    Other(Vec<u8>),
    /// Nothing, and the connection is closed.
    Closed,
    /// Nothing in time.
    Silence,
    /// The connection broke.
    Broken(io::Error),
}

/// Greets, and hears what comes back.
pub(super) async fn answer<S>(stream: &mut S, patience: Duration) -> Answer
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match tokio::time::timeout(patience, exchange(stream)).await {
        Ok(Ok(heard)) => judge(heard),
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Answer::Closed,
        Ok(Err(error)) => Answer::Broken(error),
        Err(_elapsed) => Answer::Silence,
    }
}

async fn exchange<S>(stream: &mut S) -> io::Result<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // A server that refuses us may say why before it hears us out, so reading decides.
    let sent = async {
        stream.write_all(HELLO).await?;
        stream.flush().await
    }
    .await;
    let mut heard = Vec::with_capacity(HEAD);
    let mut rest = stream.take(HEAD as u64);
    match rest.read_to_end(&mut heard).await {
        Ok(_) if heard.is_empty() => sent.map(|()| heard),
        Ok(_) => Ok(heard),
        Err(_) if !heard.is_empty() => Ok(heard),
        Err(error) => Err(error),
    }
}

fn judge(heard: Vec<u8>) -> Answer {
    match heard.as_slice() {
        [] => Answer::Closed,
        [_, _, _, SETTINGS, _, 0, 0, 0, 0] => Answer::Http2,
        // An alert of any version.
        [0x15, 3, ..] => Answer::Tls,
        other if other.starts_with(b"HTTP/") => Answer::Http1,
        _ => Answer::Other(heard),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_protocol() {
        assert!(matches!(
            judge(b"\0\0\x12\x04\0\0\0\0\0".to_vec()),
            Answer::Http2
        ));
        assert!(matches!(judge(b"HTTP/1.1 ".to_vec()), Answer::Http1));
        assert!(matches!(
            judge(b"\x15\x03\x03\0\x02\x02\x46".to_vec()),
            Answer::Tls
        ));
        assert!(matches!(judge(b"220 smtp ".to_vec()), Answer::Other(_)));
        assert!(matches!(judge(Vec::new()), Answer::Closed));
    }
}
