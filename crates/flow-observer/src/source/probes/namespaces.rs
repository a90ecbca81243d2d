//! Whose a network namespace is: this node's own, a pod's of this node, or somebody else's.
//!
//! The drop probe sees the whole machine. A namespace is this node's when it is the agent's own or
//! on the other side of one of its pods' devices. The kernel tells that by number: each device
//! names the namespace of its other end (`IFLA_LINK_NETNSID`), and `RTM_GETNSID` names the number
//! of a namespace that we hold open.
//!
//! Pods come and go by the dozen a second on a busy node, and each time everybody is looked at. What
//! was seen before is remembered, so that a look costs little for what is not new.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io,
    net::IpAddr,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use netlink_packet_route::{
    RouteNetlinkMessage,
    nsid::{NsidAttribute, NsidMessage},
};
use nix::{
    ifaddrs::getifaddrs,
    libc,
    sched::{CloneFlags, setns},
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

use super::netlink::Netlink;
use crate::source::Namespace;

/// Folders where container runtimes and `ip netns` keep namespaces open.
const NAMED: [&str; 3] = ["/run/netns", "/run/docker/netns", "/var/run/netns"];

/// Every network namespace on the machine that somebody holds open, by cookie: `Some` when it is
/// this node's, with the addresses in it.
pub(super) type Owners = HashMap<u64, Option<Arc<Namespace>>>;

/// How long what is known of the inside of a namespace is believed: addresses come and go there
/// without anybody being told.
const BELIEVED: Duration = Duration::from_secs(30);
/// A new namespace is still being set up: it is looked into again after so long.
const BELIEVED_WHILE_NEW: Duration = Duration::from_secs(1);
/// How long a namespace is new.
const NEW: Duration = Duration::from_secs(10);

/// Looks around, again and again.
#[derive(Default)]
pub(super) struct Looker {
    /// By inode number and the path it was found under. Numbers are used again, so that the number
    /// alone could be another namespace's by now.
    known: HashMap<(u64, PathBuf), Inside>,
}

/// What is known of a namespace's inside.
#[derive(Clone)]
struct Inside {
    cookie: u64,
    addresses: Vec<IpAddr>,
    found: Instant,
    looked: Instant,
}

impl Looker {
    /// Looks around. `pod_netns` are the numbers of the namespaces behind the pods' devices.
    pub(super) fn look(&mut self, netlink: &Netlink, pod_netns: &HashSet<i32>) -> Owners {
        let own_inode = fs::metadata("/proc/self/ns/net")
            .map(|metadata| metadata.ino())
            .ok();
        let mut owners = Owners::new();
        let mut known = HashMap::new();
        for (inode, (path, file)) in open_namespaces() {
            let is_own = Some(inode) == own_inode;
            let ours = is_own
                || matches!(number_of(netlink, &file), Ok(Some(number)) if pod_netns.contains(&number));
            let place = (inode, path);
            // A namespace may vanish while we look; then there is nothing left to ask.
            let Some(inside) = inside_of(self.known.get(&place), file) else {
                continue;
            };
            let addresses = inside.addresses.clone();
            owners.insert(
                inside.cookie,
                ours.then(|| Arc::new(Namespace { addresses, is_own })),
            );
            known.insert(place, inside);
        }
        self.known = known;
        owners
    }
}

/// What is known, if it can be believed; else what is seen now.
fn inside_of(known: Option<&Inside>, namespace: File) -> Option<Inside> {
    let now = Instant::now();
    if let Some(known) = known {
        let is_new = now.duration_since(known.found) < NEW;
        let believed = if is_new { BELIEVED_WHILE_NEW } else { BELIEVED };
        if now.duration_since(known.looked) < believed {
            return Some(known.clone());
        }
    }
    let (cookie, addresses) = inside(namespace)?;
    Some(Inside {
        cookie,
        addresses,
        found: known
            .filter(|known| known.cookie == cookie)
            .map_or(now, |known| known.found),
        looked: now,
    })
}

/// One open file per namespace, by inode number, and where it was found.
fn open_namespaces() -> HashMap<u64, (PathBuf, File)> {
    let processes = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| entry.path().join("ns/net"))
        });
    let named = NAMED
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()));
    let mut found = HashMap::new();
    for path in std::iter::once(PathBuf::from("/proc/self/ns/net"))
        .chain(processes)
        .chain(named)
    {
        // `stat` first: most processes share a namespace, and opening is the costlier call.
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        if let std::collections::hash_map::Entry::Vacant(vacant) = found.entry(metadata.ino())
            && let Ok(file) = File::open(&path)
        {
            vacant.insert((path, file));
        }
    }
    found
}

/// How our own namespace calls this one; `None` if it has no name for it.
fn number_of(netlink: &Netlink, namespace: &File) -> io::Result<Option<i32>> {
    let mut question = NsidMessage::default();
    question
        .attributes
        .push(NsidAttribute::Fd(namespace.as_raw_fd() as u32));
    let answers = netlink.get(RouteNetlinkMessage::GetNsId(question))?;
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewNsId(message) => Some(message),
            _ => None,
        })
        .flat_map(|message| message.attributes)
        .find_map(|attribute| match attribute {
            NsidAttribute::Id(number) if number >= 0 => Some(number),
            _ => None,
        }))
}

/// Cookie and addresses of a namespace, asked by a thread that enters it: entering is per thread,
/// and a thread that cannot come back simply ends.
fn inside(namespace: File) -> Option<(u64, Vec<IpAddr>)> {
    thread::Builder::new()
        .name("netns-look".to_owned())
        .spawn(move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).ok()?;
            let socket = socket(
                AddressFamily::Inet,
                SockType::Datagram,
                SockFlag::SOCK_CLOEXEC,
                None,
            )
            .ok()?;
            let cookie = cookie(&socket).ok()?;
            let addresses = getifaddrs()
                .map(|interfaces| interfaces.filter_map(|it| address(&it)).collect())
                .unwrap_or_default();
            Some((cookie, addresses))
        })
        .ok()?
        .join()
        .ok()
        .flatten()
}

/// The cookie of the network namespace that a socket was opened in.
#[expect(unsafe_code, reason = "no library wraps this socket option")]
fn cookie(socket: &OwnedFd) -> io::Result<u64> {
    // include/uapi/asm-generic/socket.h, Linux 5.14.
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let mut cookie = 0u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and the kernel writes at most `length` bytes to `cookie`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(cookie)
    } else {
        Err(io::Error::last_os_error())
    }
}

fn address(interface: &nix::ifaddrs::InterfaceAddress) -> Option<IpAddr> {
    let address = interface.address?;
    let v4 = address
        .as_sockaddr_in()
        .map(|socket| IpAddr::V4(socket.ip()));
    v4.or_else(|| {
        address
            .as_sockaddr_in6()
            .map(|socket| IpAddr::V6(socket.ip()))
    })
}
