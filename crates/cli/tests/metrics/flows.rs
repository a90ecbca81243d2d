//! Flows to count: all kinds of events with all that may stand in them, mixed by chance that is the
//! same each time.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// Names another file of flows, to be judged by hand.
const OTHER: &str = "PALOMAR_TEST_FLOWS";

/// A file of flows, for all tests.
pub(crate) static FLOWS: LazyLock<PathBuf> = LazyLock::new(|| {
    if let Some(path) = std::env::var_os(OTHER) {
        return path.into();
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("metrics-flows.jsonl");
    fs::write(&path, lines(1500)).unwrap();
    path
});

/// So many flows, and between them what is none.
fn lines(count: usize) -> String {
    let mut rng = Rng::with_seed(9965);
    let mut lines = String::new();
    for number in 0..count {
        let time = format!("2026-01-02T03:{:02}:{:02}Z", number / 60 % 60, number % 60);
        let mut flow = flow(&mut rng);
        flow["time"] = time.as_str().into();
        flow["uuid"] = format!("{number:08}").into();
        lines += &format!(
            "{}\n",
            json!({"flow": flow, "node_name": "node-1", "time": time})
        );
        if number % 100 == 7 {
            lines += "{\"node_status\":{\"message\":\"m\"},\"node_name\":\"node-1\"}\n\
                      {\"lost_events\":{\"num_events_lost\":\"5\"},\"node_name\":\"node-1\"}\n\
                      no flow at all\n";
        }
    }
    lines
}

fn one_of<T: Clone>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())].clone()
}

/// Whether something that is there most of the time is there.
fn mostly(rng: &mut Rng) -> bool {
    rng.u8(..8) > 0
}

fn flow(rng: &mut Rng) -> Value {
    let kind = event(rng);
    let number = kind
        .as_ref()
        .map_or(0, |it| it["type"].as_i64().unwrap_or(0));
    let verdict = match number {
        1 => json!("DROPPED"),
        _ => one_of(rng, &verdicts()),
    };
    let is_dropped = verdict == "DROPPED";
    let mut flow = json!({ "verdict": verdict });
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            flow[name] = value;
        }
    };
    put("event_type", kind);
    if is_dropped && mostly(rng) {
        let reasons = [
            "POLICY_DENIED",
            "POLICY_DENY",
            "TTL_EXCEEDED",
            "CT_MAP_INSERTION_FAILED",
            "AUTH_REQUIRED",
            "DROP_REASON_UNKNOWN",
        ];
        put("drop_reason_desc", Some(one_of(rng, &reasons).into()));
    }
    put("IP", ip(rng));
    put("l4", layer4(rng));
    put("source", endpoint(rng));
    put("destination", endpoint(rng));
    put("source_names", names(rng));
    put("destination_names", names(rng));
    let directions = [
        json!("INGRESS"),
        json!("EGRESS"),
        json!("TRAFFIC_DIRECTION_UNKNOWN"),
    ];
    put(
        "traffic_direction",
        mostly(rng).then(|| one_of(rng, &directions)),
    );
    let replies = [json!(true), json!(false), json!(false), Value::Null];
    put("is_reply", mostly(rng).then(|| one_of(rng, &replies)));
    if number == 5 {
        put("policy_match_type", Some(rng.u32(0..9).into()));
    }
    // Others than requests have none, but nothing keeps a file from saying so.
    let has_layer7 = number == 129 && mostly(rng) || rng.u8(..20) == 0;
    put("l7", has_layer7.then(|| layer7(rng)));
    let trace = json!({"parent": {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}});
    put("trace_context", (rng.u8(..4) == 0).then_some(trace));
    flow
}

/// All that there are, what goes on more often, and one that nobody knows.
fn verdicts() -> [Value; 11] {
    [
        json!("FORWARDED"),
        json!("FORWARDED"),
        json!("FORWARDED"),
        json!("REDIRECTED"),
        json!("DROPPED"),
        json!("ERROR"),
        json!("AUDIT"),
        json!("TRACED"),
        json!("TRANSLATED"),
        json!("VERDICT_UNKNOWN"),
        json!(77),
    ]
}

