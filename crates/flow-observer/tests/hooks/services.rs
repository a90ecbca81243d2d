//! Services that the host translates in packets, as kube-proxy has it done: flows on both sides of
//! the translation have the service, and are joined.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use flow_observer::{
    assemble::Assembler,
    counters::Counters,
    enrich::{
        Directory, Inventory,
        facts::{Change, EndpointFact, Fact, NodeFact, NodePort, Port, Provider, ServiceFact},
    },
    record::{FlowRecord, Observation, Party},
    ring::Event,
    source::probes::{self, ProbeConfig, Probes},
    translation::{End, Ends},
};
use probe_events::{TracePoint, TraceReason};
use testbed::{
    Cluster, Node, Pod, Spec,
    exchange::Family::{self, V4, V6},
    wait,
};

use crate::{Rule, flows::ends, observed::must_be_on, tcp::nft};

pub(crate) const RULES: &[Rule] = &[
    (
        "a_service_is_that_of_the_flows_on_both_sides_of_its_translation",
        both_sides,
    ),
    (
        "a_port_of_the_node_is_its_service_on_both_sides_of_its_translation",
        node_port,
    ),
    (
        "a_masqueraded_connection_to_a_service_is_that_of_its_client",
        masqueraded,
    ),
    (
        "a_backend_of_two_services_has_none_when_it_is_reached_directly",
        directly,
    ),
    (
        "a_connection_that_is_older_than_the_probes_has_its_service",
        older,
    ),
    ("of_many_connections_to_a_service_all_flows_have_it", many),
    ("news_that_were_lost_are_counted_and_made_up_for", overrun),
];

const SERVICE_PORT: u16 = 80;
const BACKEND_PORT: u16 = 7000;
/// Of the first service, at all nodes.
const NODE_PORT: u16 = 30_080;
const TCP: u8 = 6;
const UDP: u8 = 17;
const LIMIT: usize = 4096;
const WITHIN: Duration = Duration::from_secs(20);

fn service(family: Family) -> SocketAddr {
    address(family, 10)
}

/// Has the same backends.
fn other_service(family: Family) -> SocketAddr {
    address(family, 11)
}

fn address(family: Family, last: u8) -> SocketAddr {
    match family {
        V4 => SocketAddr::from(([10, 96, 0, last], SERVICE_PORT)),
        V6 => {
            let ip = [0xfd96, 0, 0, 0, 0, 0, 0, u16::from(last)];
            SocketAddr::from((ip, SERVICE_PORT))
        }
    }
}

fn backend(family: Family, pod: &Pod) -> SocketAddr {
    SocketAddr::new(family.address(pod), BACKEND_PORT)
}

/// A node that maps both services to a pod of the other, and what its agent makes of that.
struct Observed {
    cluster: Cluster,
    directory: Arc<Directory>,
}

/// What reads the probes of the node.
struct Reader {
    probes: probes::Reader,
    _attacher: probes::Attacher,
    statistics: Arc<probes::ProbeStatistics>,
    assembler: Assembler,
}

