//! Pages beside counts, for every plug-in, option and context, in both grammars.

use std::fs;

use serde_json::json;

use crate::{
    agent::Agent,
    flows::FLOWS,
    judge::{check_list, compare, expected},
};

/// All but those of HTTP, of which there can be one.
const PLUGINS: [&str; 10] = [
    "dns",
    "drop",
    "flow",
    "flows-to-world",
    "icmp",
    "kafka",
    "policy",
    "port-distribution",
    "sctp",
    "tcp",
];

const CONTEXTS: [&str; 11] = [
    "identity",
    "namespace",
    "pod",
    "pod-name",
    "pod-short",
    "dns",
    "ip",
    "reserved-identity",
    "workload",
    "workload-name",
    "app",
];

const LABELS: [&str; 13] = [
    "source_ip",
    "source_pod",
    "source_namespace",
    "source_workload",
    "source_workload_kind",
    "source_app",
    "destination_ip",
    "destination_pod",
    "destination_namespace",
    "destination_workload",
    "destination_workload_kind",
    "destination_app",
    "traffic_direction",
];

/// Every plug-in with these options.
fn all_with(options: &str, http: &str) -> String {
    let plugins = PLUGINS.iter().chain([&http]);
    let items: Vec<_> = plugins.map(|it| format!("{it}:{options}")).collect();
    items.join(" ")
}

#[test]
fn every_plugin_counts_with_each_of_its_options() {
    for list in [
        "dns drop flow flows-to-world http icmp kafka policy port-distribution sctp tcp",
        "dns:query httpV2 flows-to-world:port flow",
        "dns:ignoreAAAA flows-to-world:any-drop http:exemplars=true",
        "dns:query=false;IGNOREaaaa flows-to-world:syn-only httpV2:exemplars=true",
        "flows-to-world:syn-only;any-drop;port=false drop:unknown-option=x|y",
        "dns,drop:sourceContext=pod;destinationContext=dns|ip,flow:labelsContext=source_pod,source_ip,tcp",
        "drop:SOURCECONTEXT=Pod|IP;labelscontext=source_ip|source_app drop:sourceContext=ip;sourceContext=app",
        "tcp:sourceContext=pod,ip;destinationContext=|dns||ip|;;labelsContext=,source_ip,,source_ip,",
    ] {
        check_list(&FLOWS, list);
    }
}

#[test]
fn every_context_says_who_it_was() {
    for (index, context) in CONTEXTS.iter().enumerate() {
        let options = format!("sourceContext={context};destinationContext={context}");
        check_list(&FLOWS, &all_with(&options, ["http", "httpV2"][index % 2]));
    }
}

#[test]
fn contexts_of_a_direction_come_before_those_of_both() {
    for (index, context) in CONTEXTS.iter().enumerate() {
        let (first, second) = (CONTEXTS[(index + 4) % 11], CONTEXTS[(index + 7) % 11]);
        for options in [
            format!("sourceEgressContext={context};destinationIngressContext={context}"),
            format!(
                "sourceIngressContext={context};sourceContext={first};\
                 destinationEgressContext={context};destinationContext={second}|{first}"
            ),
        ] {
            check_list(&FLOWS, &all_with(&options, ["httpV2", "http"][index % 2]));
        }
    }
}

#[test]
fn the_first_of_a_list_that_says_something_is_said() {
    for list in [
        "pod|dns|ip",
        "workload|reserved-identity|namespace",
        "dns|app|workload-name|identity",
        "reserved-identity|pod-short|ip",
    ] {
        let options = format!("sourceContext={list};destinationContext={list}");
        check_list(&FLOWS, &all_with(&options, "httpV2"));
    }
}

#[test]
fn every_label_says_its_part_of_a_side() {
    for (index, label) in LABELS.iter().enumerate() {
        let options = format!("labelsContext={label}");
        check_list(&FLOWS, &all_with(&options, ["http", "httpV2"][index % 2]));
    }
    let labels = LABELS.join(",");
    let options = format!("sourceContext=app;labelsContext={labels};destinationContext=pod");
    check_list(&FLOWS, &all_with(&options, "httpV2"));
    check_list(&FLOWS, &all_with(&options, "http"));
}

#[test]
fn a_file_asks_for_the_same_and_filters() {
    let file = |metrics: serde_json::Value| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.yaml");
        fs::write(&path, json!({"metrics": metrics}).to_string()).unwrap();
        let path = path.to_str().unwrap();
        let agent = Agent::of(&FLOWS, &["--metrics-config", path]);
        compare(&agent, path, &expected(&FLOWS, &format!("@{path}")));
    };
    let all: Vec<_> = PLUGINS.iter().map(|name| json!({"name": name})).collect();
    file(json!(all));
    file(json!([
        {"name": "dns", "contextOptions": [{"name": "query"}, {"name": "labelsContext",
            "values": ["source_namespace", "traffic_direction"]}]},
        {"name": "drop", "contextOptions": [{"name": "sourceContext", "values": ["pod", "dns", "ip"]}],
            "includeFilters": [{"source_pod": ["shop/web"], "verdict": ["DROPPED"]}, {"verdict": ["DROPPED"],
            "traffic_direction": ["INGRESS"]}]},
        {"name": "flow", "excludeFilters": [{"verdict": ["FORWARDED", "AUDIT"]}, {"destination_port": ["53"]}]},
        {"name": "httpV2", "contextOptions": [{"name": "exemplars", "values": ["true"]},
            {"name": "destinationEgressContext", "values": ["workload"]}],
            "includeFilters": [{"traffic_direction": ["EGRESS"]}],
            "excludeFilters": [{"source_pod": ["shop/db"]}]},
        {"name": "tcp", "contextOptions": [], "includeFilters": null},
    ]));
}