fn event(rng: &mut Rng) -> Option<Value> {
    let kinds = [1, 3, 4, 4, 4, 5, 5, 129, 129, 129, 129, 7, 2, 130, 0, 255];
    mostly(rng).then(|| {
        let kind = one_of(rng, &kinds);
        let sub_type = match kind {
            1 => 133,
            4 => one_of(
                rng,
                &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 200, 261],
            ),
            _ => 0,
        };
        json!({"type": kind, "sub_type": sub_type})
    })
}

fn ip(rng: &mut Rng) -> Option<Value> {
    let host = rng.u8(1..6);
    let choices = [
        Some(
            json!({"source": format!("10.0.0.{host}"), "destination": "10.0.1.9", "ipVersion": "IPv4"}),
        ),
        Some(
            json!({"source": format!("fd00::{host}"), "destination": "2001:db8::7", "ipVersion": "IPv6"}),
        ),
        Some(json!({"source": "10.0.0.7"})),
        None,
    ];
    one_of(rng, &choices)
}

fn layer4(rng: &mut Rng) -> Option<Value> {
    let port = one_of(rng, &[53, 80, 443, 8080, 65535]);
    let ports = json!({"source_port": 40_000, "destination_port": port});
    let flags = [
        json!({"SYN": true}),
        json!({"SYN": true, "ACK": true}),
        json!({"ACK": true, "PSH": true}),
        json!({"FIN": true, "ACK": true}),
        json!({"RST": true}),
        json!({"SYN": true, "FIN": true, "RST": true}),
        json!({}),
    ];
    let mut tcp = ports.clone();
    if mostly(rng) {
        tcp["flags"] = one_of(rng, &flags);
    }
    let icmp = |kind: u32, code: u32| json!({"type": kind, "code": code});
    let icmpv4 = [
        (8, 0),
        (8, 1),
        (0, 0),
        (3, 3),
        (3, 4),
        (3, 99),
        (11, 0),
        (5, 1),
        (200, 7),
        (264, 256),
    ];
    let icmpv6 = [
        (128, 0),
        (129, 0),
        (1, 4),
        (1, 77),
        (2, 0),
        (3, 0),
        (4, 2),
        (135, 0),
        (136, 0),
        (143, 0),
    ];
    let (kind4, code4) = one_of(rng, &icmpv4);
    let (kind6, code6) = one_of(rng, &icmpv6);
    let choices = [
        Some(json!({"TCP": tcp})),
        Some(json!({"TCP": tcp})),
        Some(json!({"UDP": ports})),
        Some(json!({"SCTP": ports})),
        Some(json!({"UDP": {}})),
        Some(json!({"ICMPv4": icmp(kind4, code4)})),
        Some(json!({"ICMPv6": icmp(kind6, code6)})),
        Some(json!({"VRRP": {"type": 1, "vrid": 7, "priority": 100}})),
        Some(json!({"IGMP": {"type": 22, "group_address": "224.0.0.1"}})),
        Some(json!({})),
        None,
    ];
    one_of(rng, &choices)
}

fn names(rng: &mut Rng) -> Option<Value> {
    let choices = [
        None,
        None,
        Some(json!(["a.example"])),
        Some(json!(["b.example", "www.b.example"])),
    ];
    one_of(rng, &choices)
}

