//! Where the body of a message ends, and so the next message begins (RFC 9112, 6.3).

use httparse::Status;

use super::{Header, Request, Response};

/// What tells the end of a message's body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Body {
    /// It is so many bytes long; 0 where there is none.
    Length(u64),
    /// Its chunks do.
    Chunked,
    /// The end of the connection, or nothing: what follows is not HTTP, or contradicts itself.
    Unframed,
}

impl Request<'_> {
    /// What tells the end of its body. Only for a head that is complete.
    #[must_use]
    pub fn body(&self) -> Body {
        if self.method == "CONNECT" {
            return Body::Unframed;
        }
        framing(self.headers()).unwrap_or(Body::Length(0))
    }
}

impl Response<'_> {
    /// What tells the end of its body, when it answers a request of this method. Only for a head
    /// that is complete.
    #[must_use]
    pub fn body(&self, method: &str) -> Body {
        match self.code {
            // Another protocol follows.
            101 => Body::Unframed,
            200..=299 if method == "CONNECT" => Body::Unframed,
            100..=199 | 204 | 304 => Body::Length(0),
            _ if method == "HEAD" => Body::Length(0),
            _ => framing(self.headers()).unwrap_or(Body::Unframed),
        }
    }
}

impl Body {
    /// How long it is, when all of it is in `bytes`, which begin where it does.
    #[must_use]
    pub fn len_within(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Length(len) => usize::try_from(len).ok().filter(|&len| len <= bytes.len()),
            Self::Chunked => chunks_len(bytes),
            Self::Unframed => None,
        }
    }
}

/// `None` when the headers say nothing of a body.
fn framing<'a>(headers: impl Iterator<Item = Header<'a>>) -> Option<Body> {
    let mut framing = None;
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            let coding = header.value.rsplit(|&byte| byte == b',').next();
            let is_chunked =
                coding.is_some_and(|it| it.trim_ascii().eq_ignore_ascii_case(b"chunked"));
            // It wins over any length.
            return Some(if is_chunked {
                Body::Chunked
            } else {
                Body::Unframed
            });
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let told = length(header.value).map_or(Body::Unframed, Body::Length);
            framing = match framing {
                Some(before) if before != told => Some(Body::Unframed),
                _ => Some(told),
            };
        }
    }
    framing
}

fn length(value: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(value.trim_ascii()).ok()?;
    // A sign is no digit, although a number may have one.
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

/// Chunks up to the last one, and the trailers.
fn chunks_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..)?;
        let Ok(Status::Complete((line, size))) = httparse::parse_chunk_size(rest) else {
            return None;
        };
        at += line;
        if size == 0 {
            return Some(at + trailers_len(bytes.get(at..)?)?);
        }
        // The chunk, and the line's end behind it.
        at = at
            .checked_add(usize::try_from(size).ok()?)?
            .checked_add(2)?;
    }
}

/// Lines up to an empty one.
fn trailers_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..)?;
        let line = rest.iter().position(|&byte| byte == b'\n')? + 1;
        at += line;
        if matches!(rest.get(..line), Some(b"\r\n" | b"\n")) {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    fn of_response(head: &str, method: &str) -> Body {
        response(head.as_bytes()).unwrap().body(method)
    }

    #[test]
    fn a_request_has_the_body_that_its_headers_announce() {
        for (headers, expected) in [
            ("", Body::Length(0)),
            ("Content-Length: 5\r\n", Body::Length(5)),
            (
                "content-length:  5 \r\nContent-Length: 5\r\n",
                Body::Length(5),
            ),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", Body::Unframed),
            ("Content-Length: +5\r\n", Body::Unframed),
            ("Content-Length: \r\n", Body::Unframed),
            ("Content-Length: 99999999999999999999\r\n", Body::Unframed),
            ("Transfer-Encoding: gzip, Chunked\r\n", Body::Chunked),
            (
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                Body::Chunked,
            ),
            ("Transfer-Encoding: chunked, gzip\r\n", Body::Unframed),
        ] {
            let head = format!("POST / HTTP/1.1\r\n{headers}\r\n");
            let body = request(head.as_bytes()).unwrap().body();
            assert_eq!(body, expected, "{headers:?}");
        }
        let connect = request(b"CONNECT a:443 HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(connect.body(), Body::Unframed);
    }

    #[test]
    fn a_response_has_the_body_that_code_and_request_allow() {
        for (code, method, expected) in [
            (200, "GET", Body::Length(5)),
            (200, "HEAD", Body::Length(0)),
            (200, "CONNECT", Body::Unframed),
            (407, "CONNECT", Body::Length(5)),
            (100, "GET", Body::Length(0)),
            (101, "GET", Body::Unframed),
            (204, "GET", Body::Length(0)),
            (304, "GET", Body::Length(0)),
        ] {
            let head = format!("HTTP/1.1 {code} X\r\nContent-Length: 5\r\n\r\n");
            assert_eq!(of_response(&head, method), expected, "{code} {method}");
        }
        assert_eq!(
            of_response("HTTP/1.0 200 OK\r\n\r\n", "GET"),
            Body::Unframed
        );
    }

    #[test]
    fn a_body_ends_within_the_packet_or_its_end_is_not_known() {
        let chunks = b"4;name=value\r\nbody\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nnext";
        let whole = chunks.len() - b"next".len();
        assert_eq!(Body::Chunked.len_within(chunks), Some(whole));
        for len in 0..whole {
            assert_eq!(Body::Chunked.len_within(&chunks[..len]), None, "{len}");
        }
        assert_eq!(Body::Chunked.len_within(b"0\r\n\r\n"), Some(5));
        assert_eq!(Body::Chunked.len_within(b"ffffffffffffffff\r\n"), None);
        assert_eq!(Body::Chunked.len_within(b"x\r\n"), None);
        assert_eq!(Body::Length(4).len_within(b"body"), Some(4));
        assert_eq!(Body::Length(5).len_within(b"body"), None);
        assert_eq!(Body::Unframed.len_within(b"body"), None);
    }
}
