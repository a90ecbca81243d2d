//! The sockets that a server listens on: an address in, a bound socket out.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use nix::unistd::Group;
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream};

use super::TlsServer;

/// Connections that the kernel keeps until they are accepted: a storm of some hundred in a moment.
pub(super) const BACKLOG: u32 = 1024;

/// Who may connect to a Unix socket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SocketAccess {
    /// Permissions of the socket's file; to write is to connect.
    pub mode: u32,
    /// Whose group it is, by name or number; the process's own for `None`.
    pub group: Option<String>,
}

impl Default for SocketAccess {
    /// Owner and group may connect.
    fn default() -> Self {
        Self {
            mode: 0o660,
            group: None,
        }
    }
}

/// Why a socket cannot be served on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Another server answers there.
    #[error("socket {} is in use: stop the other agent, or choose another path with --socket", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is not a socket is in the way.
    #[error("{} exists and is no socket: choose another path with --socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// No permission, no such folder.
    #[error("cannot listen on {}: run as root, or choose another path with --socket", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The group that the socket is to belong to is not on this host.
    #[error("no group {group:?} on this host: create it, or choose another with --socket-group")]
    NoGroup {
        /// The group as given.
        group: String,
    },
    /// The address is taken, or not one of this host's.
    #[error(
        "cannot listen on {address}: stop what listens there, or choose another address with --listen"
    )]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A bound socket, and how those who connect to it are met.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket; its file goes with it.
    Unix(UnixListener, SocketFile),
    /// TCP in plain text.
    Tcp(TcpListener),
    /// TCP with TLS: bound, and open as soon as there are certificates.
    Tls(TcpSocket, TlsServer),
}

impl Listener {
    /// Listens on a path; folders above it are made. A socket that a crashed server left behind is
    /// replaced; one that answers is not, and nor is anything else.
    ///
    /// # Errors
    /// When the path cannot be had.
    pub async fn unix(path: &Path, access: &SocketAccess) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Bind {
            path: path.to_owned(),
            source,
        };
        let group = access.group.as_deref().map(group_number).transpose()?;
        make_way(path).await?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        let file = SocketFile::of(path).map_err(failed)?;
        if group.is_some() {
            chown(path, None, group).map_err(failed)?;
        }
        let mode = fs::Permissions::from_mode(access.mode);
        fs::set_permissions(path, mode).map_err(failed)?;
        Ok(Self::Unix(listener, file))
    }

    /// Takes an address. `[::]` means IPv4 too, and nothing else on a host without IPv6.
    ///
    /// # Errors
    /// When the address is in use, or not one of this host's.
    pub fn tcp(address: SocketAddr, tls: Option<TlsServer>) -> Result<Self, ListenError> {
        let is_all = address.ip() == Ipv6Addr::UNSPECIFIED;
        let bound = match bind(address) {
            Err(error)
                if is_all
                    && matches!(
                        error.kind(),
                        io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
                    ) =>
            {
                bind((Ipv4Addr::UNSPECIFIED, address.port()).into())
            }
            bound => bound,
        };
        let failed = |source| ListenError::Address { address, source };
        let socket = bound.map_err(failed)?;
        Ok(match tls {
            None => Self::Tcp(socket.listen(BACKLOG).map_err(failed)?),
            Some(tls) => Self::Tls(socket, tls),
        })
    }

    /// The address of TCP, with the port that the system chose if it was asked to.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Unix(..) => None,
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Tls(socket, _) => socket.local_addr().ok(),
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restarted server should not wait for the connections of the one before to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Sees to it that the path is free, and that its folder exists.
async fn make_way(path: &Path) -> Result<(), ListenError> {
    let failed = |source| ListenError::Bind {
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => Err(ListenError::NotASocket {
            path: path.to_owned(),
        }),
        Ok(_) => match UnixStream::connect(path).await {
            // Nobody listens: what is left is a name.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(failed)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // Also one that is too busy to answer at once.
            Ok(_) | Err(_) => Err(ListenError::InUse {
                path: path.to_owned(),
            }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// The number of a group that is given by name or by number.
fn group_number(group: &str) -> Result<u32, ListenError> {
    if let Ok(Some(found)) = Group::from_name(group) {
        return Ok(found.gid.as_raw());
    }
    group.parse().map_err(|_| ListenError::NoGroup {
        group: group.to_owned(),
    })
}

/// Removes the socket's file when dropped, unless it is somebody else's by then.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == (self.device, self.inode));
        if is_ours {
            // Gone already is as good.
            drop(fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn unix(path: &Path) -> Result<Listener, ListenError> {
        Listener::unix(path, &SocketAccess::default()).await
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_and_removed_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("observer.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());

        let listener = unix(&path).await.unwrap();
        assert_eq!(mode(&path), 0o660);
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn folders_are_made_and_access_is_as_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder/observer.sock");
        let own_group = fs::metadata(folder.path()).unwrap().gid();
        let access = SocketAccess {
            mode: 0o600,
            group: Some(own_group.to_string()),
        };
        let _listener = Listener::unix(&path, &access).await.unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::metadata(&path).unwrap().gid(), own_group);
    }

    #[tokio::test]
    async fn a_group_that_is_not_there_is_told_before_anything_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("observer.sock");
        let access = SocketAccess {
            group: Some("no such group".to_owned()),
            ..SocketAccess::default()
        };
        let error = Listener::unix(&path, &access).await.unwrap_err();
        assert!(error.to_string().contains("no group \"no such group\""));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_answers_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("observer.sock");
        let _first = unix(&path).await.unwrap();
        let error = unix(&path).await.unwrap_err();
        assert!(matches!(error, ListenError::InUse { .. }), "{error}");
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_is_somebody_elses_by_now_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("observer.sock");
        let first = unix(&path).await.unwrap();
        fs::rename(&path, folder.path().join("old.sock")).unwrap();
        let _second = unix(&path).await.unwrap();
        drop(first);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        fs::write(&path, "data").unwrap();
        let error = unix(&path).await.unwrap_err();
        assert!(matches!(error, ListenError::NotASocket { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    }

    #[tokio::test]
    async fn an_address_in_use_is_told() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = Listener::tcp(address, None).unwrap_err();
        let expected = format!("cannot listen on {address}: stop what listens there");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}
