//! Long lists answer as their entries do one by one: an entry alone in its message is the model.

use std::sync::LazyLock;

use flow_api::flow::{
    CiliumEventType, Endpoint, EventTypeFilter, Flow, FlowFilter, Http, HttpHeader, Ip, Layer4,
    NetworkInterface, Service, TcpFlags, TraceContext, TraceParent, Workload, layer4, layer7,
};
use flow_api::flow::{Dns, IpTraceId, Layer7, Tcp, flow_filter::Experimental};
use flow_api::json;
use flow_filter::Filter;
use proptest::array::uniform32;
use proptest::collection::vec;
use proptest::prelude::*;

/// Sets the fields of a message one by one: each adds the entry with a number.
const FIELDS: [fn(&mut FlowFilter, usize); 41] = [
    |filter, n| filter.uuid.push(format!("uuid-{n}")),
    |filter, n| filter.source_ip.push(ip_entry(n)),
    |filter, n| filter.source_ip_xlated.push(ip_entry(n)),
    |filter, n| filter.source_pod.push(pod_entry(n)),
    |filter, n| filter.source_fqdn.push(pattern(n)),
    |filter, n| filter.source_label.push(selector(n)),
    |filter, n| filter.source_service.push(pod_entry(n)),
    |filter, n| filter.source_workload.push(workload(n)),
    |filter, n| filter.source_cluster_name.push(format!("cluster-{n}")),
    |filter, n| filter.destination_ip.push(ip_entry(n)),
    |filter, n| filter.destination_pod.push(pod_entry(n)),
    |filter, n| filter.destination_fqdn.push(pattern(n)),
    |filter, n| filter.destination_label.push(selector(n)),
    |filter, n| filter.destination_service.push(pod_entry(n)),
    |filter, n| filter.destination_workload.push(workload(n)),
    |filter, n| filter.destination_cluster_name.push(format!("cluster-{n}")),
    |filter, n| filter.traffic_direction.push(n as i32),
    |filter, n| filter.verdict.push(n as i32),
    |filter, n| filter.drop_reason_desc.push(130 + n as i32),
    |filter, n| filter.interface.push(interface(n)),
    |filter, n| filter.event_type.push(event_type(n)),
    |filter, n| filter.http_status_code.push(status_code(n)),
    |filter, n| filter.protocol.push(protocol(n)),
    |filter, n| filter.source_port.push(n.to_string()),
    |filter, n| filter.destination_port.push(n.to_string()),
    |filter, n| filter.reply.push(n.is_multiple_of(2)),
    |filter, n| filter.dns_query.push(format!(r"^[ab]{n}\.")),
    |filter, n| filter.source_identity.push(n as u32),
    |filter, n| filter.destination_identity.push(n as u32),
    |filter, n| filter.http_method.push(format!("get{n}")),
    |filter, n| filter.http_path.push(format!("^/{n}$")),
    |filter, n| filter.http_url.push(format!("/{n}$")),
    |filter, n| filter.http_header.push(header(n)),
    |filter, n| filter.tcp_flags.push(tcp_flags(n)),
    |filter, n| filter.node_name.push(node_pattern(n)),
    |filter, n| filter.node_labels.push(selector(n)),
    |filter, n| filter.ip_version.push(n as i32),
    |filter, n| filter.trace_id.push(format!("trace-{n}")),
    |filter, n| filter.ip_trace_id.push(n as u64),
    |filter, n| filter.encrypted.push(n.is_multiple_of(2)),
    |filter, n| {
        let of = filter
            .experimental
            .get_or_insert_with(Experimental::default);
        of.cel_expression
            .push(format!("_flow.source.identity == {n}u"));
    },
];

/// As many entries of a field differ.
const ENTRIES: usize = 24;

fn ip_entry(n: usize) -> String {
    match n % 6 {
        0 => format!("10.0.0.{}/30", n & !3),
        1 => format!("fd00::{n:x}"),
        2 => format!("fd00::{n:x}/127"),
        _ => format!("10.0.0.{n}"),
    }
}

fn pod_entry(n: usize) -> String {
    match n % 5 {
        0 => format!("/web-{}", n / 5),
        1 => format!("shop-{}/", n % 3),
        _ => format!("shop-{}/web-{n}", n % 3),
    }
}

fn pattern(n: usize) -> String {
    match n % 6 {
        0 => format!("*{n}.test"),
        1 => format!("name-{}*", n / 6),
        2 => format!("n*-{n}.*"),
        _ => format!("name-{n}.test"),
    }
}

fn selector(n: usize) -> String {
    match n % 8 {
        0 => format!("app in (a-{n}, a-{}),tier", n / 2),
        1 => format!("k8s:app=a-{n}"),
        2 => format!("rank>{n}"),
        3 => format!("app=a-{n},tier!=t-{}", n % 3),
        4 => format!("!key-{}", n / 8),
        5 => format!("key-{}", n / 8),
        _ => format!("app=a-{n}"),
    }
}

