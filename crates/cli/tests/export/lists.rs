//! Which events are written, and which fields of them.

use crate::{
    agent::{Agent, flow_lines, wait_for},
    flows::{lines, numbers},
};

/// The lines that an agent writes with these flags of thirty flows.
fn exported(flags: &[&str], count: usize) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    let mut all = vec!["--export-file", path.to_str().unwrap()];
    all.extend(flags);
    let mut agent = Agent::start(&all);
    agent.feed(&lines(0..30));
    wait_for("they are read", || agent.status().contains("30/4,095"));
    wait_for("they are written", || flow_lines(&path).len() >= count);
    agent.end();
    let text = std::fs::read_to_string(&path).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn lists_choose_as_those_of_a_request_do() {
    let lines = exported(
        &[
            r#"--export-allowlist={"verdict":["DROPPED"]} {"source_port":["2"]}"#,
            r#"--export-denylist={"source_port":["4"]}"#,
        ],
        10,
    );
    // Agent events match no filter of flows.
    assert_eq!(numbers(&lines), [0, 1, 6, 9, 12, 15, 18, 21, 24, 27]);
}

#[test]
fn a_mask_leaves_what_it_names() {
    let allow = "--export-allowlist={\"source_port\":[\"3\"]}";
    let lines = exported(&["--export-fieldmask=verdict,source.pod_name", allow], 1);
    assert_eq!(
        lines,
        [r#"{"flow":{"verdict":"FORWARDED","source":{"pod_name":"web-0"}}}"#]
    );
    let lines = exported(&["--export-fieldmask=node_name,uuid", allow], 1);
    assert_eq!(
        lines,
        [r#"{"flow":{"uuid":"00000002","node_name":"node-1"},"node_name":"node-1"}"#]
    );
}

#[test]
fn flows_are_counted_by_fields() {
    let mut lines = exported(
        &[
            "--export-fieldaggregate=verdict,source.pod_name",
            "--export-aggregation-interval=100ms",
            "--export-allowlist={\"source_pod\":[\"shop/\"]}",
        ],
        1,
    );
    // What an interval cut in two is in two lines.
    let sum = |field: &str| -> u64 {
        let values = lines.iter().map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            event["flow"]["aggregate"][field].as_u64().unwrap_or(0)
        });
        values.sum()
    };
    assert_eq!(sum("ingress_flow_count"), 10);
    assert_eq!(sum("egress_flow_count"), 10);
    assert_eq!(sum("unknown_direction_flow_count"), 10);
    lines.sort();
    let first = &lines[0];
    assert!(
        first.starts_with(
            r#"{"flow":{"verdict":"DROPPED","source":{"pod_name":"web-0"},"aggregate":{"#
        ),
        "{first}"
    );
}
