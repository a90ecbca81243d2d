//! An HTTP/1.1 server that answers every request with a short page, and the one request that its
//! clients send.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::Workload;
use crate::Place;

/// How long one side waits for the other: far more than a message takes between namespaces.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
/// The longest request or response that either side reads.
pub(super) const MESSAGE_LIMIT_BYTES: u64 = 64 * 1024;

/// Serves HTTP on `port` of every address of `place`, one request per connection.
///
/// # Errors
/// When the port is taken.
pub fn serve_http(place: &impl Place, port: u16) -> Result<Workload> {
    // Bound to IPv6's any address, which takes IPv4 as well.
    let listener = place.run(|| Ok(TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?))?;
    Workload::start(place, "http server", move |state| {
        while state.readable(&listener) {
            let served = listener
                .accept()
                .map_err(Into::into)
                .and_then(|(it, _)| answer(&it));
            state.count("serve", served);
        }
    })
}

/// Reads one request and answers it.
fn answer(stream: &TcpStream) -> Result<()> {
    limit(stream)?;
    let path = read_request(stream)?;
    { stream }.write_all(page(&path).as_bytes())?;
    Ok(())
}

/// Reads the head of a request: the path that it asks for.
pub(super) fn read_request(stream: impl Read) -> Result<String> {
    let mut lines = BufReader::new(stream.take(MESSAGE_LIMIT_BYTES)).lines();
    let request = lines.next().context("no request")??;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    Ok(request.split(' ').nth(1).unwrap_or("/").to_owned())
}

/// The response to a request for `path`.
pub(super) fn page(path: &str) -> String {
    let body = format!("you asked for {path}\n");
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Asks `server` for `path` by GET and reads the whole response.
pub(super) fn get(server: SocketAddr, host: &str, path: &str) -> Result<()> {
    let stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
    limit(&stream)?;
    (&stream).write_all(request(host, path).as_bytes())?;
    let mut response = String::new();
    (&stream)
        .take(MESSAGE_LIMIT_BYTES)
        .read_to_string(&mut response)?;
    ensure!(
        response.starts_with("HTTP/1.1 200 "),
        "unexpected response from {server}"
    );
    Ok(())
}

/// The request that clients send.
pub(super) fn request(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

pub(super) fn limit(stream: &TcpStream) -> Result<()> {
    // A whole message is written at once: waiting to fill a segment would only add delay.
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(())
}