impl Observed {
    fn start(masquerade: bool) -> Result<Self> {
        let cluster = Cluster::start(&Spec::two_nodes())?;
        map_services(
            cluster.node("node-1")?,
            cluster.pod("shop/api-0")?,
            masquerade,
        )?;
        let directory = Directory::new("node-1", Inventory::default());
        let api = cluster.pod("shop/api-0")?;
        for (name, at) in [("web", service as fn(_) -> _), ("other", other_service)] {
            let ports = |at: &dyn Fn(Family) -> SocketAddr| {
                let ports = [V4, V6].map(|family| [TCP, UDP].map(|it| port(at(family), it)));
                ports.concat()
            };
            let fact = ServiceFact {
                namespace: "shop".to_owned(),
                name: name.to_owned(),
                frontends: ports(&at),
                backends: ports(&|family| backend(family, api)),
                node_ports: match name {
                    "web" => [TCP, UDP].map(at_nodes).to_vec(),
                    _ => Vec::new(),
                },
            };
            let change = Change::Put(name.into(), Fact::Service(fact));
            directory.apply(Provider::Services, [change]);
        }
        let web = cluster.pod("shop/web-0")?;
        let fact = EndpointFact {
            ips: web.ips().to_vec(),
            namespace: "shop".to_owned(),
            pod: "web-0".to_owned(),
            ..EndpointFact::default()
        };
        let change = Change::Put("shop/web-0".into(), Fact::Endpoint(fact));
        directory.apply(Provider::Pods, [change]);
        let fact = NodeFact {
            name: "node-1".to_owned(),
            ips: cluster.node("node-1")?.ips().to_vec(),
            ..NodeFact::default()
        };
        let change = Change::Put("node-1".into(), Fact::Node(fact));
        directory.apply(Provider::Nodes, [change]);
        Ok(Self {
            cluster,
            directory: Arc::new(directory),
        })
    }

    fn client(&self) -> Result<&Pod> {
        self.cluster.pod("shop/web-0")
    }

    fn server(&self) -> Result<&Pod> {
        self.cluster.pod("shop/api-0")
    }

    fn probes(&self, config: &ProbeConfig) -> Result<Reader> {
        let node = self.cluster.node("node-1")?;
        let probes = node.namespace().run(|| {
            let probes = probes::start(config)?;
            must_be_on(&probes, "conntrack")?;
            Ok(probes)
        })?;
        let Probes {
            reader,
            attacher,
            names,
            statistics,
            ..
        } = probes;
        let assembler = Assembler::new(
            Box::new(names),
            Arc::clone(&self.directory),
            attacher.devices(),
            Arc::new(Counters::default()),
        );
        Ok(Reader {
            probes: reader,
            _attacher: attacher,
            statistics,
            assembler,
        })
    }
}

impl Reader {
    /// Flows with ports, as many as there are.
    fn flows(&mut self) -> Result<Vec<FlowRecord>> {
        let (mut flows, mut events) = (Vec::new(), Vec::new());
        loop {
            self.assembler
                .collect(&mut self.probes, Duration::ZERO, LIMIT, &mut events)?;
            if events.is_empty() {
                return Ok(flows);
            }
            flows.extend(events.drain(..).filter_map(|event| match event {
                Event::Flow(flow) if ends(&flow).is_some() => Some(flow),
                _ => None,
            }));
        }
    }
}

fn at_nodes(protocol: u8) -> NodePort {
    NodePort {
        protocol,
        port: NODE_PORT,
    }
}

fn port(at: SocketAddr, protocol: u8) -> Port {
    Port {
        ip: at.ip(),
        protocol,
        port: at.port(),
    }
}

/// As kube-proxy does it, for both services and protocols.
fn map_services(node: &Node, pod: &Pod, masquerade: bool) -> Result<()> {
    let mut rules = String::from(
        "add table inet services\n\
         add chain inet services before { type nat hook prerouting priority dstnat; }\n\
         add chain inet services after { type nat hook postrouting priority srcnat; }\n",
    );
    for (family, ip) in [(V4, "ip"), (V6, "ip6")] {
        let backend = backend(family, pod);
        let there = [
            service(family),
            other_service(family),
            node_address(family, node)?,
        ];
        for (at, port) in there.map(|it| (it.ip(), it.port())) {
            rules += &format!(
                "add rule inet services before {ip} daddr {at} \
                 meta l4proto {{ tcp, udp }} th dport {port} dnat {ip} to {backend}\n"
            );
        }
        if masquerade {
            rules += &format!(
                "add rule inet services after {ip} daddr {} \
                 meta l4proto {{ tcp, udp }} th dport {BACKEND_PORT} masquerade\n",
                backend.ip()
            );
        }
    }
    nft(node, &rules)
}

