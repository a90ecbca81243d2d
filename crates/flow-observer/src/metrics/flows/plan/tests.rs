//! What a plan tells.

use flow_api::flow::{Http, L7FlowType, layer7::Record};

use super::*;
use crate::metrics::flows::{
    parse_line,
    tests::{endpoint, request, syn},
};

#[test]
fn a_plan_tells_how_many_series_there_are_and_which_labels_make_them() {
    let metrics = parse_line("tcp:sourceContext=ip").unwrap();
    let mut plan = Plan::new(&metrics, 3).unwrap();
    for host in 1..=5 {
        let mut flow = syn();
        flow.ip.as_mut().unwrap().source = format!("10.0.0.{host}");
        plan.count(&flow);
    }
    let label =
        |name, is_optional, values, series_without, largest: &[(&str, usize)]| PlannedLabel {
            name,
            is_optional,
            values,
            series_without,
            largest: largest
                .iter()
                .map(|&(it, count)| (it.to_owned(), count))
                .collect(),
        };
    assert_eq!((plan.flows(), plan.nodes()), (5, 1));
    assert_eq!(
        plan.metrics(),
        [PlannedMetric {
            name: "hubble_tcp_flags_total".to_owned(),
            series: 5,
            is_cut: false,
            largest_node: Some((String::new(), 5)),
            nodes_beyond_budget: 1,
            beyond_budget: 2,
            time_series: 4,
            new_lately: 1,
            labels: vec![
                label(
                    "source",
                    true,
                    5,
                    1,
                    &[("10.0.0.1", 1), ("10.0.0.2", 1), ("10.0.0.3", 1)]
                ),
                label("flag", false, 1, 5, &[("SYN", 5)]),
                label("family", false, 1, 5, &[("IPv4", 5)]),
            ],
        }]
    );
}

#[test]
fn a_plan_has_the_series_of_each_node_as_its_agent_has_them() {
    let metrics = parse_line("http:sourceContext=pod flow:labelsContext=source_pod sctp").unwrap();
    let mut plan = Plan::new(&metrics, 1).unwrap();
    for (node, pod) in [("a", "x"), ("a", "y"), ("b", "x")] {
        let mut flow = request(L7FlowType::Response, Record::Http(Http::default()));
        flow.source = endpoint("shop", pod, &[]);
        flow.node_name = node.to_owned();
        plan.count(&flow);
    }
    let planned = plan.metrics();
    let told: Vec<_> = planned
        .iter()
        .map(|it| {
            (
                it.name.as_str(),
                it.series,
                it.nodes_beyond_budget,
                it.time_series,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("hubble_http_requests_total", 0, 0, 0),
            ("hubble_http_responses_total", 3, 1, 3),
            ("hubble_http_request_duration_seconds", 3, 1, 42),
            ("hubble_flows_processed_total", 3, 1, 3),
            ("hubble_sctp_chunk_types_total", 0, 0, 0),
        ]
    );
    let pod = &planned[3].labels[0];
    // On node a, two became one.
    assert_eq!(
        (pod.name, pod.values, pod.series_without),
        ("source_pod", 2, 2)
    );
}
