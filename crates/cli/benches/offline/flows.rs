//! Flows as a busy cluster has them, the same in every run.
//!
//! 85 % packets, 7 % HTTP, 3 % DNS, 5 % denied by a policy; 8 % over UDP; 12 % to the world, by a
//! name. 20 namespaces, 320 workloads, 2,000 pods; four labels to an endpoint. As a message a flow
//! has about 720 bytes in the mean, as a line of JSON about 1,420.

#![expect(
    deprecated,
    reason = "servers still send the summary, and text is made of it"
)]

use flow_api::{
    flow::{
        CiliumEventType, Dns, DropReason, Emitter, Endpoint, Ethernet, Flow, FlowType, Http,
        HttpHeader, Ip, IpVersion, L7FlowType, Layer4, Layer7, Service, Tcp, TcpFlags,
        TraceObservationPoint, TraceReason, TrafficDirection, Udp, Verdict, Workload, layer4,
        layer7,
    },
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
};
use prost_types::Timestamp;

/// The first flow's time.
const BEGIN: i64 = 1_767_225_600;
/// Nanoseconds from one flow to the next.
const STEP: u64 = 20_011;

const NAMESPACES: [&str; 20] = [
    "shop", "checkout", "payments", "catalog", "search", "billing", "mail", "auth", "media",
    "stock", "orders", "pricing", "reviews", "support", "metrics", "logging", "tracing", "gateway",
    "reports", "batch",
];
const APPS: [&str; 16] = [
    "web", "api", "worker", "cache", "db", "queue", "sync", "proxy", "index", "store", "feed",
    "jobs", "edge", "admin", "cron", "hook",
];
const WORLD: [&str; 8] = [
    "api.example.com",
    "cdn.example.com",
    "storage.example.org",
    "hooks.example.net",
    "registry.example.org",
    "login.example.net",
    "mail.example.org",
    "packages.example.net",
];
const PATHS: [&str; 4] = ["/", "/v1/items/4711", "/v1/carts/42/lines", "/healthz"];
const NODES: u64 = 20;
const PODS: u64 = 2_000;

/// Makes flows, one after the other.
pub(crate) struct Flows {
    random: fastrand::Rng,
    number: u64,
}

impl Flows {
    pub(crate) fn new() -> Self {
        Self {
            random: fastrand::Rng::with_seed(7),
            number: 0,
        }
    }

    fn percent(&mut self, share: u64) -> bool {
        self.random.u64(..100) < share
    }

    pub(crate) fn next(&mut self) -> GetFlowsResponse {
        let since_begin = self.number * STEP;
        self.number += 1;
        let time = Some(Timestamp {
            seconds: BEGIN + (since_begin / 1_000_000_000) as i64,
            nanos: (since_begin % 1_000_000_000) as i32,
        });
        let node_name = format!("default/node-{:02}", self.random.u64(..NODES));
        let flow = self.flow(time, node_name.clone());
        GetFlowsResponse {
            node_name,
            time,
            response_types: Some(ResponseTypes::Flow(flow)),
        }
    }

    fn flow(&mut self, time: Option<Timestamp>, node_name: String) -> Flow {
        let source = self.random.u64(..PODS);
        let to_world = self.percent(12);
        let destination = self.random.u64(..PODS);
        let name = WORLD[self.random.usize(..WORLD.len())];
        let is_reply = self.percent(45);
        let mut flow = Flow {
            time,
            uuid: uuid(&mut self.random),
            emitter: Some(Emitter {
                name: "Hubble".to_owned(),
                version: "1.19.4".to_owned(),
            }),
            verdict: Verdict::Forwarded.into(),
            ethernet: Some(Ethernet {
                source: mac(source),
                destination: mac(destination),
            }),
            ip: Some(Ip {
                source: address(source),
                destination: if to_world {
                    format!("203.0.113.{}", self.random.u64(1..255))
                } else {
                    address(destination)
                },
                ip_version: IpVersion::IPv4.into(),
                ..Ip::default()
            }),
            source: Some(endpoint(source)),
            destination: Some(if to_world {
                Endpoint {
                    identity: 16_777_217,
                    labels: vec![format!("fqdn:{name}"), "reserved:world".to_owned()],
                    ..Endpoint::default()
                }
            } else {
                endpoint(destination)
            }),
            r#type: FlowType::L3L4.into(),
            node_name,
            event_type: Some(CiliumEventType {
                r#type: 4,
                sub_type: if is_reply { 0 } else { 5 },
            }),
            traffic_direction: TrafficDirection::Egress.into(),
            trace_observation_point: TraceObservationPoint::ToEndpoint.into(),
            trace_reason: TraceReason::Established.into(),
            is_reply: Some(is_reply),
            ..Flow::default()
        };
        if to_world {
            flow.destination_names.push(name.to_owned());
        } else if self.percent(30) {
            flow.destination_service = Some(Service {
                name: app(destination).to_owned(),
                namespace: namespace(destination).to_owned(),
            });
        }
        self.content(&mut flow, name);
        flow
    }