fn node_address(family: Family, node: &Node) -> Result<SocketAddr> {
    let mut ips = node.ips().into_iter();
    let ip = ips.find(|ip| ip.is_ipv4() == matches!(family, V4));
    Ok(SocketAddr::new(ip.context("no address")?, NODE_PORT))
}

/// A connection that says something and is answered. Returns the client's address.
fn connection(client: &Pod, server: &Pod, there: SocketAddr) -> Result<SocketAddr> {
    let listener = server.run(|| Ok(TcpListener::bind(backend(family(there), server))?))?;
    talk(client, &listener, there)
}

fn talk(client: &Pod, listener: &TcpListener, there: SocketAddr) -> Result<SocketAddr> {
    let (mut asking, mut answering) = connected(client, listener, there)?;
    exchange(&mut asking, &mut answering)?;
    Ok(asking.local_addr()?)
}

fn connected(
    client: &Pod,
    listener: &TcpListener,
    there: SocketAddr,
) -> Result<(TcpStream, TcpStream)> {
    let asking = client.run(|| Ok(TcpStream::connect_timeout(&there, WITHIN)?))?;
    let (answering, _) = listener.accept()?;
    for stream in [&asking, &answering] {
        stream.set_read_timeout(Some(WITHIN))?;
    }
    Ok((asking, answering))
}

fn exchange(asking: &mut TcpStream, answering: &mut TcpStream) -> Result<()> {
    asking.write_all(b"question")?;
    answering.read_exact(&mut [0; 8])?;
    answering.write_all(b"answer")?;
    asking.read_exact(&mut [0; 6])?;
    Ok(())
}

/// A datagram and its answer. Returns the client's address.
fn datagram(client: &Pod, server: &Pod, there: SocketAddr) -> Result<SocketAddr> {
    let answering = server.run(|| Ok(UdpSocket::bind(backend(family(there), server))?))?;
    let asking = client.run(|| {
        let socket = UdpSocket::bind((family(there).address(client), 0))?;
        socket.send_to(b"question", there)?;
        Ok(socket)
    })?;
    for socket in [&asking, &answering] {
        socket.set_read_timeout(Some(WITHIN))?;
    }
    let (_, from) = answering.recv_from(&mut [0; 16])?;
    answering.send_to(b"answer", from)?;
    let (_, from) = asking.recv_from(&mut [0; 16])?;
    ensure!(from == there, "an answer from {from}, expected {there}");
    Ok(asking.local_addr()?)
}

fn family(address: SocketAddr) -> Family {
    if address.is_ipv4() { V4 } else { V6 }
}

/// Both protocols, both families.
type Talk = fn(&Pod, &Pod, SocketAddr) -> Result<SocketAddr>;
const TALKS: [(Talk, Family); 4] = [
    (connection, V4),
    (connection, V6),
    (datagram, V4),
    (datagram, V6),
];

fn both_sides() -> Result<()> {
    let observed = Observed::start(false)?;
    let mut reader = observed.probes(&ProbeConfig::default())?;
    let (client, server) = (observed.client()?, observed.server()?);
    for (talk, family) in TALKS {
        for (name, service) in [("web", service(family)), ("other", other_service(family))] {
            let own = talk(client, server, service)?;
            let flows = reader.flows()?;
            let places = of_service(&flows, name, own, own, service, backend(family, server))?;
            ensure!(
                places == [true; 4],
                "{name}: both sides and directions, seen {places:?}: {flows:?}"
            );
        }
    }
    Ok(())
}

fn node_port() -> Result<()> {
    let observed = Observed::start(false)?;
    let mut reader = observed.probes(&ProbeConfig::default())?;
    let (client, server) = (observed.client()?, observed.server()?);
    let node = observed.cluster.node("node-1")?;
    for (talk, family) in TALKS {
        let there = node_address(family, node)?;
        let own = talk(client, server, there)?;
        let flows = reader.flows()?;
        let places = of_service(&flows, "web", own, own, there, backend(family, server))?;
        ensure!(places == [true; 4], "seen {places:?}: {flows:?}");
    }
    Ok(())
}