fn workload(n: usize) -> Workload {
    Workload {
        kind: if n.is_multiple_of(3) {
            String::new()
        } else {
            format!("kind-{}", n % 4)
        },
        name: if n.is_multiple_of(7) {
            String::new()
        } else {
            format!("name-{n}")
        },
    }
}

fn interface(n: usize) -> NetworkInterface {
    NetworkInterface {
        index: if n.is_multiple_of(3) { 0 } else { n as u32 },
        name: if n.is_multiple_of(2) {
            String::new()
        } else {
            format!("eth{n}")
        },
    }
}

fn event_type(n: usize) -> EventTypeFilter {
    EventTypeFilter {
        r#type: [129, 4, 0, 1][n % 4] + n as i32 / 12,
        match_sub_type: !n.is_multiple_of(4),
        sub_type: n as i32 / 4,
    }
}

fn status_code(n: usize) -> String {
    [
        "200", "3+", "40+", "404", "418", "50+", "599", "1+", "202", "204", "207",
    ][n % 11]
        .to_owned()
}

fn protocol(n: usize) -> String {
    [
        "tcp", "udp", "ICMP", "dns", "http", "sctp", "vrrp", "igmp", "kafka",
    ][n % 9]
        .to_owned()
}

fn header(n: usize) -> HttpHeader {
    HttpHeader {
        key: format!("key-{}", n % 3),
        value: format!("value-{n}"),
    }
}

fn tcp_flags(n: usize) -> TcpFlags {
    TcpFlags {
        syn: n & 1 > 0,
        ack: n & 2 > 0,
        fin: n & 4 > 0,
        psh: n & 8 > 0,
        ..TcpFlags::default()
    }
}

fn node_pattern(n: usize) -> String {
    match n % 4 {
        0 => format!("west/rack-{n}"),
        1 => format!("*/r*-{n}"),
        2 => format!("west-{n}/"),
        _ => format!("rack-{n}"),
    }
}

fn endpoint(n: usize, of: usize) -> Endpoint {
    Endpoint {
        identity: n as u32,
        cluster_name: format!("cluster-{of}"),
        namespace: format!("shop-{}", of % 3),
        pod_name: format!("web-{n}-0"),
        labels: vec![
            format!("k8s:app=a-{n}"),
            format!("k8s:key-{}=x", of % 4),
            format!("any:tier=t-{}", of % 4),
            format!("k8s:rank={of}"),
        ],
        workloads: vec![Workload {
            kind: format!("kind-{}", of % 4),
            name: format!("name-{n}"),
        }],
        ..Endpoint::default()
    }
}

fn service(n: usize) -> Service {
    Service {
        namespace: format!("shop-{}", n % 3),
        name: format!("web-{n}"),
    }
}

fn ip(n: usize) -> String {
    if n.is_multiple_of(3) {
        format!("fd00::{n:x}")
    } else {
        format!("10.0.0.{n}")
    }
}

/// A flow that has everything, by numbers that entries may have too.
fn flow(n: [usize; 32]) -> Flow {
    let record = if n[0].is_multiple_of(2) {
        layer7::Record::Dns(Dns {
            query: format!("{}.test.", "a".repeat(n[1] % 12)),
            ..Dns::default()
        })
    } else {
        layer7::Record::Http(Http {
            code: 200 + n[1] as u32 * 11,
            method: format!("GET{}", n[2]),
            url: format!("http://host/{}", n[3]),
            headers: vec![header(n[4])],
            ..Http::default()
        })
    };
    let tcp = Tcp {
        source_port: n[5] as u32,
        destination_port: n[6] as u32,
        flags: Some(tcp_flags(n[7])),
    };
    Flow {
        uuid: format!("uuid-{}", n[8]),
        verdict: (n[9] % 4) as i32,
        drop_reason_desc: 130 + n[10] as i32,
        is_reply: Some(n[11].is_multiple_of(2)),
        traffic_direction: n[12] as i32,
        ip: Some(Ip {
            source: ip(n[13]),
            destination: ip(n[14]),
            source_xlated: ip(n[15]),
            ip_version: n[16] as i32,
            encrypted: n[17].is_multiple_of(2),
        }),
        l4: Some(Layer4 {
            protocol: Some(layer4::Protocol::Tcp(tcp)),
        }),
        l7: Some(Layer7 {
            record: Some(record),
            ..Layer7::default()
        }),
        source: Some(endpoint(n[18], n[19])),
        destination: (n[20] > 2).then(|| endpoint(n[20], n[21])),
        source_service: Some(service(n[22])),
        destination_service: Some(service(n[23])),
        source_names: vec![format!("name-{}.test", n[24]), "other.test".to_owned()],
        destination_names: vec![format!("name-{}.test", n[25])],
        interface: Some(NetworkInterface {
            index: n[26] as u32,
            name: format!("eth{}", n[26]),
        }),
        event_type: Some(CiliumEventType {
            r#type: [129, 4, 1][n[27] % 3],
            sub_type: n[28] as i32 / 4,
        }),
        node_name: format!("west/rack-{}", n[29]),
        node_labels: vec![format!("app=a-{}", n[30])],
        trace_context: Some(TraceContext {
            parent: Some(TraceParent {
                trace_id: format!("trace-{}", n[31]),
            }),
        }),
        ip_trace_id: Some(IpTraceId {
            trace_id: n[31] as u64,
            ..IpTraceId::default()
        }),
        ..Flow::default()
    }
}

