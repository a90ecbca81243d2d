//! Which flow counts for what, with which labels.

use flow_api::flow::{
    CiliumEventType, Dns, DropReason, Endpoint, Flow, Http, IcmPv6, Ip, L7FlowType, Layer4, Layer7,
    Tcp, TcpFlags, TraceContext, TraceParent, TrafficDirection, Udp, Verdict, Workload,
    layer4::Protocol, layer7::Record,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text},
    registry::Registry,
};

use super::*;

#[derive(Debug)]
struct Everything(Arc<Pages>);

impl Collector for Everything {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        self.0
            .all()
            .iter()
            .try_for_each(|page| page.encode(&mut encoder))
    }
}

/// The samples of all metrics, sorted.
fn samples(metrics: &FlowMetrics) -> Vec<String> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Everything(metrics.pages())));
    let mut page = String::new();
    text::encode(&mut page, &registry).unwrap();
    let mut lines: Vec<_> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

fn counted(config: &str, flows: &[Flow]) -> Vec<String> {
    let mut metrics = FlowMetrics::new(1000);
    metrics.configure(&parse_line(config).unwrap()).unwrap();
    flows.iter().for_each(|flow| metrics.count(flow));
    samples(&metrics)
}

pub(super) fn endpoint(namespace: &str, pod: &str, labels: &[&str]) -> Option<Endpoint> {
    Some(Endpoint {
        namespace: namespace.to_owned(),
        pod_name: pod.to_owned(),
        labels: labels.iter().map(|&it| it.to_owned()).collect(),
        workloads: match pod.split_once('-') {
            Some((name, _)) => vec![Workload {
                kind: "Deployment".to_owned(),
                name: name.to_owned(),
            }],
            None => Vec::new(),
        },
        ..Endpoint::default()
    })
}

/// A packet from a pod to the world, on its way out.
fn packet(protocol: Protocol) -> Flow {
    Flow {
        verdict: Verdict::Forwarded.into(),
        event_type: Some(CiliumEventType {
            r#type: 4,
            sub_type: 3,
        }),
        traffic_direction: TrafficDirection::Egress.into(),
        ip: Some(Ip {
            source: "10.0.0.1".to_owned(),
            destination: "192.0.2.1".to_owned(),
            ip_version: 1,
            ..Ip::default()
        }),
        l4: Some(Layer4 {
            protocol: Some(protocol),
        }),
        is_reply: Some(false),
        source: endpoint(
            "shop",
            "web-7d9f8b6c5b-x2x4z",
            &["k8s:app=web", "k8s:app.kubernetes.io/name="],
        ),
        destination: endpoint("", "", &["reserved:world", "reserved:kube-apiserver"]),
        destination_names: vec!["a.example".to_owned(), "b.example".to_owned()],
        ..Flow::default()
    }
}

pub(super) fn syn() -> Flow {
    packet(Protocol::Tcp(Tcp {
        source_port: 40_000,
        destination_port: 443,
        flags: Some(TcpFlags {
            syn: true,
            ..TcpFlags::default()
        }),
    }))
}

pub(super) fn request(kind: L7FlowType, record: Record) -> Flow {
    Flow {
        event_type: Some(CiliumEventType {
            r#type: 129,
            sub_type: 0,
        }),
        l7: Some(Layer7 {
            r#type: kind.into(),
            latency_ns: 30_000_000,
            record: Some(record),
        }),
        ..packet(Protocol::Udp(Udp {
            source_port: 40_000,
            destination_port: 53,
        }))
    }
}

#[test]
fn flows_count_by_what_they_are() {
    assert_eq!(
        counted(
            "flow",
            &[
                syn(),
                syn(),
                request(L7FlowType::Request, Record::Http(Http::default()))
            ]
        ),
        [
            r#"hubble_flows_processed_total{protocol="HTTP",type="L7",subtype="HTTP",verdict="FORWARDED"} 1"#,
            r#"hubble_flows_processed_total{protocol="TCP",type="Trace",subtype="to-stack",verdict="FORWARDED"} 2"#,
        ]
    );
    let socket = Flow {
        event_type: Some(CiliumEventType {
            r#type: 7,
            ..CiliumEventType::default()
        }),
        verdict: Verdict::Traced.into(),
        ..Flow::default()
    };
    assert_eq!(
        counted("flow", &[socket]),
        [
            r#"hubble_flows_processed_total{protocol="Unknown flow",type="Unknown",subtype="7",verdict="TRACED"} 1"#
        ]
    );
}

