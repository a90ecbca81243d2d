//! Which part of the host talks: an address of the host's own belongs to all its units alike, the
//! process behind a flow to one.
//!
//! A side that is the host keeps its identity and its labels, and has those of the unit or container
//! besides, so that filters by label and by workload find it.

use std::{net::IpAddr, sync::Arc};

use foldhash::HashMap;

use super::identity::HOST;
use crate::{
    cgroup::Owner,
    process::Process,
    recent::Recent,
    record::{Endpoint, FlowRecord, PacketHeaders, Party, Transport, Workload},
};

/// Cgroups whose endpoints are remembered. If there are ever more, all are forgotten, and made anew
/// when they are needed.
const MAX_OWNERS: usize = 4_096;
/// Connections of the host's that are remembered, half of them: the answers belong to whoever asked.
const GENERATION: usize = 8_192;

/// The units of this host that talk.
#[derive(Debug)]
pub(crate) struct HostUnits {
    /// By cgroup.
    made: HashMap<u64, Made>,
    connections: Recent<Connection, Arc<Process>>,
}

/// The host as a unit of it is described, and what it was made from.
#[derive(Debug)]
struct Made {
    host: Arc<Endpoint>,
    owner: Arc<Owner>,
    described: Arc<Endpoint>,
}

/// From the host's side: its address and port, the other's, and the protocol.
type Connection = (IpAddr, u16, IpAddr, u16, u8);

impl Default for HostUnits {
    fn default() -> Self {
        Self {
            made: HashMap::default(),
            connections: Recent::with_generation(GENERATION),
        }
    }
}

impl HostUnits {
    /// Names the unit on the side that the flow's process is on: the source where the packet comes
    /// from a socket, else the destination. An answer to a connection that the host opened has no
    /// process yet, and gets that of the question.
    pub(crate) fn name(&mut self, flow: &mut FlowRecord) {
        let is_sender = flow.socket_cookie != 0;
        let side = if is_sender {
            &mut flow.source
        } else {
            &mut flow.destination
        };
        if side.endpoint.identity != HOST || side.identity != HOST {
            return;
        }
        match &flow.process {
            Some(process) => {
                if is_sender
                    && process.owner.is_some()
                    && let Some(connection) = connection(&flow.packet, is_sender)
                {
                    self.connections.insert(connection, Arc::clone(process));
                }
            }
            None if is_sender || self.connections.is_empty() => return,
            None => {
                flow.process = connection(&flow.packet, is_sender)
                    .and_then(|it| self.connections.get_mut(&it))
                    .map(|process| Arc::clone(process));
            }
        }
        if let Some(process) = &flow.process {
            self.describe(side, process);
        }
    }

    fn describe(&mut self, side: &mut Party, process: &Process) {
        let Some(owner) = &process.owner else {
            return;
        };
        if let Some(made) = self.made.get(&process.cgroup_id)
            && Arc::ptr_eq(&made.host, &side.endpoint)
            && *made.owner == **owner
        {
            side.endpoint = Arc::clone(&made.described);
            return;
        }
        if self.made.len() >= MAX_OWNERS {
            self.made.clear();
        }
        let described = Arc::new(described(&side.endpoint, owner));
        let made = Made {
            host: std::mem::replace(&mut side.endpoint, Arc::clone(&described)),
            owner: Arc::clone(owner),
            described,
        };
        self.made.insert(process.cgroup_id, made);
    }
}

/// The host, as far as it is this unit or container.
fn described(host: &Endpoint, owner: &Owner) -> Endpoint {
    let mut labels = host.labels.to_vec();
    let mut workload = None;
    if let Some(unit) = &owner.unit {
        labels.push(format!("systemd:unit={unit}"));
        workload = Some(("Unit", &**unit));
    }
    if let Some(container) = &owner.container {
        labels.push(format!("container:id={}", container.id));
        if !container.runtime.is_empty() {
            labels.push(format!("container:runtime={}", container.runtime));
        }
        workload = Some(("Container", container.short()));
    }
    labels.sort();
    let workloads = workload.map(|(kind, name)| Workload {
        kind: kind.to_owned(),
        name: name.to_owned(),
    });
    Endpoint {
        labels: labels.into_iter().collect(),
        workloads: workloads.into_iter().collect(),
        ..host.clone()
    }
}

/// `None` for what has no ports.
fn connection(packet: &PacketHeaders, is_sender: bool) -> Option<Connection> {
    let ip = packet.ip?;
    let (source, destination, protocol) = match packet.transport? {
        Transport::Tcp {
            source_port,
            destination_port,
            ..
        } => (source_port, destination_port, 6),
        Transport::Udp {
            source_port,
            destination_port,
        } => (source_port, destination_port, 17),
        _ => return None,
    };
    Some(if is_sender {
        (ip.source, source, ip.destination, destination, protocol)
    } else {
        (ip.destination, destination, ip.source, source, protocol)
    })
}

#[cfg(test)]
mod tests {
    use flow_api::flow::TrafficDirection;

    use super::*;
    use crate::{
        enrich::{Directory, Inventory},
        record::{Counts, Ip, Observation},
    };