fn masqueraded() -> Result<()> {
    let observed = Observed::start(true)?;
    let mut reader = observed.probes(&ProbeConfig::default())?;
    let (client, server) = (observed.client()?, observed.server()?);
    for (talk, family) in TALKS {
        let (service, backend) = (service(family), backend(family, server));
        let own = talk(client, server, service)?;
        let flows = reader.flows()?;
        let mask = flows
            .iter()
            .find_map(|flow| ends(flow).filter(|(from, to)| *to == backend && *from != own))
            .context("no flow reaches the backend")?
            .0;
        let node = observed.cluster.node("node-1")?;
        ensure!(node.ips().contains(&mask.ip()), "not masqueraded: {mask}");
        let places = of_service(&flows, "web", own, mask, service, backend)?;
        ensure!(places == [true; 4], "seen {places:?}: {flows:?}");
        for flow in &flows {
            if ends(flow) == Some((mask, backend)) {
                let pod = &flow.source.endpoint.pod_name;
                ensure!(&**pod == "web-0", "from {pod:?}: {flow:?}");
            }
        }
    }
    Ok(())
}

fn directly() -> Result<()> {
    let observed = Observed::start(false)?;
    let mut reader = observed.probes(&ProbeConfig::default())?;
    let (client, server) = (observed.client()?, observed.server()?);
    for (talk, family) in TALKS {
        talk(client, server, service(family))?;
        reader.flows()?;
        let own = talk(client, server, backend(family, server))?;
        let flows = reader.flows()?;
        let seen: Vec<_> = flows.iter().filter(|flow| is_of(flow, own)).collect();
        ensure!(!seen.is_empty(), "nothing seen of {own}");
        for flow in seen {
            let nothing = name(&flow.source).is_none() && name(&flow.destination).is_none();
            ensure!(nothing && flow.translation.is_none(), "{flow:?}");
        }
    }
    Ok(())
}

fn older() -> Result<()> {
    let observed = Observed::start(false)?;
    let (client, server) = (observed.client()?, observed.server()?);
    let mut open = Vec::new();
    for family in [V4, V6] {
        let backend = backend(family, server);
        let listener = server.run(|| Ok(TcpListener::bind(backend)?))?;
        open.push((family, connected(client, &listener, service(family))?));
    }
    let mut reader = observed.probes(&ProbeConfig::default())?;
    for (family, (asking, answering)) in &mut open {
        let own = asking.local_addr()?;
        exchange(asking, answering)?;
        let flows = reader.flows()?;
        let (service, backend) = (service(*family), backend(*family, server));
        let places = of_service(&flows, "web", own, own, service, backend)?;
        ensure!(places == [true; 4], "seen {places:?}: {flows:?}");
    }
    Ok(())
}

/// Connections one after the other, while the flows are read.
const MANY: usize = 300;

fn many() -> Result<()> {
    let observed = Observed::start(true)?;
    let mut reader = observed.probes(&ProbeConfig::default())?;
    let (client, server) = (observed.client()?, observed.server()?);
    let (service, backend) = (service(V4), backend(V4, server));
    let mut flows = Vec::new();
    thread::scope(|scope| -> Result<()> {
        let talking = scope.spawn(|| -> Result<()> {
            let listener = server.run(|| Ok(TcpListener::bind(backend)?))?;
            for _ in 0..MANY {
                talk(client, &listener, service)?;
            }
            Ok(())
        });
        while !talking.is_finished() {
            flows.extend(reader.flows()?);
        }
        talking
            .join()
            .map_err(|_| anyhow::anyhow!("the client panicked"))?
    })?;
    flows.extend(reader.flows()?);
    let mut seen = 0;
    for flow in &flows {
        let Some((from, to)) = ends(flow) else {
            continue;
        };
        let side = if to == service || to == backend {
            &flow.destination
        } else if from == service || from == backend {
            &flow.source
        } else {
            continue;
        };
        let is_translated = from == backend || to == backend;
        seen += 1;
        let is_known = name(side).as_deref() == Some("web");
        ensure!(
            is_known && (flow.translation.is_some() || !is_translated) || is_half_translated(flow),
            "not of the service, or not joined: {flow:?}"
        );
    }
    ensure!(seen >= 4 * MANY, "{seen} flows of {MANY} connections");
    Ok(())
}

