use flow_api::flow::FlowFilter;
use flow_filter::{Filter, TcpFlags};
use probe_events::TracePoint;

use super::*;
use crate::{
    encode::{NodeFacts, flow_message},
    enrich::{
        Directory, Inventory,
        facts::{Change, EndpointFact, Fact, NodeFact, Provider, ServiceFact},
    },
    record::{Ip, PacketHeaders, Transport},
    ring::Event,
    source::HostFacts,
    view,
};

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const BACKEND: [u8; 4] = [10, 0, 0, 2];
const SERVICE: [u8; 4] = [10, 96, 0, 1];
const OTHER_SERVICE: [u8; 4] = [10, 96, 0, 2];
const NODE: [u8; 4] = [192, 0, 2, 1];
/// The port of the service at all nodes.
const NODE_PORT: u16 = 30_080;
/// The socket of the client.
const COOKIE: u64 = 99;

fn end(ip: [u8; 4], port: u16) -> End {
    End {
        ip: ip.into(),
        port,
    }
}

fn between(source: End, destination: End) -> Ends {
    Ends {
        source,
        destination,
    }
}

fn client() -> End {
    end(CLIENT, 4000)
}

fn backend() -> End {
    end(BACKEND, 8080)
}

/// A host that translates one connection.
struct Facts(Option<Translation>);

impl HostFacts for Facts {
    fn translation(&mut self, _: u8, ends: &Ends, _: Moment) -> Option<Arc<Translation>> {
        let translation = self.0.filter(|it| it.place(ends).is_some());
        translation.map(Arc::new)
    }
}

/// From the client to the service on port 80, and so to the backend on port 8080.
fn translation(translated_source: End) -> Translation {
    Translation {
        protocol: TCP,
        original: between(client(), end(SERVICE, 80)),
        translated: between(translated_source, backend()),
        socket_cookie: 0,
    }
}

/// Knows `shop/web`, and with `shared` also `shop/api`, which has the same backend.
fn assembler(translation: Option<Translation>, shared: bool) -> Assembler {
    let directory = Directory::new("node", Inventory::default());
    let port = |ip: [u8; 4], port| Port {
        ip: ip.into(),
        protocol: TCP,
        port,
    };
    let services = [("web", SERVICE), ("api", OTHER_SERVICE)];
    for (name, ip) in services.into_iter().take(if shared { 2 } else { 1 }) {
        let fact = ServiceFact {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            frontends: vec![port(ip, 80)],
            backends: vec![port(BACKEND, 8080)],
            node_ports: vec![NodePort {
                protocol: TCP,
                port: NODE_PORT,
            }],
        };
        let change = Change::Put(name.into(), Fact::Service(fact));
        directory.apply(Provider::Services, [change]);
    }
    let pod = EndpointFact {
        ips: vec![CLIENT.into()],
        namespace: "shop".to_owned(),
        pod: "client".to_owned(),
        ..EndpointFact::default()
    };
    let change = Change::Put("client".into(), Fact::Endpoint(pod));
    directory.apply(Provider::Pods, [change]);
    let node = NodeFact {
        name: "node".to_owned(),
        ips: vec![NODE.into()],
        ..NodeFact::default()
    };
    directory.apply(
        Provider::Nodes,
        [Change::Put("node".into(), Fact::Node(node))],
    );
    Assembler::new(
        Box::new(Facts(translation)),
        Arc::new(directory),
        Arc::default(),
        Arc::default(),
    )
}

const TRACE: Observation = Observation::Trace {
    point: TracePoint::ToNetwork,
    reason: TraceReason::New,
    encrypted: false,
};

fn tcp(ends: Ends) -> PacketHeaders {
    PacketHeaders {
        ip: Some(Ip {
            source: ends.source.ip,
            destination: ends.destination.ip,
        }),
        transport: Some(Transport::Tcp {
            source_port: ends.source.port,
            destination_port: ends.destination.port,
            flags: TcpFlags::default(),
        }),
        ..PacketHeaders::default()
    }
}

impl Assembler {
    fn seen(&mut self, observation: Observation, packet: PacketHeaders, cookie: u64) -> FlowRecord {
        let around = self.look_around(0);
        let parties = around.parties(&packet);
        let mut events = Vec::new();
        let flow = self.begin(&mut events, 0, observation, &packet, parties);
        let flow = flow.unwrap();
        flow.socket_cookie = cookie;
        self.add_translation(flow, &around);
        flow.clone()
    }

    /// Names of the services of a flow between these ends.
    fn services(&mut self, ends: Ends) -> (String, String) {
        names(&self.seen(TRACE, tcp(ends), 0))
    }
}

