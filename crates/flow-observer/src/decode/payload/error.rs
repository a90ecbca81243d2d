//! Why a payload tells nothing.

use std::fmt;

/// Why a payload that looked like a protocol told nothing. The packet's flow is not affected.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The captured bytes end before there is anything to tell, or before they can be decrypted.
    #[error("the captured {protocol} payload ends too early: capture more bytes of each packet")]
    Cut {
        /// What it looked like.
        protocol: Protocol,
    },
    /// The bytes contradict the protocol: something else on its port, a later piece of a stream,
    /// or a broken sender.
    #[error("malformed {protocol} payload: impossible {what}")]
    Malformed {
        /// What it looked like.
        protocol: Protocol,
        /// The part that does not add up.
        what: &'static str,
    },
    /// A QUIC Initial packet that its own connection id does not decrypt: a server's, or a
    /// client's after it has heard from the server.
    #[error("the keys of this QUIC Initial packet are not known")]
    UnknownKeys,
}

impl PayloadError {
    /// A short name for counters.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Cut { protocol } => match protocol {
                Protocol::Dns => "cut_dns",
                Protocol::Http => "cut_http",
                Protocol::Quic => "cut_quic",
                Protocol::Tls => "cut_tls",
            },
            Self::Malformed { protocol, .. } => match protocol {
                Protocol::Dns => "malformed_dns",
                Protocol::Http => "malformed_http",
                Protocol::Quic => "malformed_quic",
                Protocol::Tls => "malformed_tls",
            },
            Self::UnknownKeys => "unknown_quic_keys",
        }
    }
}

/// An application protocol that payloads are read as.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Protocol {
    /// Domain names (RFC 1035).
    Dns,
    /// HTTP/1.0 and 1.1 (RFC 9112).
    Http,
    /// QUIC versions 1 and 2 (RFC 9000, RFC 9369).
    Quic,
    /// TLS over TCP (RFC 8446).
    Tls,
}

impl Protocol {
    /// A short name for counters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Http => "http",
            Self::Quic => "quic",
            Self::Tls => "tls",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "DNS",
            Self::Http => "HTTP",
            Self::Quic => "QUIC",
            Self::Tls => "TLS",
        })
    }
}