    /// What sort of flow it is.
    fn content(&mut self, flow: &mut Flow, name: &str) {
        let port = u32::from(self.random.u16(32_768..));
        match self.random.u64(..100) {
            0..7 => {
                flow.l4 = tcp(port, 8080, |_| {});
                let url = PATHS[self.random.usize(..PATHS.len())];
                let http = Http {
                    code: 200,
                    method: "GET".to_owned(),
                    url: format!("http://{}.{}:8080{url}", APPS[0], NAMESPACES[0]),
                    protocol: "HTTP/1.1".to_owned(),
                    headers: vec![HttpHeader {
                        key: "X-Request-Id".to_owned(),
                        value: uuid(&mut self.random),
                    }],
                };
                flow.summary = format!("HTTP/1.1 200 3ms (GET {})", http.url);
                layer_7(flow, layer7::Record::Http(http));
            }
            7..10 => {
                flow.l4 = udp(port, 53);
                flow.summary = format!("DNS Query {name}. A");
                layer_7(
                    flow,
                    layer7::Record::Dns(Dns {
                        query: format!("{name}."),
                        observation_source: "proxy".to_owned(),
                        qtypes: vec!["A".to_owned()],
                        ..Dns::default()
                    }),
                );
            }
            10..15 => {
                flow.l4 = tcp(port, 5432, |flags| flags.syn = true);
                flow.summary = "TCP Flags: SYN".to_owned();
                flow.verdict = Verdict::Dropped.into();
                flow.drop_reason = 133;
                flow.drop_reason_desc = DropReason::PolicyDenied.into();
                flow.event_type = Some(CiliumEventType {
                    r#type: 1,
                    sub_type: 133,
                });
                flow.trace_observation_point = 0;
                flow.trace_reason = 0;
                flow.is_reply = None;
            }
            15..20 => {
                flow.l4 = udp(port, 4789);
                flow.summary = "UDP".to_owned();
            }
            _ => {
                flow.l4 = tcp(port, 443, |flags| (flags.psh, flags.ack) = (true, true));
                flow.summary = "TCP Flags: ACK, PSH".to_owned();
            }
        }
    }
}

fn layer_7(flow: &mut Flow, record: layer7::Record) {
    flow.r#type = FlowType::L7.into();
    flow.event_type = Some(CiliumEventType {
        r#type: 129,
        sub_type: 0,
    });
    flow.l7 = Some(Layer7 {
        r#type: L7FlowType::Response.into(),
        latency_ns: 3_141_592,
        record: Some(record),
    });
}

fn tcp(source_port: u32, destination_port: u32, set: impl FnOnce(&mut TcpFlags)) -> Option<Layer4> {
    let mut flags = TcpFlags::default();
    set(&mut flags);
    Some(Layer4 {
        protocol: Some(layer4::Protocol::Tcp(Tcp {
            source_port,
            destination_port,
            flags: Some(flags),
        })),
    })
}

fn udp(source_port: u32, destination_port: u32) -> Option<Layer4> {
    Some(Layer4 {
        protocol: Some(layer4::Protocol::Udp(Udp {
            source_port,
            destination_port,
        })),
    })
}

fn workload(pod: u64) -> u64 {
    pod % (NAMESPACES.len() * APPS.len()) as u64
}

fn namespace(pod: u64) -> &'static str {
    NAMESPACES[workload(pod) as usize % NAMESPACES.len()]
}

fn app(pod: u64) -> &'static str {
    APPS[workload(pod) as usize / NAMESPACES.len()]
}

fn endpoint(pod: u64) -> Endpoint {
    let (namespace, app) = (namespace(pod), app(pod));
    Endpoint {
        id: 100 + pod as u32,
        identity: 10_000 + workload(pod) as u32,
        cluster_name: "default".to_owned(),
        namespace: namespace.to_owned(),
        labels: vec![
            format!("k8s:app={app}"),
            format!("k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name={namespace}"),
            "k8s:io.cilium.k8s.policy.cluster=default".to_owned(),
            format!("k8s:io.kubernetes.pod.namespace={namespace}"),
        ],
        pod_name: format!("{app}-{:09x}-{:05x}", workload(pod) * 7_654_321, pod * 521),
        workloads: vec![Workload {
            name: app.to_owned(),
            kind: "Deployment".to_owned(),
        }],
    }
}

fn address(pod: u64) -> String {
    format!("10.{}.{}.{}", pod % 8, pod / 200, pod % 200 + 10)
}

fn mac(pod: u64) -> String {
    format!(
        "0a:58:0a:{:02x}:{:02x}:{:02x}",
        pod % 8,
        pod / 200,
        pod % 200
    )
}

fn uuid(random: &mut fastrand::Rng) -> String {
    let (high, low) = (random.u64(..), random.u64(..));
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}
