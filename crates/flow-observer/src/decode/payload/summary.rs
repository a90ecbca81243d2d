//! What is kept of an application's words beside a flow: little, and bounded.

use std::fmt::{self, Write as _};

use super::{Application, dns, http, tls};

/// The longest text that is kept: a domain name of full length. Longer ones end in `…`.
const MAX_TEXT_LEN: usize = 255;

/// What an application said, in brief. Its [`Display`](fmt::Display) is one line.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ApplicationSummary {
    /// A question about a name, or the answer.
    Dns {
        /// Whether it is the answer.
        is_response: bool,
        /// The name that was asked for, in lower case and without the final dot.
        name: Box<str>,
        /// What was asked for; of several questions, by the first.
        record_type: dns::RecordType,
        /// How it went, in an answer.
        rcode: u8,
    },
    /// The head of a request.
    HttpRequest {
        /// As in `GET`.
        method: Box<str>,
        /// As in `example.com/path`: without user, query and fragment, where secrets are passed.
        /// Empty when it was cut.
        url: Box<str>,
    },
    /// The head of a response.
    HttpResponse {
        /// As in 200.
        code: u16,
    },
    /// The beginning of a QUIC connection.
    Quic(ServerName),
    /// The beginning of a TLS connection.
    Tls(ServerName),
}

/// What a ClientHello says of the server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerName {
    /// Its name in lower case, where the hello has one.
    pub name: Option<Box<str>>,
    /// The protocol that the client likes best, as in `h2`.
    pub alpn: Option<Box<str>>,
}

impl Application<'_> {
    /// What can be kept; `None` when there is nothing to tell.
    #[must_use]
    pub fn summary(&self) -> Option<ApplicationSummary> {
        Some(match self {
            Self::Dns(message) => {
                let question = message.questions().next()?;
                ApplicationSummary::Dns {
                    is_response: message.is_response(),
                    name: domain_name(question.name),
                    record_type: question.record_type,
                    rcode: message.rcode(),
                }
            }
            Self::HttpRequest(request) => ApplicationSummary::HttpRequest {
                method: request.method.into(),
                url: url(request),
            },
            Self::HttpResponse(response) => ApplicationSummary::HttpResponse {
                code: response.code,
            },
            Self::Quic(initial) => ApplicationSummary::Quic(server_name(&initial.client_hello?)),
            Self::Tls(hello) => ApplicationSummary::Tls(server_name(hello)),
        })
    }
}

impl ApplicationSummary {
    /// The protocol's name, as in `dns`.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match self {
            Self::Dns { .. } => "dns",
            Self::HttpRequest { .. } | Self::HttpResponse { .. } => "http",
            Self::Quic(_) => "quic",
            Self::Tls(_) => "tls",
        }
    }

    /// The name that is meant: the one asked for, or that of the server.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Dns { name, .. } => Some(name),
            Self::HttpRequest { url, .. } => host(url),
            Self::HttpResponse { .. } => None,
            Self::Quic(server) | Self::Tls(server) => server.name.as_deref(),
        }
    }
}

impl fmt::Display for ApplicationSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns {
                is_response: false,
                name,
                record_type,
                ..
            } => write!(f, "DNS query {name} {record_type}"),
            Self::Dns {
                name,
                record_type,
                rcode: 0,
                ..
            } => write!(f, "DNS answer {name} {record_type}"),
            Self::Dns {
                name,
                record_type,
                rcode,
                ..
            } => write!(f, "DNS answer {name} {record_type}: code {rcode}"),
            // Cut behind the method.
            Self::HttpRequest { method, url } if url.is_empty() => f.write_str(method),
            Self::HttpRequest { method, url } => write!(f, "{method} {url}"),
            Self::HttpResponse { code } => write!(f, "HTTP {code}"),
            Self::Quic(server) => write!(f, "QUIC {server}"),
            Self::Tls(server) => write!(f, "TLS {server}"),
        }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.as_deref().unwrap_or("without a name"))?;
        match &self.alpn {
            Some(alpn) => write!(f, " ({alpn})"),
            None => Ok(()),
        }
    }
}

fn domain_name(name: dns::Name<'_>) -> Box<str> {
    // A cut text ends in another character, and the root is its dot.
    let text = bounded(name);
    match text.strip_suffix('.') {
        Some(relative) if !relative.is_empty() => relative.to_ascii_lowercase().into(),
        _ => text.to_ascii_lowercase().into(),
    }
}

fn server_name(hello: &tls::ClientHello<'_>) -> ServerName {
    ServerName {
        name: hello
            .server_name
            .map(|name| bounded(name).to_ascii_lowercase().into()),
        alpn: hello
            .alpn()
            .find(|protocol| !is_made_up(protocol))
            .map(|protocol| bounded(protocol.escape_ascii()).into()),
    }
}

/// Whether a protocol is one of those that only keep servers tolerant (RFC 8701).
fn is_made_up(protocol: &[u8]) -> bool {
    matches!(protocol, [first, second] if first == second && first & 0x0f == 0x0a)
}

/// Host and path, whichever way the request has them.
fn url(request: &http::Request<'_>) -> Box<str> {
    let target = request.target.unwrap_or_default();
    let target = target
        .split_once(['?', '#'])
        .map_or(target, |(before, _)| before);
    let (host, path) = match target.split_once("://") {
        Some((_, rest)) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None if target.starts_with('/') => (request.host.unwrap_or_default(), target),
        // `CONNECT` names the host alone, `OPTIONS` may name `*`.
        None => ("", target),
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    bounded(format_args!("{}{path}", host.to_ascii_lowercase())).into()
}

/// The host of what [`url`] made, without its port; `None` where a request names none.
fn host(url: &str) -> Option<&str> {
    let host = url.split('/').next()?;
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host,
    };
    Some(host).filter(|host| !["", "*"].contains(host))
}

/// A text of at most [`MAX_TEXT_LEN`] bytes, and `…` where it would be longer.
fn bounded(text: impl fmt::Display) -> String {
    let mut bounded = Bounded(String::new());
    if write!(bounded, "{text}").is_err() {
        bounded.0.push('…');
    }
    bounded.0
}

/// Refuses what does not fit, after taking as much of it as does.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_TEXT_LEN - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let end = text.floor_char_boundary(room);
        self.0.push_str(&text[..end]);
        Err(fmt::Error)
    }
}