fn names(flow: &FlowRecord) -> (String, String) {
    let name = |service: &Option<Arc<Service>>| {
        let service = service.as_ref();
        service.map_or_else(String::new, |it| format!("{}/{}", it.namespace, it.name))
    };
    (name(&flow.source.service), name(&flow.destination.service))
}

fn named(source: &str, destination: &str) -> (String, String) {
    (source.to_owned(), destination.to_owned())
}

#[test]
fn the_address_that_clients_use_names_its_service() {
    let mut assembler = assembler(None, false);
    let there = between(client(), end(SERVICE, 80));
    assert_eq!(assembler.services(there), named("", "shop/web"));
    assert_eq!(assembler.services(there.reversed()), named("shop/web", ""));
    let another_port = between(client(), end(SERVICE, 81));
    assert_eq!(assembler.services(another_port), named("", ""));
    // As in Hubble.
    let mut udp = tcp(there);
    udp.transport = Some(Transport::Udp {
        source_port: 4000,
        destination_port: 80,
    });
    let flow = assembler.seen(TRACE, udp, 0);
    assert_eq!(names(&flow), named("", "shop/web"));
}

#[test]
fn a_port_at_all_nodes_names_its_service_at_nodes_only() {
    let mut assembler = assembler(None, false);
    let there = between(client(), end(NODE, NODE_PORT));
    assert_eq!(assembler.services(there), named("", "shop/web"));
    assert_eq!(assembler.services(there.reversed()), named("shop/web", ""));
    for elsewhere in [end(NODE, NODE_PORT + 1), end(OTHER_SERVICE, NODE_PORT)] {
        let there = between(client(), elsewhere);
        assert_eq!(assembler.services(there), named("", ""), "{elsewhere:?}");
    }
}

#[test]
fn a_mask_whose_port_looks_like_a_service_is_none() {
    let translation = translation(end(NODE, NODE_PORT));
    let mut assembler = assembler(Some(translation), false);
    let there = translation.translated;
    assert_eq!(assembler.services(there), named("", "shop/web"));
    assert_eq!(assembler.services(there.reversed()), named("shop/web", ""));
}

#[test]
fn what_has_no_ports_belongs_to_no_service() {
    let mut packet = tcp(between(client(), end(SERVICE, 80)));
    packet.transport = Some(Transport::Icmpv4 { kind: 8, code: 0 });
    let flow = assembler(None, false).seen(TRACE, packet, 0);
    assert_eq!(names(&flow), named("", ""));
}

#[test]
fn without_a_translation_a_backend_is_of_its_only_service_or_of_none() {
    let there = between(client(), backend());
    let mut one = assembler(None, false);
    assert_eq!(one.services(there), named("", "shop/web"));
    let mut two = assembler(None, true);
    assert_eq!(two.services(there), named("", ""));
}

#[test]
fn both_sides_of_a_translation_have_the_same_service_in_both_directions() {
    let translation = translation(client());
    let mut assembler = assembler(Some(translation), true);
    for ends in [translation.original, translation.translated] {
        for (ends, services) in [
            (ends, named("", "shop/web")),
            (ends.reversed(), named("shop/web", "")),
        ] {
            let flow = assembler.seen(TRACE, tcp(ends), 0);
            assert_eq!(names(&flow), services, "{ends:?}");
            assert_eq!(flow.translation.as_deref(), Some(&translation));
            assert_eq!(flow.original_source(), None);
        }
    }
    let of_another_port = between(end(CLIENT, 4001), backend());
    assert_eq!(assembler.services(of_another_port), named("", ""));
}

#[test]
fn filters_select_the_flows_of_a_service_on_both_sides_of_its_translation() {
    let translation = translation(client());
    let mut assembler = assembler(Some(translation), true);
    let node = NodeFacts {
        name: "node".to_owned(),
        directory: None,
    };
    let named = || vec!["shop/web".to_owned()];
    let to = FlowFilter {
        destination_service: named(),
        ..FlowFilter::default()
    };
    let from = FlowFilter {
        source_service: named(),
        ..FlowFilter::default()
    };
    // As the command line says `--service`.
    let either = [to.clone(), from.clone()];
    let [to, from, either] =
        [&[to][..], &[from], &either].map(|allow| Filter::compile(allow, &[]).unwrap());
    for ends in [translation.original, translation.translated] {
        let mut selected = |ends| {
            let flow = Event::Flow(assembler.seen(TRACE, tcp(ends), 0));
            [&to, &from, &either].map(|filter| view::matches(filter, &flow, &node))
        };
        assert_eq!(selected(ends), [true, false, true], "{ends:?}");
        assert_eq!(selected(ends.reversed()), [false, true, true], "{ends:?}");
    }
}

