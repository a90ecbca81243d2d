//! Heads of HTTP/1.x requests and responses (RFC 9112).
//!
//! In: a TCP payload that begins like a head ([`may_hold`]). Out: a [`Request`] or [`Response`]
//! that borrows it. Of a head that the capture or the segment cut, what is complete is told. A
//! header line that nobody should have sent is skipped: the request was made all the same.

mod body;

use httparse::{EMPTY_HEADER, ParserConfig};

pub use body::Body;
pub use httparse::Header;

use super::{PayloadError, Protocol};

/// Headers that are read of one head. Web servers allow about 100; what follows these is not read,
/// and `Host` stands at the beginning.
const MAX_HEADERS: usize = 64;

/// The methods of RFC 9110 and RFC 5789. Others are rare, and looking for them would take much for
/// HTTP that is not.
const METHODS: &[&str] = &[
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// As in `GET`.
    pub method: &'a str,
    /// As in `/path?query`, or a whole URL to a proxy; `None` when it was cut.
    pub target: Option<&'a str>,
    /// `None` when it was cut.
    pub version: Option<Version>,
    /// The host that is asked; `None` when there is none, or it was cut.
    pub host: Option<&'a str>,
    /// Whether the head goes on after the payload.
    pub is_cut: bool,
    /// Bytes of the head as far as it is there.
    pub head_len: usize,
    payload: &'a [u8],
}

/// The head of a response.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// As in 200.
    pub code: u16,
    /// The version.
    pub version: Version,
    /// Whether the head goes on after the payload.
    pub is_cut: bool,
    /// Bytes of the head as far as it is there.
    pub head_len: usize,
    payload: &'a [u8],
}

/// A version of HTTP/1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// What a payload begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Head {
    /// A method.
    Request,
    /// A status line.
    Response,
}

/// Which head these bytes begin like, if any.
#[must_use]
pub fn may_hold(payload: &[u8]) -> Option<Head> {
    if payload.starts_with(b"HTTP/1.") {
        return Some(Head::Response);
    }
    // Most payloads are no HTTP, and most of those begin with none of the methods' letters.
    if !matches!(
        payload.first(),
        Some(b'C' | b'D' | b'G' | b'H' | b'O' | b'P' | b'T')
    ) {
        return None;
    }
    let is_method = |method: &&str| {
        payload
            .strip_prefix(method.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&b' '))
    };
    METHODS.iter().any(is_method).then_some(Head::Request)
}

/// Reads the head of a request.
///
/// # Errors
/// [`PayloadError::Cut`] when not even the method is there; [`PayloadError::Malformed`] when this
/// is no request.
pub fn request(payload: &[u8]) -> Result<Request<'_>, PayloadError> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let (request, head_len) = read_request(payload, &mut headers)?;
    Ok(Request {
        method: request.method.ok_or(CUT)?,
        target: request.path,
        version: request.version.map(Version::from_minor),
        host: present(request.headers)
            .find(|header| header.name.eq_ignore_ascii_case("host"))
            .and_then(|header| str::from_utf8(header.value).ok()),
        is_cut: head_len.is_none(),
        head_len: head_len.unwrap_or(payload.len()),
        payload,
    })
}

/// Reads the head of a response.
///
/// # Errors
/// [`PayloadError::Cut`] when the status is not there; [`PayloadError::Malformed`] when this is no
/// response.
pub fn response(payload: &[u8]) -> Result<Response<'_>, PayloadError> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let (response, head_len) = read_response(payload, &mut headers)?;
    Ok(Response {
        code: response.code.ok_or(CUT)?,
        version: response.version.map(Version::from_minor).ok_or(CUT)?,
        is_cut: head_len.is_none(),
        head_len: head_len.unwrap_or(payload.len()),
        payload,
    })
}

impl<'a> Request<'a> {
    /// Whether it has as many headers as are read, so that its end would tell nothing more.
    pub(super) fn is_full(&self) -> bool {
        self.headers().count() == MAX_HEADERS
    }

    /// Its headers, up to 64, as far as they are complete. Reads the payload again.
    pub fn headers(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        // What was read is in the array even where what follows is not good.
        drop(read_request(self.payload, &mut headers));
        headers.into_iter().take_while(is_present)
    }
}

impl<'a> Response<'a> {
    /// Whether it has as many headers as are read, so that its end would tell nothing more.
    pub(super) fn is_full(&self) -> bool {
        self.headers().count() == MAX_HEADERS
    }

    /// Its headers, up to 64, as far as they are complete. Reads the payload again.
    pub fn headers(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        drop(read_response(self.payload, &mut headers));
        headers.into_iter().take_while(is_present)
    }
}

impl Version {
    /// As on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }

    fn from_minor(minor: u8) -> Self {
        if minor == 0 {
            Self::Http10
        } else {
            Self::Http11
        }
    }
}

fn read_request<'a, 'h>(
    payload: &'a [u8],
    headers: &'h mut [Header<'a>],
) -> Result<(httparse::Request<'h, 'a>, Option<usize>), PayloadError> {
    let mut request = httparse::Request::new(headers);
    let mut config = ParserConfig::default();
    config.ignore_invalid_headers_in_requests(true);
    let head_len = head_len(config.parse_request(&mut request, payload))?;
    Ok((request, head_len))
}

fn read_response<'a, 'h>(
    payload: &'a [u8],
    headers: &'h mut [Header<'a>],
) -> Result<(httparse::Response<'h, 'a>, Option<usize>), PayloadError> {
    let mut response = httparse::Response::new(headers);
    let mut config = ParserConfig::default();
    config.ignore_invalid_headers_in_responses(true);
    let head_len = head_len(config.parse_response(&mut response, payload))?;
    Ok((response, head_len))
}

const CUT: PayloadError = PayloadError::Cut {
    protocol: Protocol::Http,
};

/// Bytes of the head; `None` when it is cut.
fn head_len(result: httparse::Result<usize>) -> Result<Option<usize>, PayloadError> {
    use httparse::Error;

    let what = match result {
        Ok(httparse::Status::Complete(len)) => return Ok(Some(len)),
        Ok(httparse::Status::Partial) | Err(Error::TooManyHeaders) => return Ok(None),
        Err(Error::HeaderName) => "header name",
        Err(Error::HeaderValue) => "header value",
        Err(Error::NewLine) => "line ending",
        Err(Error::Status) => "status",
        Err(Error::Token) => "request line",
        Err(Error::Version) => "version",
    };
    Err(PayloadError::Malformed {
        protocol: Protocol::Http,
        what,
    })
}

/// Those of the array that were filled in.
fn present<'h, 'a>(headers: &'h [Header<'a>]) -> impl Iterator<Item = &'h Header<'a>> {
    headers.iter().take_while(|header| is_present(header))
}

fn is_present(header: &Header<'_>) -> bool {
    !header.name.is_empty()
}

#[cfg(test)]
mod tests;
