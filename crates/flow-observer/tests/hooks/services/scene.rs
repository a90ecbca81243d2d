//! A node with services, those who talk through them, and what its agent sees of that.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::Arc,
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
    record::FlowRecord,
    ring::Event,
    source::probes::{self, ProbeConfig, Probes},
};
use testbed::{
    Cluster, Node, Pod, Spec, bind,
    exchange::Family::{self, V4, V6},
};

use crate::{flows::ends, observed::must_be_on, tcp::nft};

pub(super) const SERVICE_PORT: u16 = 80;
pub(super) const BACKEND_PORT: u16 = 7000;
/// Of the first service, at all nodes.
pub(super) const NODE_PORT: u16 = 30_080;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const LIMIT: usize = 4096;
pub(super) const WITHIN: Duration = Duration::from_secs(20);

pub(super) fn service(family: Family) -> SocketAddr {
    address(family, 10)
}

/// Has the same backends.
pub(super) fn other_service(family: Family) -> SocketAddr {
    address(family, 11)
}

pub(super) fn address(family: Family, last: u8) -> SocketAddr {
    match family {
        V4 => SocketAddr::from(([10, 96, 0, last], SERVICE_PORT)),
        V6 => {
            let ip = [0xfd96, 0, 0, 0, 0, 0, 0, u16::from(last)];
            SocketAddr::from((ip, SERVICE_PORT))
        }
    }
}

pub(super) fn backend(family: Family, pod: &Pod) -> SocketAddr {
    SocketAddr::new(family.address(pod), BACKEND_PORT)
}

/// A node that maps both services to a pod of the other, and what its agent makes of that.
pub(super) struct Observed {
    pub(super) cluster: Cluster,
    pub(super) directory: Arc<Directory>,
}

/// What reads the probes of the node.
pub(super) struct Reader {
    pub(super) probes: probes::Reader,
    pub(super) _attacher: probes::Attacher,
    pub(super) statistics: Arc<probes::ProbeStatistics>,
    pub(super) assembler: Assembler,
}

impl Observed {
    pub(super) fn start(masquerade: bool) -> Result<Self> {
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

    pub(super) fn client(&self) -> Result<&Pod> {
        self.cluster.pod("shop/web-0")
    }

    pub(super) fn server(&self) -> Result<&Pod> {
        self.cluster.pod("shop/api-0")
    }

    pub(super) fn probes(&self, config: &ProbeConfig) -> Result<Reader> {
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
    pub(super) fn flows(&mut self) -> Result<Vec<FlowRecord>> {
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

pub(super) fn at_nodes(protocol: u8) -> NodePort {
    NodePort {
        protocol,
        port: NODE_PORT,
    }
}

pub(super) fn port(at: SocketAddr, protocol: u8) -> Port {
    Port {
        ip: at.ip(),
        protocol,
        port: at.port(),
    }
}

/// As kube-proxy does it, for both services and protocols.
pub(super) fn map_services(node: &Node, pod: &Pod, masquerade: bool) -> Result<()> {
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

pub(super) fn node_address(family: Family, node: &Node) -> Result<SocketAddr> {
    let mut ips = node.ips().into_iter();
    let ip = ips.find(|ip| ip.is_ipv4() == matches!(family, V4));
    Ok(SocketAddr::new(ip.context("no address")?, NODE_PORT))
}

/// A connection that says something and is answered. Returns the client's address.
pub(super) fn connection(client: &Pod, server: &Pod, there: SocketAddr) -> Result<SocketAddr> {
    let listener = server.run(|| Ok(bind::tcp(backend(family(there), server))?))?;
    talk(client, &listener, there)
}

pub(super) fn talk(client: &Pod, listener: &TcpListener, there: SocketAddr) -> Result<SocketAddr> {
    let (mut asking, mut answering) = connected(client, listener, there)?;
    exchange(&mut asking, &mut answering)?;
    Ok(asking.local_addr()?)
}

pub(super) fn connected(
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

pub(super) fn exchange(asking: &mut TcpStream, answering: &mut TcpStream) -> Result<()> {
    asking.write_all(b"question")?;
    answering.read_exact(&mut [0; 8])?;
    answering.write_all(b"answer")?;
    asking.read_exact(&mut [0; 6])?;
    Ok(())
}

/// A datagram and its answer. Returns the client's address.
pub(super) fn datagram(client: &Pod, server: &Pod, there: SocketAddr) -> Result<SocketAddr> {
    let answering = server.run(|| Ok(bind::udp(backend(family(there), server))?))?;
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

pub(super) fn family(address: SocketAddr) -> Family {
    if address.is_ipv4() { V4 } else { V6 }
}
