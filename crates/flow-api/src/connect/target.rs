//! How a server is named.

use std::{fmt, net::Ipv6Addr, path::PathBuf, str::FromStr};

/// The port of a relay, where a target names none.
pub const DEFAULT_PORT: u16 = 4245;

/// Where a server listens.
///
/// Text form, both ways: `unix:///path`, `host:port`, `tls://host:port`. Also read, but not
/// written: an absolute path that ends in `.sock`, a host alone, which gets [`DEFAULT_PORT`], and
/// `tcp://host:port`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Target {
    /// TCP; the host is a name or an address, IPv6 without brackets.
    Tcp {
        /// Name or address.
        host: String,
        /// Never 0.
        port: u16,
    },
    /// TCP with TLS.
    Tls {
        /// Name or address.
        host: String,
        /// Never 0.
        port: u16,
    },
    /// A Unix socket, by its absolute path.
    Unix(PathBuf),
}

impl Target {
    /// `host:port` as it stands in a URI, IPv6 in brackets; `None` for a Unix socket.
    pub(super) fn authority(&self) -> Option<String> {
        match self {
            Self::Unix(_) => None,
            Self::Tcp { host, port } | Self::Tls { host, port } if host.contains(':') => {
                Some(format!("[{host}]:{port}"))
            }
            Self::Tcp { host, port } | Self::Tls { host, port } => Some(format!("{host}:{port}")),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.authority().unwrap_or_default();
        match self {
            Self::Tcp { .. } => f.write_str(&authority),
            Self::Tls { .. } => write!(f, "tls://{authority}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// A text that names no server.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Nothing before the port, or nothing at all.
    #[error(
        "invalid server {target:?}: no host, expected host:port, tls://host:port or \
         unix:///path/to.sock"
    )]
    NoHost {
        /// The text as given.
        target: String,
    },
    /// A host name with characters that no host name has.
    #[error(
        "invalid server {target:?}: {host:?} is no host name or address, expected host:port, \
         tls://host:port or unix:///path/to.sock"
    )]
    InvalidHost {
        /// The text as given.
        target: String,
        /// The part that is wrong.
        host: String,
    },
    /// The part after the last colon is no port.
    #[error("invalid server {target:?}: port {port:?} is not a number from 1 to 65535")]
    InvalidPort {
        /// The text as given.
        target: String,
        /// The part that is wrong.
        port: String,
    },
    /// A socket whose path does not begin at the root, or is empty.
    #[error(
        "invalid server {target:?}: a socket needs an absolute path, as in \
         unix:///run/palomar/observer.sock"
    )]
    RelativePath {
        /// The text as given.
        target: String,
    },
    /// `something://` that is none of ours.
    #[error("invalid server {target:?}: unknown scheme {scheme:?}, expected unix, tcp or tls")]
    UnknownScheme {
        /// The text as given.
        target: String,
        /// The part before `://`.
        scheme: String,
    },
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(target: &str) -> Result<Self, TargetError> {
        if target.starts_with('/') && target.ends_with(".sock") {
            return Ok(Self::Unix(target.into()));
        }
        if let Some(path) = target.strip_prefix("unix:") {
            return unix(target, path);
        }
        match target.split_once("://") {
            None | Some(("tcp", _)) => {
                let (host, port) =
                    host_port(target, target.strip_prefix("tcp://").unwrap_or(target))?;
                Ok(Self::Tcp { host, port })
            }
            Some(("tls", rest)) => {
                let (host, port) = host_port(target, rest)?;
                Ok(Self::Tls { host, port })
            }
            Some((scheme, _)) => Err(TargetError::UnknownScheme {
                target: target.to_owned(),
                scheme: scheme.to_owned(),
            }),
        }
    }
}

/// gRPC knows two spellings, `unix:///path` and `unix:/path`.
fn unix(target: &str, rest: &str) -> Result<Target, TargetError> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.starts_with('/') && path != "/" {
        Ok(Target::Unix(path.into()))
    } else {
        Err(TargetError::RelativePath {
            target: target.to_owned(),
        })
    }
}

fn host_port(target: &str, text: &str) -> Result<(String, u16), TargetError> {
    let no_host = || TargetError::NoHost {
        target: target.to_owned(),
    };
    let invalid_host = |host: &str| TargetError::InvalidHost {
        target: target.to_owned(),
        host: host.to_owned(),
    };

    // An IPv6 address has colons of its own: with a port it stands in brackets, bare it has none.
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text.to_owned(), DEFAULT_PORT));
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or_else(|| invalid_host(text))?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err(invalid_host(host));
        }
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err(invalid_host(text)),
        }
    } else {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if !host.chars().all(plain) {
            return Err(invalid_host(host));
        }
        (host, port)
    };
    if host.is_empty() {
        return Err(no_host());
    }
    let port =
        match port {
            None => DEFAULT_PORT,
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
                TargetError::InvalidPort {
                    target: target.to_owned(),
                    port: port.to_owned(),
                }
            })?,
        };
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Target {
        Target::Tcp {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn each_spelling_of_a_server_is_read() {
        let cases = [
            ("unix:///run/x.sock", Target::Unix("/run/x.sock".into())),
            ("unix:/run/x.sock", Target::Unix("/run/x.sock".into())),
            (
                "unix:///run/no-suffix",
                Target::Unix("/run/no-suffix".into()),
            ),
            ("/run/x.sock", Target::Unix("/run/x.sock".into())),
            ("relay:80", tcp("relay", 80)),
            ("relay", tcp("relay", DEFAULT_PORT)),
            ("tcp://relay:80", tcp("relay", 80)),
            ("10.1.2.3:4244", tcp("10.1.2.3", 4244)),
            ("[fd00::1]:4244", tcp("fd00::1", 4244)),
            ("[fd00::1]", tcp("fd00::1", DEFAULT_PORT)),
            ("fd00::1", tcp("fd00::1", DEFAULT_PORT)),
            (
                "tls://relay:443",
                Target::Tls {
                    host: "relay".to_owned(),
                    port: 443,
                },
            ),
            (
                "tls://relay",
                Target::Tls {
                    host: "relay".to_owned(),
                    port: DEFAULT_PORT,
                },
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_as_the_same_server() {
        for text in [
            "unix:///run/x.sock",
            "relay:80",
            "[fd00::1]:4244",
            "tls://relay:443",
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), text);
        }
    }

    #[test]
    fn a_refusal_names_the_text_and_the_part_that_is_wrong() {
        let cases = [
            ("", "invalid server \"\": no host"),
            (":80", "invalid server \":80\": no host"),
            (
                "relay:http",
                "invalid server \"relay:http\": port \"http\" is not a number",
            ),
            ("relay:0", "port \"0\" is not a number from 1 to 65535"),
            ("relay:65536", "port \"65536\" is not"),
            ("relay:", "port \"\" is not"),
            ("unix://run/x.sock", "a socket needs an absolute path"),
            ("unix://", "a socket needs an absolute path"),
            (
                "ftp://relay",
                "unknown scheme \"ftp\", expected unix, tcp or tls",
            ),
            ("/run/directory", "\"/run/directory\" is no host name"),
            ("re lay:80", "\"re lay\" is no host name"),
            ("[fd00::1", "is no host name"),
            ("[relay]:80", "\"relay\" is no host name"),
            ("fd00::zz", "\"fd00:\" is no host name"),
        ];
        for (text, expected) in cases {
            let shown = text.parse::<Target>().unwrap_err().to_string();
            assert!(shown.contains(expected), "{text}: {shown}");
        }
    }
}
