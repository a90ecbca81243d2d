//! What a page looks like to those who read it.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use crate::{
    agent::{Agent, OPEN_METRICS},
    flows::FLOWS,
    judge::{compare, expected},
    page::{assert_same, of_flows},
};

const LIST: &str = "dns:query drop flow httpV2:exemplars=true;sourceContext=pod|ip kafka tcp";

/// A page in both formats when all is counted.
fn pages() -> [(String, String); 2] {
    let agent = Agent::of(&FLOWS, &["--metrics", LIST]);
    compare(&agent, LIST, &expected(&FLOWS, LIST));
    ["", OPEN_METRICS].map(|accept| agent.get(accept))
}

#[test]
fn plain_text_is_for_those_who_do_not_ask_for_open_metrics() {
    let [(plain_head, plain), (open_head, open)] = pages();
    assert!(
        plain_head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{plain_head}"
    );
    assert!(!plain.contains(" # {") && !plain.contains("# EOF"));
    assert!(plain.contains("# TYPE hubble_drop_total counter\n"));
    assert!(
        open_head
            .contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{open_head}"
    );
    assert!(open.contains("# TYPE hubble_drop counter\n"));
    assert!(open.ends_with("\n# EOF\n"));
    let exemplar = r#" # {traceID="4bf92f3577b34da6a3ce929d0e0e4736"} "#;
    for begin in [
        "hubble_http_requests_total{",
        "hubble_http_request_duration_seconds_bucket{",
    ] {
        let mut lines = open.lines();
        assert!(lines.any(|it| it.starts_with(begin) && it.contains(exemplar)));
    }
    // Both count the same.
    let samples = |page: &str| {
        let lines = page.lines().filter(|it| !it.starts_with('#'));
        let without = lines.map(|it| it.split(exemplar).next().unwrap_or(it));
        let lines: Vec<_> = without
            .map(|it| format!("{}\n", it.replace(".0\",", "\",")))
            .collect();
        of_flows(&lines.concat())
    };
    assert_same("OpenMetrics", &samples(&open), &samples(&plain));
}

#[test]
fn prometheus_accepts_the_page() {
    let [(_, plain), _] = pages();
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    let Ok(mut promtool) = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        eprintln!("not checked: there is no promtool (install the package prometheus)");
        return;
    };
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(plain.as_bytes()).unwrap();
    drop(input);
    let output = promtool.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
}

#[test]
fn scrapes_and_losses_and_calls_are_counted_as_hubble_does() {
    let mut agent = Agent::fed(&["--ring-capacity", "15"]);
    let ours: Vec<_> = [
        "perf_event_ring_buffer",
        "observer_events_queue",
        "hubble_ring_buffer",
    ]
    .map(|source| format!("hubble_lost_events_total{{source=\"{source}\"}} 0"))
    .into();
    let mut lines = agent.lines("hubble_lost_events_total");
    lines.sort_by_key(|it| ours.iter().position(|our| our == it));
    assert_eq!(lines, ours);
    assert_eq!(
        agent.lines("hubble_metrics_http_handler_requests_total"),
        [r#"hubble_metrics_http_handler_requests_total{code="200"} 1"#]
    );
    let took = agent.lines("hubble_metrics_http_handler_request_duration_seconds_count");
    assert_eq!(
        took,
        [r#"hubble_metrics_http_handler_request_duration_seconds_count{code="200"} 2"#]
    );
    agent.feed("{\"verdict\":\"FORWARDED\",\"uuid\":\"1\"}\n");
    let server = format!(
        "unix://{}",
        agent.folder.path().join("observer.sock").display()
    );
    let status = Command::new(crate::agent::BINARY)
        .args(["status", "--server", &server])
        .output()
        .unwrap();
    assert!(status.status.success());
    let method = r#"grpc_type="unary",grpc_service="observer.Observer",grpc_method="ServerStatus""#;
    for line in [
        format!("grpc_server_started_total{{{method}}} 1"),
        format!("grpc_server_handled_total{{{method},grpc_code=\"OK\"}} 1"),
        format!("grpc_server_msg_sent_total{{{method}}} 1"),
    ] {
        agent.wait_for_line(&line);
    }
}