    const HERE: &str = "192.0.2.1";
    const THERE: &str = "198.51.100.9";

    fn process(path: &str) -> Option<Arc<Process>> {
        Some(Arc::new(Process {
            pid: 7,
            name: "nginx".into(),
            cgroup_id: 40,
            owner: Owner::of_path(path).map(Arc::new),
        }))
    }

    /// A packet between two addresses, with ports 1 and 2 at `HERE` and `THERE`.
    fn flow(source: &str, cookie: u64, process: Option<Arc<Process>>) -> FlowRecord {
        let directory = Directory::new("n1", Inventory::default());
        directory.set_own_addresses(&[HERE.parse().unwrap()]);
        let snapshot = directory.snapshot();
        let destination = if source == HERE { THERE } else { HERE };
        let [source, destination] = [source, destination].map(|it| it.parse::<IpAddr>().unwrap());
        let port = |ip: IpAddr| if ip.to_string() == HERE { 1 } else { 2 };
        FlowRecord {
            time_ns: 0,
            uuid: 0,
            observation: Observation::Captured,
            packet: PacketHeaders {
                ip: Some(Ip {
                    source,
                    destination,
                }),
                transport: Some(Transport::Udp {
                    source_port: port(source),
                    destination_port: port(destination),
                }),
                ..PacketHeaders::default()
            },
            source: Party::of(snapshot.endpoint(source)),
            destination: Party::of(snapshot.endpoint(destination)),
            direction: TrafficDirection::Unknown,
            tunnel: None,
            interface: None,
            translation: None,
            socket_cookie: cookie,
            counts: Counts::default(),
            process,
            rare: None,
        }
    }

    fn told(party: &Party) -> String {
        let workloads: Vec<_> = party
            .endpoint
            .workloads
            .iter()
            .map(|it| format!("{} {}", it.kind, it.name))
            .collect();
        let labels = party.endpoint.labels.join(" ");
        format!("{} {labels} {}", party.identity, workloads.join(" "))
    }

    const NGINX: &str = "1 reserved:host systemd:unit=nginx.service Unit nginx.service";
    const HOST_ALONE: &str = "1 reserved:host ";
    const WORLD: &str = "2 reserved:world ";

    #[test]
    fn the_sender_of_a_packet_is_the_unit_of_its_socket() {
        let mut flow = flow(HERE, 5, process("/system.slice/nginx.service"));
        HostUnits::default().name(&mut flow);
        assert_eq!(told(&flow.source), NGINX);
        assert_eq!(told(&flow.destination), WORLD);
    }

    #[test]
    fn the_receiver_of_a_packet_is_the_unit_that_listens() {
        let mut flow = flow(THERE, 0, process("/system.slice/nginx.service"));
        HostUnits::default().name(&mut flow);
        assert_eq!(told(&flow.source), WORLD);
        assert_eq!(told(&flow.destination), NGINX);
    }

    #[test]
    fn an_answer_belongs_to_the_unit_that_asked() {
        let mut units = HostUnits::default();
        let mut early = flow(THERE, 0, None);
        units.name(&mut early);
        assert_eq!(told(&early.destination), HOST_ALONE);
        units.name(&mut flow(HERE, 5, process("/system.slice/nginx.service")));
        let mut answer = flow(THERE, 0, None);
        units.name(&mut answer);
        assert_eq!(told(&answer.destination), NGINX);
        assert_eq!(answer.process.unwrap().pid, 7);
    }

    #[test]
    fn who_is_not_the_host_keeps_its_name() {
        let mut flow = flow(THERE, 5, process("/system.slice/nginx.service"));
        HostUnits::default().name(&mut flow);
        assert_eq!(told(&flow.source), WORLD);
        assert_eq!(told(&flow.destination), HOST_ALONE);
    }

    #[test]
    fn a_container_in_the_hosts_network_is_told_as_one() {
        let id = "ab".repeat(32);
        let mut flow = flow(
            HERE,
            5,
            process(&format!("/system.slice/docker-{id}.scope")),
        );
        HostUnits::default().name(&mut flow);
        let expected = format!(
            "1 container:id={id} container:runtime=docker reserved:host Container abababababab"
        );
        assert_eq!(told(&flow.source), expected);
    }

    #[test]
    fn an_endpoint_is_made_once_for_each_unit_and_their_number_is_bounded() {
        let mut units = HostUnits::default();
        let first = flow(HERE, 5, process("/system.slice/nginx.service"));
        let (mut one, mut two) = (first.clone(), first);
        units.name(&mut one);
        units.name(&mut two);
        assert!(Arc::ptr_eq(&one.source.endpoint, &two.source.endpoint));
        for cgroup_id in 0..2 * MAX_OWNERS as u64 {
            let process = Process {
                cgroup_id,
                owner: Owner::of_path("/system.slice/nginx.service").map(Arc::new),
                ..Process::default()
            };
            units.describe(&mut Party::of(&Arc::new(Endpoint::default())), &process);
            assert!(units.made.len() <= MAX_OWNERS);
        }
    }
}
