//! What is said of a configuration that cannot be used.

use std::fs;

use crate::agent::Agent;

#[test]
fn a_list_that_cannot_be_used_is_refused_at_the_start() {
    for (list, expected) in [
        (
            "dsn",
            "metric 'dsn' does not exist; there are dns, drop, flow, ",
        ),
        (
            "drop:sourceContext=pods",
            "unable to initialize metric 'drop': unknown context 'pods'; there are identity, ",
        ),
        (
            "drop:labelsContext=pod",
            "unable to initialize metric 'drop': invalid labelsContext value: pod; there are source_ip, ",
        ),
        ("http httpV2", "plugin http conflicts with plugin httpV2"),
    ] {
        for flag in ["--metrics", "--hubble-metrics"] {
            let told = Agent::refused(&[flag, list]);
            assert!(told.contains(expected), "{told}");
        }
    }
}

#[test]
fn a_list_and_a_file_cannot_both_be_used() {
    let told = Agent::refused(&["--metrics", "dns", "--metrics-config", "metrics.yaml"]);
    let expected = "cannot configure both static and dynamic Hubble metrics";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn a_file_that_cannot_be_used_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.yaml");
    let flags = ["--metrics-config", path.to_str().unwrap()];
    let told = Agent::refused(&flags);
    assert!(
        told.contains("cannot read ") && told.contains("No such file"),
        "{told}"
    );
    fs::write(&path, "metrics:\n- name: dns\n- contextOptions: []\n").unwrap();
    let told = Agent::refused(&flags);
    let expected = "metrics.yaml:3: metric config validation failed - missing metric name at: 1";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn hubbles_flags_are_understood() {
    let agent = Agent::fed(&[
        "--hubble-metrics",
        "dns:query,drop",
        "--hubble-metrics",
        "tcp",
        "--enable-hubble-open-metrics",
    ]);
    let lines = agent.lines("palomar_metrics_series{");
    let metrics: Vec<_> = lines.iter().filter_map(|it| it.split('"').nth(1)).collect();
    assert_eq!(
        metrics,
        [
            "hubble_dns_queries_total",
            "hubble_dns_response_types_total",
            "hubble_dns_responses_total",
            "hubble_drop_total",
            "hubble_tcp_flags_total"
        ]
    );
}