/// The entries of one message: fields and what is asked of them.
type Asked = Vec<(usize, Vec<usize>)>;

fn message(asked: &Asked) -> FlowFilter {
    let mut filter = FlowFilter::default();
    for (field, entries) in asked {
        for entry in entries {
            FIELDS[*field](&mut filter, *entry);
        }
    }
    filter
}

/// Each entry of each field in a filter of its own.
static ALONE: LazyLock<Vec<Vec<Filter>>> = LazyLock::new(|| {
    let alone = |field, entry| {
        let filter = message(&vec![(field, vec![entry])]);
        Filter::compile(&[filter], &[]).unwrap()
    };
    let of_field = |field| (0..ENTRIES).map(|entry| alone(field, entry)).collect();
    (0..FIELDS.len()).map(of_field).collect()
});

fn model(messages: &[Asked], flow: &Flow) -> bool {
    let alone = |field: usize, entry: usize| ALONE[field][entry].matches(flow);
    messages.iter().any(|asked| {
        asked
            .iter()
            .all(|(field, entries)| entries.iter().any(|entry| alone(*field, *entry)))
    })
}

/// Up to three different fields.
fn asked() -> impl Strategy<Value = Asked> {
    let fields = proptest::sample::subsequence((0..FIELDS.len()).collect::<Vec<_>>(), 1..=3);
    let entries = || vec(0..ENTRIES, 1..40);
    (fields, [entries(), entries(), entries()])
        .prop_map(|(fields, entries)| fields.into_iter().zip(entries).collect())
        .prop_filter("HTTP needs L7 events", |asked| {
            Filter::compile(&[message(asked)], &[]).is_ok()
        })
}

proptest! {
    #[test]
    fn fields_with_many_entries(asked in asked(), flow in uniform32(0..ENTRIES)) {
        let (flow, asked) = (self::flow(flow), [asked]);
        let filters: Vec<_> = asked.iter().map(message).collect();
        let compiled = Filter::compile(&filters, &[]).unwrap();
        prop_assert_eq!(compiled.matches(&flow), model(&asked, &flow));
    }

    #[test]
    fn every_field_alone(
        entries in vec(0..ENTRIES, 1..40),
        flows in vec(uniform32(0..ENTRIES).prop_map(flow), 4),
    ) {
        for field in 0..FIELDS.len() {
            let asked = vec![(field, entries.clone())];
            let compiled = Filter::compile(&[message(&asked)], &[]).unwrap();
            for flow in &flows {
                let expected = model(std::slice::from_ref(&asked), flow);
                prop_assert_eq!(compiled.matches(flow), expected, "field {}", field);
            }
        }
    }

    #[test]
    fn a_filter_needs_no_fields_but_those_it_names(
        entries in vec(0..ENTRIES, 1..20),
        flows in vec(uniform32(0..ENTRIES).prop_map(flow), 4),
    ) {
        for field in 0..FIELDS.len() {
            let asked = vec![(field, entries.clone())];
            let compiled = Filter::compile(&[message(&asked)], &[]).unwrap();
            // Expressions may ask for anything.
            let Some(paths) = compiled.fields() else { continue };
            let fields = json::Fields::of::<Flow>(paths).unwrap();
            for flow in &flows {
                // Made up numbers of enums have no names, and are not read in this way.
                let mut flow = Flow {
                    traffic_direction: flow.traffic_direction % 3,
                    ..flow.clone()
                };
                flow.ip.get_or_insert_default().ip_version %= 3;
                let part: Option<Flow> = json::from_canonical(&json::to_string(&flow), &fields);
                let part = part.map(|part| compiled.matches(&part));
                prop_assert!(part.is_none() || part == Some(compiled.matches(&flow)), "field {}", field);
            }
        }
    }

    #[test]
    fn lists_of_many_messages(
        allow in vec((0..FIELDS.len(), 0..ENTRIES), 0..60),
        both in vec(asked(), 0..3),
        deny in vec((0..FIELDS.len(), 0..ENTRIES), 0..30),
        flow in uniform32(0..ENTRIES),
    ) {
        let flow = self::flow(flow);
        let one = |(field, entry)| vec![(field, vec![entry])];
        let allow: Vec<Asked> = allow.into_iter().map(one).chain(both).collect();
        let deny: Vec<Asked> = deny.into_iter().map(one).collect();
        let messages = |list: &[Asked]| list.iter().map(message).collect::<Vec<_>>();
        let compiled = Filter::compile(&messages(&allow), &messages(&deny)).unwrap();
        let expected = (allow.is_empty() || model(&allow, &flow)) && !model(&deny, &flow);
        prop_assert_eq!(compiled.matches(&flow), expected);
    }
}