/// A bridge that is given to firewalls shows the first packet before the kernel tells of the
/// connection.
fn is_half_translated(flow: &FlowRecord) -> bool {
    matches!(
        flow.observation,
        Observation::Trace {
            point: TracePoint::ToStack,
            reason: TraceReason::New,
            ..
        }
    )
}

fn overrun() -> Result<()> {
    const CONNECTIONS: usize = 200;
    let observed = Observed::start(false)?;
    let config = ProbeConfig {
        conntrack_queue_bytes: 2_048,
        ..ProbeConfig::default()
    };
    let mut reader = observed.probes(&config)?;
    let client = observed.client()?;
    let sockets: Vec<UdpSocket> = client.run(|| {
        (0..CONNECTIONS)
            .map(|_| {
                let socket = UdpSocket::bind((client.ipv4(), 0))?;
                socket.send_to(b"question", service(V4))?;
                Ok(socket)
            })
            .collect()
    })?;
    wait::until("all connections to be known", WITHIN, || {
        reader.flows()?;
        let counts = reader.statistics.snapshot().translations;
        ensure!(counts.overruns > 0, "nothing was lost: {counts:?}");
        Ok((counts.connections == CONNECTIONS as u64).then_some(()))
    })
    .with_context(|| format!("{:?}", reader.statistics.snapshot().translations))?;
    drop(sockets);
    Ok(())
}

/// Checks the flows of a connection to a service. Tells what there are: towards the service and
/// back, before the translation and behind it.
fn of_service(
    flows: &[FlowRecord],
    service_name: &str,
    client: SocketAddr,
    mask: SocketAddr,
    service: SocketAddr,
    backend: SocketAddr,
) -> Result<[bool; 4]> {
    let mut seen = [false; 6];
    let legs = [
        (client, service),
        (service, client),
        (mask, backend),
        (backend, mask),
        // A bridge that is given to firewalls, as Kubernetes has it, shows it half translated.
        (client, backend),
        (backend, client),
    ];
    for flow in flows {
        let Some(at) = legs.iter().position(|leg| ends(flow) == Some(*leg)) else {
            continue;
        };
        seen[at] = true;
        let (server, client_side) = match at % 2 {
            0 => (&flow.destination, &flow.source),
            _ => (&flow.source, &flow.destination),
        };
        let is_named = name(server).as_deref() == Some(service_name);
        ensure!(
            (is_named || is_half_translated(flow)) && name(client_side).is_none(),
            "not of {service_name}: {flow:?}"
        );
        match &flow.translation {
            Some(translation) => ensure!(
                translation.original == between(client, service)
                    && translation.translated == between(mask, backend),
                "joined with another: {flow:?}"
            ),
            // The first packet is seen before it is translated.
            None => ensure!(at == 0 || is_half_translated(flow), "not joined: {flow:?}"),
        }
    }
    let [a, b, c, d, ..] = seen;
    Ok([a, b, c, d])
}

fn between(source: SocketAddr, destination: SocketAddr) -> Ends {
    Ends {
        source: End::from(source),
        destination: End::from(destination),
    }
}

fn is_of(flow: &FlowRecord, client: SocketAddr) -> bool {
    ends(flow).is_some_and(|(from, to)| from == client || to == client)
}

fn name(party: &Party) -> Option<String> {
    let service = party.service.as_ref()?;
    (&*service.namespace == "shop").then(|| service.name.to_string())
}
