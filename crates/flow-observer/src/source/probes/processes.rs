//! Who is behind a socket: look-ups in the kernel's tables, remembered for a while.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aya::maps::{HashMap as BpfHashMap, MapData};
use probe_events::{BoundPort, COMM_BYTES, ProcessInfo};

use super::owners::Owners;
use crate::{process::Process, recent::Recent};

/// Answers that are remembered, half of them: connections that are busy at the same time.
const GENERATION: usize = 8_192;
/// A socket can be handed to another process, and a port bound by another.
const KNOWN_FOR: Duration = Duration::from_secs(10);
/// A packet can be seen before its sender is written down, and a process can start late.
const UNKNOWN_FOR: Duration = Duration::from_millis(100);

/// `ProcessInfo` as bytes.
type ProcessBytes = [u8; size_of::<ProcessInfo>()];
/// `BoundPort` as bytes.
type PortBytes = [u8; size_of::<BoundPort>()];

/// The processes behind sockets. Sockets that were connected or bound before the probes were
/// attached are not in it.
pub struct ProcessTable {
    sockets: BpfHashMap<MapData, u64, ProcessBytes>,
    listeners: BpfHashMap<MapData, PortBytes, ProcessBytes>,
    known: Recent<Asked, Answer>,
    owners: Owners,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Asked {
    Socket(u64),
    Listener(PortBytes),
}

struct Answer {
    process: Option<Arc<Process>>,
    at: Instant,
}

impl ProcessTable {
    pub(super) fn new(
        sockets: BpfHashMap<MapData, u64, ProcessBytes>,
        listeners: BpfHashMap<MapData, PortBytes, ProcessBytes>,
    ) -> Self {
        Self {
            sockets,
            listeners,
            known: Recent::with_generation(GENERATION),
            owners: Owners::new(),
        }
    }

    /// The process that connected the socket with this cookie, sends datagrams from it, or
    /// accepted it: that is the one that is bound to its port.
    pub fn of_socket(&mut self, cookie: u64) -> Option<Arc<Process>> {
        if cookie == 0 {
            return None;
        }
        self.ask(Asked::Socket(cookie))
    }

    /// The process that bound a port, in a network namespace, of an IP protocol.
    pub fn of_listener(
        &mut self,
        netns_cookie: u64,
        protocol: u8,
        port: u16,
    ) -> Option<Arc<Process>> {
        self.ask(Asked::Listener(port_bytes(netns_cookie, protocol, port)))
    }

    fn ask(&mut self, asked: Asked) -> Option<Arc<Process>> {
        let now = Instant::now();
        if let Some(answer) = self.known.get_mut(&asked) {
            let fresh = if answer.process.is_some() {
                KNOWN_FOR
            } else {
                UNKNOWN_FOR
            };
            if now.duration_since(answer.at) < fresh {
                return answer.process.clone();
            }
        }
        // Not there, or a table that cannot be read: unknown either way.
        let found = match asked {
            Asked::Socket(cookie) => self.sockets.get(&cookie, 0),
            Asked::Listener(port) => self.listeners.get(&port, 0),
        };
        let process = found.ok().map(|bytes| {
            let mut process = process(&bytes);
            process.owner = self.owners.of(process.cgroup_id, process.pid);
            Arc::new(process)
        });
        let answer = Answer {
            process: process.clone(),
            at: now,
        };
        self.known.insert(asked, answer);
        process
    }
}

/// `BoundPort`: cookie (8), port (2), protocol (1), zeros (5).
fn port_bytes(netns_cookie: u64, protocol: u8, port: u16) -> PortBytes {
    let mut bytes = [0; size_of::<BoundPort>()];
    bytes[..8].copy_from_slice(&netns_cookie.to_ne_bytes());
    bytes[8..10].copy_from_slice(&port.to_ne_bytes());
    bytes[10] = protocol;
    bytes
}

/// `ProcessInfo`: cgroup (8), process (4), zeros (4), name (16).
fn process(bytes: &ProcessBytes) -> Process {
    let [
        c0,
        c1,
        c2,
        c3,
        c4,
        c5,
        c6,
        c7,
        p0,
        p1,
        p2,
        p3,
        _,
        _,
        _,
        _,
        ref comm @ ..,
    ] = *bytes;
    let comm: &[u8; COMM_BYTES] = comm;
    Process::from(&ProcessInfo {
        cgroup_id: u64::from_ne_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
        pid: u32::from_ne_bytes([p0, p1, p2, p3]),
        reserved: 0,
        comm: *comm,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_bytes_are_taken_apart_as_the_programs_put_them_together() {
        let mut bytes = [0; size_of::<ProcessInfo>()];
        bytes[..8].copy_from_slice(&5u64.to_ne_bytes());
        bytes[8..12].copy_from_slice(&77u32.to_ne_bytes());
        bytes[16..20].copy_from_slice(b"curl");
        let expected = Process {
            pid: 77,
            name: "curl".into(),
            cgroup_id: 5,
            owner: None,
        };
        assert_eq!(process(&bytes), expected);

        let port = port_bytes(1, 17, 53);
        assert_eq!(port[8..10], 53u16.to_ne_bytes());
        assert_eq!(port[10..], [17, 0, 0, 0, 0, 0]);
    }
}
