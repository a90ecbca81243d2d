//! One look at the processes of this host.
//!
//! A host has thousands of processes, and few are new at each look. Of those that were seen before
//! only the names are read again, and a fifteenth of them at a time is looked at anew: processes
//! move between cgroups and namespaces, mostly when they are young.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    net::IpAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{addresses, state};
use crate::{
    bounded,
    cgroup::Owner,
    enrich::facts::{EndpointFact, Fact, Key},
    record::Workload,
};

/// Processes that are looked at; a large host has some ten thousand.
const MAX_PROCESSES: usize = 262_144;
/// Network namespaces that become endpoints: identifiers of local endpoints have 16 bits.
const MAX_NAMESPACES: usize = 16_384;
/// `/proc/PID/cgroup` has a line for each hierarchy.
const MAX_LINES: u64 = 64 << 10;
/// A process is young for so many looks.
const YOUNG: u32 = 4;
/// The kind of workload that a container is.
pub(super) const CONTAINER: &str = "Container";
/// After so many looks everything was looked at again.
const REVIEW: u32 = 15;

/// What earlier looks found.
pub(super) struct Scanner {
    /// Where everything is below; `/` but in tests.
    root: PathBuf,
    processes: HashMap<u32, Seen>,
    namespaces: HashMap<u64, Network>,
    looks: u32,
    left_out: LeftOut,
}

/// What the last look did not see.
#[derive(Default)]
struct LeftOut {
    /// Processes that the agent may not look into.
    denied: usize,
    has_more_processes: bool,
    has_more_namespaces: bool,
}

/// A process.
struct Seen {
    /// The inode number of its network namespace.
    network: u64,
    /// Whose its cgroup is. Not asked where the network is the host's.
    owner: Option<Arc<Owner>>,
    looks: u32,
}

/// A network namespace with somebody in it.
struct Network {
    owner: Arc<Owner>,
    told: state::Told,
    ips: Vec<IpAddr>,
    looks: u32,
}

impl Scanner {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            processes: HashMap::new(),
            namespaces: HashMap::new(),
            looks: 0,
            left_out: LeftOut::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.namespaces.is_empty() && self.processes.len() <= 1
    }

    /// Everybody who has a network, and an address in it.
    ///
    /// # Errors
    /// When processes cannot be listed.
    pub(super) fn scan(&mut self) -> io::Result<BTreeMap<Key, Fact>> {
        self.looks = self.looks.wrapping_add(1);
        self.left_out = LeftOut::default();
        self.look_at_processes()?;
        let owners = self.owners();
        self.namespaces
            .retain(|network, _| owners.contains_key(network));
        let mut facts = BTreeMap::new();
        for (&network, (pid, owner)) in &owners {
            let known = self.network(network, *pid, owner);
            if !known.ips.is_empty() {
                let key = format!("netns/{network}").into();
                facts.insert(key, Fact::Endpoint(endpoint(known)));
            }
        }
        Ok(facts)
    }

    /// Why the last look did not see everybody.
    pub(super) fn left_out(&self) -> Option<String> {
        let LeftOut {
            denied,
            has_more_processes,
            has_more_namespaces,
        } = self.left_out;
        if has_more_processes {
            Some(format!("looks at the first {MAX_PROCESSES} processes only"))
        } else if has_more_namespaces {
            Some(format!("names {MAX_NAMESPACES} network namespaces only"))
        } else if denied > 0 {
            Some(format!(
                "may not look into {denied} processes: run as root, or with CAP_SYS_PTRACE"
            ))
        } else {
            None
        }
    }

    fn look_at_processes(&mut self) -> io::Result<()> {
        let proc = self.root.join("proc");
        let hosts: HashSet<u64> = ["1", "self"]
            .iter()
            .filter_map(|who| network_of(&proc.join(who)).ok())
            .collect();
        let mut processes = HashMap::with_capacity(self.processes.len());
        let named = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("cannot list {}: {error}", proc.display()),
            )
        };
        let pids = fs::read_dir(&proc)
            .map_err(named)?
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        for pid in pids {
            if processes.len() == MAX_PROCESSES {
                self.left_out.has_more_processes = true;
                break;
            }
            let before = self.processes.remove(&pid);
            let is_settled = before.as_ref().is_some_and(|seen| seen.looks >= YOUNG)
                && !(pid.wrapping_add(self.looks)).is_multiple_of(REVIEW);
            let seen = match before {
                Some(seen) if is_settled => seen,
                before => {
                    let looks = before.map_or(0, |seen| seen.looks);
                    let network = match network_of(&proc.join(pid.to_string())) {
                        Ok(network) => network,
                        // It may end at any time.
                        Err(error) => {
                            let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
                            self.left_out.denied += usize::from(is_denied);
                            continue;
                        }
                    };
                    Seen {
                        network,
                        owner: (!hosts.contains(&network))
                            .then(|| owner_of(&proc.join(pid.to_string())))
                            .flatten(),
                        looks: looks.saturating_add(1),
                    }
                }
            };
            processes.insert(pid, seen);
        }
        self.processes = processes;
        Ok(())
    }

    /// Who a network belongs to: the oldest container in it, else the oldest unit. Kubernetes'
    /// pods begin with a container that holds the network for the others.
    fn owners(&mut self) -> BTreeMap<u64, (u32, Arc<Owner>)> {
        let mut owners: BTreeMap<u64, (u32, Arc<Owner>)> = BTreeMap::new();
        for (&pid, seen) in &self.processes {
            let Some(owner) = &seen.owner else { continue };
            let rank = |pid: u32, owner: &Owner| (owner.container.is_none(), pid);
            let is_better = owners
                .get(&seen.network)
                .is_none_or(|(best, of)| rank(pid, owner) < rank(*best, of));
            if !is_better {
                continue;
            }
            if owners.len() < MAX_NAMESPACES || owners.contains_key(&seen.network) {
                owners.insert(seen.network, (pid, Arc::clone(owner)));
            } else {
                self.left_out.has_more_namespaces = true;
            }
        }
        owners
    }

    /// A network as it is now. A new one is still being set up, and looked into each time.
    fn network(&mut self, network: u64, pid: u32, owner: &Arc<Owner>) -> &Network {
        let new = || Network {
            owner: Arc::clone(owner),
            told: state::Told::default(),
            ips: Vec::new(),
            looks: 0,
        };
        let known = self.namespaces.entry(network).or_insert_with(new);
        if known.owner != *owner {
            *known = new();
        }
        let is_due = (network as u32)
            .wrapping_add(self.looks)
            .is_multiple_of(YOUNG);
        if known.looks < YOUNG || is_due {
            known.looks = known.looks.saturating_add(1);
            known.ips = addresses::of(&self.root.join("proc").join(pid.to_string()));
            if let Some(container) = &owner.container {
                known.told = state::of(&self.root, container);
            }
        }
        known
    }
}