#[test]
fn drops_count_by_reason() {
    let dropped = Flow {
        verdict: Verdict::Dropped.into(),
        drop_reason_desc: DropReason::PolicyDenied.into(),
        event_type: Some(CiliumEventType {
            r#type: 1,
            sub_type: 133,
        }),
        ..syn()
    };
    assert_eq!(
        counted(
            "drop:sourceContext=pod;destinationContext=dns|ip",
            &[dropped, syn()]
        ),
        [
            r#"hubble_drop_total{source="shop/web-7d9f8b6c5b-x2x4z",destination="a.example,b.example",reason="POLICY_DENIED",protocol="TCP"} 1"#
        ]
    );
}

#[test]
fn each_context_says_its_part() {
    for (context, expected) in [
        ("identity", "k8s:app=web,k8s:app.kubernetes.io/name="),
        ("namespace", "shop"),
        ("pod", "shop/web-7d9f8b6c5b-x2x4z"),
        ("pod-name", "web-7d9f8b6c5b-x2x4z"),
        ("pod-short", "shop/web"),
        ("dns", ""),
        ("dns|ip", "10.0.0.1"),
        ("ip", "10.0.0.1"),
        ("reserved-identity", ""),
        ("workload", "shop/web"),
        ("workload-name", "web"),
        ("app", "web"),
    ] {
        let line =
            format!(r#"hubble_tcp_flags_total{{source="{expected}",flag="SYN",family="IPv4"}} 1"#);
        let sorted = |text: &str| {
            let mut labels: Vec<_> = text
                .split(['{', '}'])
                .nth(1)
                .unwrap_or("")
                .split("\",")
                .map(str::to_owned)
                .collect();
            labels.sort();
            labels
        };
        let config = format!("tcp:sourceContext={context}");
        let samples = counted(&config, &[syn()]);
        assert_eq!(samples.len(), 1, "{samples:?}");
        assert_eq!(sorted(&samples[0]).len(), sorted(&line).len());
        assert!(
            samples[0].contains(&format!("source=\"{expected}\"")),
            "{context}: {samples:?}"
        );
    }
    let world = counted("tcp:destinationContext=reserved-identity", &[syn()]);
    assert!(
        world[0].contains(r#"destination="reserved:kube-apiserver""#),
        "{world:?}"
    );
    let labels = counted(
        "tcp:labelsContext=traffic_direction,source_workload_kind,source_pod",
        &[syn()],
    );
    assert!(
        labels[0].contains(r#"source_pod="web-7d9f8b6c5b-x2x4z",source_workload_kind="Deployment",traffic_direction="egress""#),
        "{labels:?}"
    );
}

#[test]
fn metrics_with_the_same_contexts_say_the_same_of_each_flow() {
    let other = Flow {
        source: endpoint("bank", "db-0", &[]),
        ..syn()
    };
    assert_eq!(
        counted(
            "tcp:sourceContext=pod port-distribution:sourceContext=pod flows-to-world:sourceContext=namespace",
            &[syn(), other]
        ),
        [
            r#"hubble_flows_to_world_total{source="bank",protocol="TCP",verdict="FORWARDED"} 1"#,
            r#"hubble_flows_to_world_total{source="shop",protocol="TCP",verdict="FORWARDED"} 1"#,
            r#"hubble_port_distribution_total{source="bank/db-0",protocol="TCP",port="443"} 1"#,
            r#"hubble_port_distribution_total{source="shop/web-7d9f8b6c5b-x2x4z",protocol="TCP",port="443"} 1"#,
            r#"hubble_tcp_flags_total{source="bank/db-0",flag="SYN",family="IPv4"} 1"#,
            r#"hubble_tcp_flags_total{source="shop/web-7d9f8b6c5b-x2x4z",flag="SYN",family="IPv4"} 1"#,
        ]
    );
}

#[test]
fn a_context_for_a_direction_comes_before_the_one_for_all() {
    let config =
        "tcp:sourceContext=namespace;sourceEgressContext=pod-short;destinationIngressContext=ip";
    let ingress = Flow {
        traffic_direction: TrafficDirection::Ingress.into(),
        ..syn()
    };
    let samples = counted(config, &[syn(), ingress]);
    assert!(
        samples[0].contains(r#"source="shop",destination="192.0.2.1""#),
        "{samples:?}"
    );
    assert!(
        samples[1].contains(r#"source="shop/web",destination="""#),
        "{samples:?}"
    );
}

#[test]
fn dns_counts_questions_answers_and_what_is_in_them() {
    let dns = |rcode| Dns {
        query: "a.example.".to_owned(),
        qtypes: vec!["A".to_owned(), "AAAA".to_owned()],
        rrtypes: vec!["CNAME".to_owned(), "A".to_owned()],
        ips: vec!["192.0.2.1".to_owned()],
        rcode,
        ..Dns::default()
    };
    let question = request(L7FlowType::Request, Record::Dns(dns(0)));
    let denied = Flow {
        verdict: Verdict::Dropped.into(),
        ..question.clone()
    };
    let answer = request(L7FlowType::Response, Record::Dns(dns(3)));
    assert_eq!(
        counted("dns:query", &[question, denied, answer]),
        [
            r#"hubble_dns_queries_total{rcode="",qtypes="A,AAAA",ips_returned="1",query="a.example."} 1"#,
            r#"hubble_dns_queries_total{rcode="Policy denied",qtypes="A,AAAA",ips_returned="1",query="a.example."} 1"#,
            r#"hubble_dns_response_types_total{type="A",qtypes="A,AAAA",query="a.example."} 1"#,
            r#"hubble_dns_response_types_total{type="CNAME",qtypes="A,AAAA",query="a.example."} 1"#,
            r#"hubble_dns_responses_total{rcode="Non-Existent Domain",qtypes="A,AAAA",ips_returned="1",query="a.example."} 1"#,
        ]
    );
    let quad = Dns {
        qtypes: vec!["AAAA".to_owned()],
        ..dns(0)
    };
    let quad = request(L7FlowType::Request, Record::Dns(quad));
    assert_eq!(counted("dns:ignoreAAAA", &[quad]), Vec::<String>::new());
}

#[test]
fn http_v2_counts_responses_as_what_became_of_their_requests() {
    let http = Http {
        code: 200,
        method: "GET".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        ..Http::default()
    };
    let response = Flow {
        trace_context: Some(TraceContext {
            parent: Some(TraceParent {
                trace_id: "4bf92f35".to_owned(),
            }),
        }),
        ..request(L7FlowType::Response, Record::Http(http.clone()))
    };
    let question = request(L7FlowType::Request, Record::Http(http));
    let both = [question, response];
    let v2 = counted(
        "httpV2:sourceContext=pod-short;destinationContext=reserved-identity;exemplars=true",
        &both,
    );
    let requests: Vec<_> = v2
        .iter()
        .filter(|it| it.starts_with("hubble_http_requests"))
        .collect();
    assert_eq!(requests.len(), 1);
    assert!(
        requests[0].starts_with(r#"hubble_http_requests_total{source="reserved:kube-apiserver",destination="shop/web",method="GET",protocol="HTTP/1.1",status="200",reporter="client"} 1 # {traceID="4bf92f35"} 1"#),
        "{requests:?}"
    );
    let in_time = v2.iter().find(|it| it.contains("le=\"0.05\""));
    assert!(
        in_time.is_some_and(|it| it.contains(r#"} 1 # {traceID="4bf92f35"} 0.03"#)),
        "{v2:#?}"
    );
    let v1 = counted("http", &both);
    for line in [
        r#"hubble_http_requests_total{method="GET",protocol="HTTP/1.1",reporter="client"} 1"#,
        r#"hubble_http_responses_total{method="GET",protocol="HTTP/1.1",status="200",reporter="client"} 1"#,
        r#"hubble_http_request_duration_seconds_count{method="GET",reporter="client"} 1"#,
        r#"hubble_http_request_duration_seconds_bucket{le="0.025",method="GET",reporter="client"} 0"#,
    ] {
        assert!(v1.iter().any(|it| it == line), "{line} is not in {v1:#?}");
    }
}

#[test]
fn icmp_and_ports_count_as_hubble_does() {
    let echo = packet(Protocol::IcmPv6(IcmPv6 {
        r#type: 128,
        code: 0,
    }));
    assert_eq!(
        counted(
            "icmp port-distribution",
            &[
                echo,
                syn(),
                Flow {
                    is_reply: None,
                    ..syn()
                }
            ]
        ),
        [
            r#"hubble_icmp_total{family="IPv4",type="EchoRequest"} 1"#,
            r#"hubble_port_distribution_total{protocol="ICMPv6",port="0"} 1"#,
            r#"hubble_port_distribution_total{protocol="TCP",port="443"} 1"#,
        ]
    );
}

#[test]
fn flows_to_the_world_leave_replies_and_other_drops_out() {
    let dropped = |reason: DropReason| Flow {
        verdict: Verdict::Dropped.into(),
        drop_reason_desc: reason.into(),
        is_reply: None,
        ..syn()
    };
    let reply = Flow {
        is_reply: Some(true),
        ..syn()
    };
    let flows = [
        syn(),
        reply,
        dropped(DropReason::PolicyDenied),
        dropped(DropReason::TtlExceeded),
    ];
    assert_eq!(
        counted("flows-to-world:port", &flows),
        [
            r#"hubble_flows_to_world_total{protocol="TCP",verdict="DROPPED",port="443"} 1"#,
            r#"hubble_flows_to_world_total{protocol="TCP",verdict="FORWARDED",port="443"} 1"#,
        ]
    );
    assert_eq!(
        counted("flows-to-world:any-drop", &flows)[0],
        r#"hubble_flows_to_world_total{protocol="TCP",verdict="DROPPED"} 2"#
    );
    let datagram = packet(Protocol::Udp(Udp::default()));
    assert_eq!(
        counted("flows-to-world:syn-only", &[datagram]),
        Vec::<String>::new()
    );
}

#[test]
fn policies_count_but_for_those_of_the_host_itself() {
    let verdict = Flow {
        event_type: Some(CiliumEventType {
            r#type: 5,
            ..CiliumEventType::default()
        }),
        policy_match_type: 2,
        ..syn()
    };
    let mut of_host = verdict.clone();
    of_host.source.as_mut().unwrap().identity = 1;
    let dns = request(L7FlowType::Response, Record::Dns(Dns::default()));
    assert_eq!(
        counted("policy", &[verdict, of_host, dns]),
        [
            r#"hubble_policy_verdicts_total{direction="egress",match="l3-l4",action="forwarded"} 1"#,
            r#"hubble_policy_verdicts_total{direction="egress",match="l7/dns",action="forwarded"} 1"#,
        ]
    );
}

#[test]
fn a_change_of_filters_keeps_the_counts() {
    let mut metrics = FlowMetrics::new(1000);
    let all = parse_yaml("metrics:\n- name: tcp\n").unwrap();
    let none = parse_yaml(
        "metrics:\n- name: tcp\n  includeFilters:\n  - source_pod: [\"other/\"]\n- name: icmp\n",
    )
    .unwrap();
    metrics.configure(&all).unwrap();
    metrics.count(&syn());
    metrics.configure(&none).unwrap();
    metrics.count(&syn());
    let line = r#"hubble_tcp_flags_total{flag="SYN",family="IPv4"} 1"#;
    assert_eq!(samples(&metrics), [line]);
    metrics.configure(&[]).unwrap();
    assert_eq!(samples(&metrics), Vec::<String>::new());
}

#[test]
fn the_series_of_a_pod_that_is_gone_are_removed() {
    let mut metrics = FlowMetrics::new(1000);
    let config = "tcp:sourceContext=pod flow:labelsContext=source_namespace,source_pod drop:sourceContext=workload";
    metrics.configure(&parse_line(config).unwrap()).unwrap();
    metrics.count(&syn());
    assert_eq!(samples(&metrics).len(), 2);
    let names = |name: &str| [name.to_owned()].into_iter().collect();
    metrics.remove_pods(&names("shop/web"));
    assert_eq!(samples(&metrics).len(), 2);
    metrics.remove_pods(&names("shop/web-7d9f8b6c5b-x2x4z"));
    assert_eq!(samples(&metrics), Vec::<String>::new());
}
