//! An address that is translated at a socket is told, before and after, once.

use std::{
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    programs::{CgroupAttachMode, CgroupSockAddr},
};
use flow_observer::{
    process::Process,
    source::probes::{self, ProbeConfig, Probes},
};
use testbed::{
    Cluster, Pod, Spec, bind,
    exchange::Family::{self, V4, V6},
    wait,
};

use crate::{
    Rule,
    observed::{must_be_on, said_of_sockets},
    socket::{cookie, netns_cookie, this_process},
};

pub(crate) const RULES: &[Rule] = &[
    (
        "a_translated_connection_is_told_once_before_and_once_after",
        || with_translation(connection),
    ),
    (
        "a_translated_datagram_and_its_answer_are_told_once_before_and_once_after",
        || with_translation(datagram),
    ),
    (
        "a_load_balancer_that_starts_after_the_probes_is_seen",
        late_translation,
    ),
    ("what_is_not_translated_is_not_told", || {
        with_translation(untouched)
    }),
];

/// A program that translates one service address for every socket of the machine; only tests use
/// it.
static TRANSLATE: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../ebpf-probes/translate.bpf.o"
));
const PROGRAMS: [&str; 5] = [
    "to_backend4",
    "to_backend6",
    "send_to_backend4",
    "receive_from_service4",
    "name_service4",
];

const SERVICE_PORT: u16 = 80;
const BACKEND_PORT: u16 = 7000;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// No host has these; each test process has its own, since translation is for the whole machine.
pub(crate) fn service(family: Family) -> SocketAddr {
    let [a, b] = (std::process::id() as u16).to_be_bytes();
    let ip = match family {
        V4 => IpAddr::from([10, 96, a, b]),
        V6 => IpAddr::from([0xfd96, 0, 0, 0, 0, 0, u16::from(a), u16::from(b)]),
    };
    SocketAddr::new(ip, SERVICE_PORT)
}

pub(crate) fn backend(family: Family, pod: &Pod) -> SocketAddr {
    SocketAddr::new(family.address(pod), BACKEND_PORT)
}

/// Runs `test` with probes and a load balancer between them.
fn with_translation(test: fn(&Cluster, &mut Probes) -> Result<()>) -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let _translation = translate_to(cluster.pod("shop/api-0")?)?;
    let node = cluster.node("node-1")?.clone();
    node.namespace().run(|| {
        let mut probes = probes::start(&ProbeConfig::default())?;
        must_be_on(&probes, "socket-translation")?;
        test(&cluster, &mut probes)
    })
}

/// Attaches the translation of both services to `pod`.
pub(crate) fn translate_to(pod: &Pod) -> Result<Ebpf> {
    let (IpAddr::V4(service4), IpAddr::V6(service6)) = (service(V4).ip(), service(V6).ip()) else {
        unreachable!("of these families")
    };
    let (backend4, backend6) = (pod.ipv4().octets(), pod.ipv6().octets());
    let (service4, service6) = (service4.octets(), service6.octets());
    let (service_port, backend_port) = (SERVICE_PORT.to_be_bytes(), BACKEND_PORT.to_be_bytes());
    let mut ebpf = EbpfLoader::new()
        .override_global("SERVICE_V4", &service4, true)
        .override_global("SERVICE_V6", &service6, true)
        .override_global("SERVICE_PORT", &service_port, true)
        .override_global("BACKEND_V4", &backend4, true)
        .override_global("BACKEND_V6", &backend6, true)
        .override_global("BACKEND_PORT", &backend_port, true)
        .load(TRANSLATE)?;
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let root = mounts
        .lines()
        .find(|line| line.contains(" cgroup2 "))
        .and_then(|line| line.split(' ').nth(1))
        .context("cgroup2 is not mounted")?;
    let root = std::fs::File::open(root)?;
    for name in PROGRAMS {
        let program = ebpf.program_mut(name).context(name)?;
        let program: &mut CgroupSockAddr = program.try_into()?;
        program.load()?;
        program.attach(&root, CgroupAttachMode::Single)?;
    }
    Ok(ebpf)
}

/// How long the probes may take to come after a program that came after them.
const LAST_WITHIN: Duration = Duration::from_secs(10);

