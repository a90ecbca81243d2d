//! Properties: views of one flow agree, and nothing that a client sends makes a filter panic.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use flow_api::flow::{
    EventTypeFilter, Flow, FlowFilter, Http, HttpHeader, NetworkInterface, TcpFlags, Workload,
};
use flow_filter::Filter;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::flows::{response, with_http};
use crate::record::{Metadata, Record, RecordEndpoint};

const ADDRESSES: [&str; 7] = [
    "10.0.0.1",
    "10.0.0.2",
    "192.0.2.1",
    "fd00::1",
    "2001:db8::1",
    "::ffff:10.0.0.1",
    "::",
];
const IP_ENTRIES: [&str; 9] = [
    "10.0.0.1",
    "10.0.0.0/31",
    "0.0.0.0/0",
    "fd00::1",
    "FD00::1",
    "fd00::/8",
    "::/0",
    "::ffff:a00:1",
    "::ffff:10.0.0.1",
];
const POD_ENTRIES: [&str; 6] = ["web", "shop/", "shop/web", "/db", "/", "default/"];
const SELECTORS: [&str; 7] = [
    "app",
    "!app",
    "app=web",
    "k8s:app!=web",
    "tier in (a, b)",
    "",
    "rank>3,app",
];
const LABELS: [&str; 6] = [
    "k8s:app=web",
    "k8s:app=db",
    "container:tier=a",
    "k8s:rank=7",
    "reserved:host",
    "plain",
];

fn texts(pool: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    vec(select(pool).prop_map(str::to_owned), 0..3)
}

prop_compose! {
    fn endpoint()(
        identity in 0_u32..3,
        namespace in select(&["", "default", "shop"][..]),
        pod_name in select(&["", "web-0", "db-0"][..]),
        labels in texts(&LABELS),
        kind in select(&["Deployment", "CronJob"][..]),
        name in select(&["web", "db"][..]),
    ) -> RecordEndpoint {
        RecordEndpoint {
            identity,
            metadata: Arc::new(Metadata {
                namespace: namespace.to_owned(),
                pod_name: pod_name.to_owned(),
                labels,
                workload: (kind.to_owned(), name.to_owned()),
            }),
        }
    }
}

prop_compose! {
    fn record()(
        event_type in (select(&[1, 4, 129][..]), 0..3),
        verdict in 0..4,
        is_reply in option::of(any::<bool>()),
        ips in [select(&ADDRESSES[..]), select(&ADDRESSES[..])],
        ports in [0_u16..4, 0_u16..4],
        flags in 0_u16..0x200,
        endpoints in [option::of(endpoint()), option::of(endpoint())],
        node_name in select(&["", "rack-1", "west/rack-1", "west/stone_3"][..]),
    ) -> Record {
        let ips = ips.map(|ip| ip.parse::<IpAddr>().unwrap());
        Record { event_type, verdict, is_reply, ips, ports, flags, endpoints, node_name: node_name.into() }
    }
}

prop_compose! {
    /// A filter that compiles, over what a record has.
    fn record_filter()(
        source_ip in texts(&IP_ENTRIES),
        destination_ip in texts(&IP_ENTRIES),
        pods in (texts(&POD_ENTRIES), texts(&POD_ENTRIES)),
        labels in (texts(&SELECTORS), texts(&SELECTORS)),
        ports in (texts(&["0", "1", "2"]), texts(&["0", "1", "2"])),
        numbers in (vec(0..4, 0..3), vec(any::<bool>(), 0..3), vec(0_u32..3, 0..3), vec(0..3, 0..3)),
        event_type in vec((select(&[0, 1, 4][..]), any::<bool>(), 0..3), 0..2),
        flags in vec((any::<bool>(), any::<bool>(), any::<bool>()), 0..2),
        workload in vec(("(Deployment)?", "(web)?"), 0..2),
        node_name in texts(&["rack-*", "west/", "/", "default/rack-1"]),
        // Few fields at a time, or nothing would ever match.
        kept in vec(any::<bool>(), 14).prop_filter("some field", |kept| kept.contains(&true)),
        sparse in vec(any::<bool>(), 14),
    ) -> FlowFilter {
        let mut keep = kept.iter().zip(sparse).map(|(kept, sparse)| *kept && sparse);
        let mut keep = move || keep.next().unwrap_or(false);
        let (verdict, reply, source_identity, ip_version) = numbers;
        let event_type = event_type
            .into_iter()
            .map(|(r#type, match_sub_type, sub_type)| EventTypeFilter { r#type, match_sub_type, sub_type });
        let flags = flags
            .into_iter()
            .map(|(syn, ack, ns)| TcpFlags { syn, ack, ns, ..TcpFlags::default() });
        let workload = workload.into_iter().map(|(kind, name)| Workload { name, kind });
        FlowFilter {
            source_ip: if keep() { source_ip } else { vec![] },
            destination_ip: if keep() { destination_ip } else { vec![] },
            source_pod: if keep() { pods.0 } else { vec![] },
            destination_pod: if keep() { pods.1 } else { vec![] },
            source_label: if keep() { labels.0 } else { vec![] },
            destination_label: if keep() { labels.1 } else { vec![] },
            source_port: if keep() { ports.0 } else { vec![] },
            destination_port: if keep() { ports.1 } else { vec![] },
            verdict: if keep() { verdict } else { vec![] },
            reply: if keep() { reply } else { vec![] },
            source_identity: if keep() { source_identity } else { vec![] },
            ip_version: if keep() { ip_version } else { vec![] },
            event_type: if keep() { event_type.collect() } else { vec![] },
            tcp_flags: if keep() { flags.collect() } else { vec![] },
            source_workload: workload.collect(),
            node_name,
            ..FlowFilter::default()
        }
    }
}

/// Text that looks like what the fields expect, or like nothing.
fn entry() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c0-9./:*_%-]{0,12}",
        "[a-c:=!,()<> in]{0,12}",
        r"[a-c\\\[\](){}?*+|^$.]{0,8}",
        "(\\PC|[\n\t\u{0}]){0,8}",
        select(&IP_ENTRIES[..]).prop_map(str::to_owned),
        select(&SELECTORS[..]).prop_map(str::to_owned),
        select(
            &[
                "tcp",
                "http",
                "4+",
                "200",
                "53",
                "GET",
                "/a%20b",
                "http://a/b"
            ][..]
        )
        .prop_map(str::to_owned),
    ]
}

