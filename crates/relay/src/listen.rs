//! Where the relay listens: an address in, a bound socket out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::{fmt, io};

use flow_api::connect::Target;
use flow_api::server::{ListenError, Listener, SocketAccess, TlsServer};

use crate::defaults::LISTEN_PORT;

/// An address to listen on.
///
/// Text form, both ways: `:4245` (all addresses), `ADDRESS:PORT`, `unix:///path`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Listen {
    /// TCP. The address `[::]` means IPv4 too; port 0 means any free one.
    Tcp(SocketAddr),
    /// A Unix socket. A file that a dead process left there is replaced.
    Unix(PathBuf),
}

impl Default for Listen {
    fn default() -> Self {
        Self::Tcp(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), LISTEN_PORT))
    }
}

/// A text that is no address to listen on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "invalid listen address {text:?}: expected :PORT, ADDRESS:PORT or unix:///path/to.sock, as in \
     :4245 or 127.0.0.1:4245"
)]
pub struct ListenParseError {
    /// The text as given.
    text: String,
}

impl FromStr for Listen {
    type Err = ListenParseError;

    fn from_str(text: &str) -> Result<Self, ListenParseError> {
        let invalid = || ListenParseError {
            text: text.to_owned(),
        };
        let path = text
            .strip_prefix("unix://")
            .or_else(|| (text.starts_with('/') && text.ends_with(".sock")).then_some(text));
        if let Some(path) = path {
            let is_path = path.starts_with('/') && path.len() > 1;
            return is_path.then(|| Self::Unix(path.into())).ok_or_else(invalid);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let ip: IpAddr = match host {
            "" => Ipv6Addr::UNSPECIFIED.into(),
            "localhost" => Ipv4Addr::LOCALHOST.into(),
            _ => return Err(invalid()),
        };
        let port = port.parse().map_err(|_| invalid())?;
        Ok(Self::Tcp(SocketAddr::new(ip, port)))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) if address.ip() == Ipv6Addr::UNSPECIFIED => {
                write!(f, ":{}", address.port())
            }
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// A bound socket, and the address at which clients reach it.
pub(crate) async fn open(
    listen: &Listen,
    access: &SocketAccess,
    tls: Option<TlsServer>,
) -> Result<(Listener, Target), String> {
    match listen {
        Listen::Unix(path) => {
            let listener = Listener::unix(path, access).await.map_err(problem)?;
            Ok((listener, Target::Unix(path.clone())))
        }
        Listen::Tcp(address) => {
            let is_encrypted = tls.is_some();
            match &tls {
                Some(tls) if !tls.files.verify_clients() => tracing::warn!(
                    %listen, "clients are not verified: anybody who can connect sees all flows"
                ),
                None if !address.ip().is_loopback() => tracing::warn!(
                    %listen, "TCP is served in plain text: anybody who can connect sees all flows"
                ),
                _ => {}
            }
            let listener = Listener::tcp(*address, tls).map_err(problem)?;
            let bound = listener.address().unwrap_or(*address);
            let (host, port) = (bound.ip().to_string(), bound.port());
            let target = if is_encrypted {
                Target::Tls { host, port }
            } else {
                Target::Tcp { host, port }
            };
            Ok((listener, target))
        }
    }
}

/// A bound socket for what is served in plain text to everybody.
pub(crate) async fn open_plain(listen: &Listen, access: &SocketAccess) -> Result<Listener, String> {
    match listen {
        Listen::Unix(path) => Listener::unix(path, access).await.map_err(problem),
        Listen::Tcp(address) => Listener::tcp(*address, None).map_err(problem),
    }
}

/// A bound socket for metrics, which show no flows.
pub(crate) fn open_metrics(
    address: SocketAddr,
    tls: Option<TlsServer>,
) -> Result<Listener, String> {
    Listener::tcp(address, tls).map_err(problem)
}

/// What to make of a bind error.
fn problem(error: ListenError) -> String {
    let source = match error {
        ListenError::Address { source, .. } | ListenError::Bind { source, .. } => source,
        ListenError::InUse { .. } => io::ErrorKind::AddrInUse.into(),
        ListenError::NotASocket { .. } => {
            return "something is there that is no socket, choose another path".to_owned();
        }
        // A group that is not on this host, which it names.
        other => return other.to_string(),
    };
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "the address is in use, stop what listens there or choose another one".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied, choose a place that this user may listen on".to_owned()
        }
        _ => source.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_is_read_and_shown() {
        for (text, shown) in [
            (":4245", ":4245"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:4245", "[::1]:4245"),
            ("[::]:4245", ":4245"),
            ("localhost:1", "127.0.0.1:1"),
            ("unix:///run/relay.sock", "unix:///run/relay.sock"),
            ("/run/relay.sock", "unix:///run/relay.sock"),
        ] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), shown);
        }
        for text in ["", "4245", ":http", "relay:4245", "unix://", "unix://run/x"] {
            let error = text.parse::<Listen>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("expected :PORT"));
        }
    }

    #[tokio::test]
    async fn what_is_in_the_way_is_told_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("relay.sock");
        let (listen, access) = (Listen::Unix(path.clone()), SocketAccess::default());
        let first = open(&listen, &access, None).await.unwrap();
        let error = open(&listen, &access, None).await.unwrap_err();
        assert!(error.starts_with("the address is in use, stop"), "{error}");
        drop(first);
        std::fs::write(&path, "data").unwrap();
        let error = open(&listen, &access, None).await.unwrap_err();
        assert!(error.contains("no socket, choose another"), "{error}");
    }
}