fn late_translation() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let (web, api) = (cluster.pod("shop/web-0")?, cluster.pod("shop/api-0")?);
    let netns = netns_cookie(web)?;
    let service = service(V4);
    let node = cluster.node("node-1")?.clone();
    node.namespace().run(|| {
        let mut probes = probes::start(&ProbeConfig::default())?;
        must_be_on(&probes, "socket-translation")?;
        let _translation = translate_to(api)?;
        let mut told = Vec::new();
        wait::until("a translation to be told", LAST_WITHIN, || {
            // Of UDP, so that nobody has to answer however often this is done.
            web.run(|| Ok(UdpSocket::bind((web.ipv4(), 0))?.connect(service)?))?;
            let more = said_of_sockets(&mut probes, netns, 0)?;
            told.extend(more.iter().map(|event| event.point as u8));
            let expected = [1, 2].into_iter().cycle().take(told.len());
            ensure!(
                told.iter().copied().eq(expected),
                "points {told:?}, expected 1 and 2 of each connection"
            );
            Ok((told.len() >= 2).then_some(()))
        })
    })
}

fn connection(cluster: &Cluster, probes: &mut Probes) -> Result<()> {
    let (web, api) = (cluster.pod("shop/web-0")?, cluster.pod("shop/api-0")?);
    let netns = netns_cookie(web)?;
    for family in [V4, V6] {
        let (service, backend) = (service(family), backend(family, api));
        let _listener = api.run(|| Ok(bind::tcp(backend)?))?;
        let (socket, process) = web.run(|| Ok((TcpStream::connect(service)?, this_process()?)))?;
        let owner = (cookie(&socket)?, TCP, &process);
        told(probes, netns, owner, &[(1, service), (2, backend)])?;

        // The name of the other end is translated back, by IPv4 only: that is all this balancer
        // does.
        let expected = if family == V4 {
            vec![(3, backend), (4, service)]
        } else {
            Vec::new()
        };
        web.run(|| Ok(socket.peer_addr()?))?;
        told(probes, netns, owner, &expected)?;
    }
    Ok(())
}

fn datagram(cluster: &Cluster, probes: &mut Probes) -> Result<()> {
    let (web, api) = (cluster.pod("shop/web-0")?, cluster.pod("shop/api-0")?);
    let netns = netns_cookie(web)?;
    let (service, backend) = (service(V4), backend(V4, api));
    let server = api.run(|| Ok(bind::udp(backend)?))?;
    let (socket, process) = web.run(|| {
        let socket = UdpSocket::bind((web.ipv4(), 0))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.send_to(b"question", service)?;
        Ok((socket, this_process()?))
    })?;
    let owner = (cookie(&socket)?, UDP, &process);
    told(probes, netns, owner, &[(1, service), (2, backend)])?;

    let (_, client) = server.recv_from(&mut [0; 16])?;
    server.send_to(b"answer", client)?;
    let (_, from) = socket.recv_from(&mut [0; 16])?;
    ensure!(from == service, "an answer from {from}");
    let here = this_process()?;
    told(
        probes,
        netns,
        (owner.0, UDP, &here),
        &[(3, backend), (4, service)],
    )
}

fn untouched(cluster: &Cluster, probes: &mut Probes) -> Result<()> {
    let (web, api) = (cluster.pod("shop/web-0")?, cluster.pod("shop/api-0")?);
    let netns = netns_cookie(web)?;
    for family in [V4, V6] {
        let backend = backend(family, api);
        let _listener = api.run(|| Ok(bind::tcp((backend.ip(), BACKEND_PORT + 1))?))?;
        web.run(|| Ok(TcpStream::connect((backend.ip(), BACKEND_PORT + 1))?.peer_addr()?))?;
        told(probes, netns, (0, TCP, &Process::default()), &[])?;
    }
    Ok(())
}

/// Exactly the expected points and addresses, all of this socket, protocol and process.
fn told(
    probes: &mut Probes,
    netns: u64,
    (cookie, protocol, process): (u64, u8, &Process),
    expected: &[(u8, SocketAddr)],
) -> Result<()> {
    let events = said_of_sockets(probes, netns, expected.len())?;
    let found: Vec<_> = events
        .iter()
        .map(|event| (event.point as u8, event.peer))
        .collect();
    ensure!(found == expected, "told {events:?}, expected {expected:?}");
    for event in &events {
        let same = (event.socket_cookie, event.protocol) == (cookie, protocol)
            && Process::from(&event.process) == *process;
        ensure!(same, "{event:?} is not of socket {cookie}, {process:?}");
    }
    Ok(())
}