/// Somebody: pods with and without what pods have, the world, hosts, strangers, nobody.
fn endpoint(rng: &mut Rng) -> Option<Value> {
    let deployment = json!([{"name": "web", "kind": "Deployment"}]);
    let choices = [
        Some(
            json!({"identity": 4711, "namespace": "shop", "pod_name": "web-7d9f8b6c5b-x2x4z",
            "labels": ["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"], "workloads": deployment}),
        ),
        Some(
            json!({"identity": 4712, "namespace": "shop", "pod_name": "db-0",
            "labels": ["k8s:app.kubernetes.io/name=postgres", "k8s:app=db"],
            "workloads": [{"name": "db", "kind": "StatefulSet"}, {"name": "owner", "kind": "Database"}]}),
        ),
        Some(
            json!({"identity": 4713, "namespace": "dns", "pod_name": "coredns",
            "labels": ["k8s:app=", "k8s:appx=no", "k8s:k8s-app=kube=dns"]}),
        ),
        Some(json!({"namespace": "w", "workloads": [{}]})),
        Some(json!({"namespace": "empty", "labels": ["k8s:app", "any:app=no"], "workloads": []})),
        Some(json!({"pod_name": "alone-x", "workloads": [{"name": "alone"}]})),
        Some(json!({"namespace": "shop", "pod_name": "-a-b", "workloads": [{"kind": "Job"}]})),
        Some(
            json!({"namespace": "we\"ird", "pod_name": "b\\s\nl-ü", "labels": ["k8s:app=\"x\\\n"]}),
        ),
        Some(json!({"identity": 2, "labels": ["reserved:world"]})),
        Some(json!({"identity": 16777217, "labels": ["cidr:192.0.2.0/24", "reserved:world-ipv4"]})),
        Some(json!({"identity": 10, "labels": ["reserved:world-ipv6"]})),
        Some(json!({"identity": 3, "labels": ["reserved:worldly"]})),
        Some(json!({"identity": 1, "labels": ["reserved:host"]})),
        Some(json!({"identity": 1, "labels": ["reserved:host", "reserved:kube-apiserver"]})),
        Some(json!({"identity": 7, "labels": ["reserved:kube-apiserver", "reserved:remote-node"]})),
        Some(json!({})),
        None,
    ];
    one_of(rng, &choices)
}

fn layer7(rng: &mut Rng) -> Value {
    let kinds = [
        "REQUEST",
        "REQUEST",
        "RESPONSE",
        "RESPONSE",
        "SAMPLE",
        "UNKNOWN_L7_TYPE",
    ];
    let latencies = [
        "0",
        "4999999",
        "5000000",
        "30000000",
        "1000000001",
        "12000000000",
    ];
    let records = [
        ("dns", dns(rng)),
        ("http", http(rng)),
        ("kafka", kafka(rng)),
    ];
    let mut layer7 = Map::new();
    if mostly(rng) {
        layer7.insert("type".to_owned(), one_of(rng, &kinds).into());
    }
    layer7.insert("latency_ns".to_owned(), one_of(rng, &latencies).into());
    if mostly(rng) {
        let (name, record) = one_of(rng, &records);
        layer7.insert(name.to_owned(), record);
    }
    layer7.into()
}

fn dns(rng: &mut Rng) -> Value {
    let qtypes = [
        json!(["A"]),
        json!(["AAAA"]),
        json!(["A", "AAAA"]),
        json!([]),
        json!(["AAAA", "AAAA"]),
    ];
    let rrtypes = [json!(["A"]), json!(["CNAME", "A", "A"]), json!([])];
    let ips = [
        json!([]),
        json!(["192.0.2.1"]),
        json!(["192.0.2.1", "192.0.2.2"]),
    ];
    json!({
        "query": one_of(rng, &["a.example.", "b.example.", "evil\"\\\n.", ""]),
        "qtypes": one_of(rng, &qtypes),
        "rrtypes": one_of(rng, &rrtypes),
        "ips": one_of(rng, &ips),
        "rcode": rng.u32(0..25),
    })
}

fn http(rng: &mut Rng) -> Value {
    json!({
        "code": one_of(rng, &[0, 200, 204, 404, 503]),
        "method": one_of(rng, &["GET", "POST", "", "B\"D\\"]),
        "protocol": one_of(rng, &["HTTP/1.1", "HTTP/2"]),
        "url": "http://a.example/",
    })
}

fn kafka(rng: &mut Rng) -> Value {
    json!({
        "error_code": one_of(rng, &[0, 3, -1]),
        "api_key": one_of(rng, &["produce", "fetch"]),
        "topic": one_of(rng, &["orders", ""]),
    })
}