/// The inode number of the network namespace of a process's folder.
fn network_of(process: &Path) -> io::Result<u64> {
    Ok(fs::metadata(process.join("ns/net"))?.ino())
}

/// Whose a process is, of those that have names of their own: what a person starts in a terminal is
/// no unit that anybody knows.
fn owner_of(process: &Path) -> Option<Arc<Owner>> {
    let lines = bounded::read_plain(&process.join("cgroup"), MAX_LINES)?;
    // `number:controllers:path`. The hierarchies of a host tell the same, where they tell anything.
    let owners = lines
        .lines()
        .filter_map(|line| Owner::of_path(line.splitn(3, ':').nth(2)?));
    let is_session = |unit: &str| unit.starts_with("session-") || unit == "init.scope";
    owners
        .filter(|owner| {
            owner.container.is_some() || owner.unit.as_deref().is_some_and(|it| !is_session(it))
        })
        .min_by_key(|owner| owner.container.is_none())
        .map(Arc::new)
}

fn endpoint(network: &Network) -> EndpointFact {
    let Network {
        owner, told, ips, ..
    } = network;
    let mut labels = Vec::new();
    let mut label = |key: &str, value: &str| {
        if !value.is_empty() {
            labels.push(format!("{key}={value}"));
        }
    };
    let workload = match &owner.container {
        Some(container) => {
            label("container:id", &container.id);
            label("container:runtime", container.runtime);
            label("container:name", &told.name);
            label("container:image", &told.image);
            let name = [told.name.as_str(), container.short()];
            (CONTAINER, first(name))
        }
        None => ("Unit", owner.unit.as_deref().unwrap_or_default()),
    };
    label("systemd:unit", owner.unit.as_deref().unwrap_or_default());
    let (kind, name) = workload;
    EndpointFact {
        ips: ips.clone(),
        namespace: told.namespace.clone(),
        pod: first([told.pod.as_str(), name]).to_owned(),
        labels,
        workload: Some(Workload {
            kind: kind.to_owned(),
            name: name.to_owned(),
        }),
        ..EndpointFact::default()
    }
}

/// The first that is something.
fn first<const N: usize>(names: [&str; N]) -> &str {
    names
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or_default()
}