#[test]
fn a_masqueraded_source_is_whoever_is_behind_it() {
    let translation = translation(end(NODE, 50_000));
    let mut assembler = assembler(Some(translation), true);
    let node = NodeFacts {
        name: "node".to_owned(),
        directory: None,
    };
    let flow = assembler.seen(TRACE, tcp(translation.translated), 0);
    assert_eq!(names(&flow), named("", "shop/web"));
    assert_eq!(&*flow.source.endpoint.pod_name, "client");
    assert_eq!(flow.source.identity, flow.source.endpoint.identity);
    let ip = flow_message(&flow, &node).ip.unwrap();
    assert_eq!((&*ip.source, &*ip.source_xlated), ("10.0.0.1", "192.0.2.1"));

    // A bridge may see it between the two translations.
    let between = assembler.seen(TRACE, tcp(between(client(), backend())), 0);
    assert_eq!(names(&between), named("", "shop/web"));
    assert_eq!(between.original_source(), None);

    // The answer goes to the mask, and who is told of its drop sees what the packet has.
    let answer = assembler.seen(TRACE, tcp(translation.translated.reversed()), 0);
    assert_eq!(names(&answer), named("shop/web", ""));
    let dropped = Observation::DebugCapture { point: 0 };
    let dropped = assembler.seen(dropped, tcp(translation.translated), 0);
    for flow in [answer, dropped] {
        assert_eq!(flow.original_source(), None);
        assert_eq!(&*flow.source.endpoint.pod_name, "");
    }
}

fn call(point: u8, ends: Ends) -> (Observation, PacketHeaders) {
    let observation = Observation::Socket {
        point,
        cgroup_id: 1,
    };
    (observation, tcp(ends))
}

#[test]
fn a_socket_that_was_given_a_backend_keeps_its_service() {
    let mut assembler = assembler(None, true);
    let own = end(CLIENT, 0);
    let to = |there| between(own, there);
    let from = |there| between(there, own);
    // The call, before and after; later the name of the other end, before and after.
    for (point, ends, services) in [
        (1, to(end(SERVICE, 80)), named("", "shop/web")),
        (2, to(backend()), named("", "shop/web")),
        (3, from(backend()), named("shop/web", "")),
        (4, from(end(SERVICE, 80)), named("shop/web", "")),
    ] {
        let (observation, packet) = call(point, ends);
        let flow = assembler.seen(observation, packet, COOKIE);
        assert_eq!(names(&flow), services, "point {point}");
    }

    // Its packets, and the answers, which carry no socket.
    let there = between(client(), backend());
    let sent = assembler.seen(TRACE, tcp(there), COOKIE);
    let answered = assembler.seen(TRACE, tcp(there.reversed()), 0);
    assert_eq!(names(&sent), named("", "shop/web"));
    assert_eq!(names(&answered), named("shop/web", ""));
    let original = sent.translation.unwrap().original;
    assert_eq!(original, between(client(), end(SERVICE, 80)));
}

#[test]
fn a_port_that_another_socket_has_now_is_of_no_service() {
    let mut assembler = assembler(None, true);
    for (point, there) in [(1, end(SERVICE, 80)), (2, backend())] {
        let (observation, packet) = call(point, between(end(CLIENT, 0), there));
        assembler.seen(observation, packet, COOKIE);
    }
    let there = between(client(), backend());
    let first = assembler.seen(TRACE, tcp(there), COOKIE);
    assert_eq!(names(&first), named("", "shop/web"));
    let other = assembler.seen(TRACE, tcp(there), COOKIE + 1);
    assert_eq!(names(&other), named("", ""));
    assert_eq!(assembler.services(there.reversed()), named("", ""));
}

#[test]
fn a_connection_that_is_masqueraded_after_the_socket_keeps_its_service() {
    let there = between(client(), backend());
    let masked = Translation {
        protocol: TCP,
        original: there,
        translated: between(end(NODE, 50_000), backend()),
        socket_cookie: 0,
    };
    let mut assembler = assembler(Some(masked), true);
    for (point, there) in [(1, end(SERVICE, 80)), (2, backend())] {
        let (observation, packet) = call(point, between(end(CLIENT, 0), there));
        assembler.seen(observation, packet, COOKIE);
    }
    let sent = assembler.seen(TRACE, tcp(there), COOKIE);
    assert_eq!(names(&sent), named("", "shop/web"));
    let services = assembler.services(masked.translated);
    assert_eq!(services, named("", "shop/web"));
}