fn entries() -> impl Strategy<Value = Vec<String>> {
    vec(entry(), 0..2)
}

fn fields(count: usize) -> impl Strategy<Value = Vec<Vec<String>>> {
    // Most fields empty, since the first bad one ends compiling.
    vec(prop_oneof![6 => Just(vec![]), 1 => entries()], count)
}

prop_compose! {
    fn any_filter()(
        texts in fields(25),
        numbers in vec(any::<i32>(), 0..2),
        bools in vec(any::<bool>(), 0..2),
        pairs in vec((entry(), entry()), 0..2),
    ) -> FlowFilter {
        let mut texts = texts.into_iter();
        let mut next = || texts.next().unwrap_or_default();
        FlowFilter {
            uuid: next(),
            source_ip: next(),
            source_ip_xlated: next(),
            source_pod: next(),
            source_fqdn: next(),
            source_label: next(),
            source_service: next(),
            source_cluster_name: next(),
            destination_ip: next(),
            destination_pod: next(),
            destination_fqdn: next(),
            destination_label: next(),
            destination_service: next(),
            destination_cluster_name: next(),
            http_status_code: next(),
            protocol: next(),
            source_port: next(),
            destination_port: next(),
            dns_query: next(),
            http_method: next(),
            http_path: next(),
            http_url: next(),
            node_name: next(),
            node_labels: next(),
            trace_id: next(),
            verdict: numbers.clone(),
            reply: bools.clone(),
            encrypted: bools,
            http_header: pairs
                .iter()
                .map(|(key, value)| HttpHeader { key: key.clone(), value: value.clone() })
                .collect(),
            source_workload: pairs
                .iter()
                .map(|(kind, name)| Workload { kind: kind.clone(), name: name.clone() })
                .collect(),
            interface: pairs
                .iter()
                .map(|(name, _)| NetworkInterface { index: 0, name: name.clone() })
                .collect(),
            ip_version: numbers,
            ..FlowFilter::default()
        }
    }
}

prop_compose! {
    fn any_flow()(record in record(), texts in vec(entry(), 12), code in any::<u32>()) -> Flow {
        let http = Http {
            code,
            method: texts[0].clone(),
            url: texts[1].clone(),
            headers: vec![HttpHeader { key: texts[2].clone(), value: texts[3].clone() }],
            ..Http::default()
        };
        let mut flow = Flow { l7: with_http(http).l7, ..Flow::from(&record) };
        flow.uuid = texts[4].clone();
        flow.node_name = texts[5].clone();
        flow.node_labels = texts[6..8].to_vec();
        flow.source_names = texts[8..10].to_vec();
        if let Some(ip) = &mut flow.ip {
            ip.source = texts[10].clone();
            ip.source_xlated = texts[11].clone();
        }
        flow
    }
}

proptest! {
    #[test]
    fn a_record_and_its_message_match_alike(record in record(), filter in record_filter()) {
        let flow = Flow::from(&record);
        let filter = Filter::compile(&[filter], &[]).unwrap();
        let matched = filter.matches(&record);
        prop_assert_eq!(filter.matches(&flow), matched);
        prop_assert_eq!(filter.matches(&response(flow)), matched);
    }

    #[test]
    fn nothing_panics(allow in any_filter(), deny in any_filter(), flow in any_flow()) {
        for (allow, deny) in [(&[allow.clone()][..], &[][..]), (&[allow], &[deny])] {
            match Filter::compile(allow, deny) {
                Ok(filter) => {
                    black_box(filter.matches(&flow));
                },
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }

    #[test]
    fn a_denied_filter_takes_what_the_allowed_one_leaves(record in record(), filter in record_filter()) {
        let filters = [filter];
        let allow = Filter::compile(&filters, &[]).unwrap();
        let deny = Filter::compile(&[], &filters).unwrap();
        prop_assert_ne!(allow.matches(&record), deny.matches(&record));
    }
}
