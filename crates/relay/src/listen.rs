//! Where the relay listens: an address in, a bound socket out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fmt, fs, io};

use flow_api::connect::Target;
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::defaults::LISTEN_PORT;

/// Owner and group may connect, as to an agent's socket.
const SOCKET_MODE: u32 = 0o660;

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

/// A bound socket, and the address at which it can be reached.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// Binds.
    pub(crate) async fn bind(listen: &Listen) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => bind_tcp(*address).await.map(Self::Tcp),
            Listen::Unix(path) => {
                remove_stale(path).await?;
                let listener = UnixListener::bind(path)?;
                let file = SocketFile::new(path)?;
                fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
                Ok(Self::Unix(listener, file))
            }
        }
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> io::Result<Target> {
        match self {
            Self::Tcp(listener) => {
                let address = listener.local_addr()?;
                Ok(Target::Tcp {
                    host: address.ip().to_string(),
                    port: address.port(),
                })
            }
            Self::Unix(_, file) => Ok(Target::Unix(file.path.clone())),
        }
    }
}

async fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    let is_all = address.ip() == Ipv6Addr::UNSPECIFIED;
    match bound {
        // A host without IPv6 still has all its IPv4 addresses.
        Err(error)
            if is_all
                && matches!(
                    error.kind(),
                    io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
                ) =>
        {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    }
}

/// Removes the socket that a process left behind that is gone. One that somebody listens on stays,
/// and so does any other file, so that binding fails.
async fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if is_socket
        && let Err(error) = UnixStream::connect(path).await
        && error.kind() == io::ErrorKind::ConnectionRefused
    {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Removes the socket's file when dropped, unless it is somebody else's by then.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            inode: fs::symlink_metadata(path)?.ino(),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket");
        }
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
    async fn a_socket_left_behind_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("relay.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listen = Listen::Unix(path.clone());
        let listener = Listener::bind(&listen).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, SOCKET_MODE);
        let error = Listener::bind(&listen).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists());
    }
}
