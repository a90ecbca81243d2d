//! `metrics plan`: what a configuration makes of flows, and that an agent makes the same of them.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::Path,
};

use serde_json::Value;
use testbed::bind;

use crate::harness::*;

/// A request of one of many pods to one of two services, seen by one of two nodes.
fn flow(number: usize) -> String {
    let (node, pod, port) = (number % 2, number % 50, 80 + number % 2 * 363);
    let time = format!("2026-03-01T09:{:02}:{:02}Z", number / 60 % 60, number % 60);
    let verdict = if number.is_multiple_of(7) {
        "DROPPED\",\"drop_reason_desc\":\"POLICY_DENIED"
    } else {
        "FORWARDED"
    };
    format!(
        "{{\"flow\":{{\"time\":\"{time}\",\"uuid\":\"{number:08}\",\"verdict\":\"{verdict}\",\
         \"IP\":{{\"source\":\"10.1.0.{pod}\",\"destination\":\"10.2.0.1\",\"ipVersion\":\"IPv4\"}},\
         \"l4\":{{\"TCP\":{{\"source_port\":40812,\"destination_port\":{port},\"flags\":{{\"SYN\":true}}}}}},\
         \"source\":{{\"identity\":4711,\"namespace\":\"shop\",\"pod_name\":\"web-{pod}\"}},\
         \"destination\":{{\"identity\":4712,\"namespace\":\"shop\",\"pod_name\":\"db-0\"}},\
         \"Type\":\"L3_L4\",\"node_name\":\"node-{node}\",\"event_type\":{{\"type\":4}},\"is_reply\":false}},\
         \"node_name\":\"node-{node}\",\"time\":\"{time}\"}}\n"
    )
}

fn flows(count: usize) -> String {
    (0..count).map(flow).collect()
}

/// A plan of these flows, as JSON.
fn plan(words: &[&str], input: &str) -> Value {
    let mut args = vec!["metrics", "plan", "--input-file", "-", "-o", "json"];
    args.extend(words);
    serde_json::from_str(&run_with(&args, input).ok()).unwrap()
}

#[test]
fn series_are_told_by_metric_and_label_and_as_each_node_has_them() {
    let plan = plan(
        &[
            "drop",
            "flow:sourceContext=pod",
            "--metrics-series-budget=20",
        ],
        &flows(1000),
    );
    assert_eq!((&plan["flows"], &plan["nodes"]), (&1000.into(), &2.into()));
    assert_eq!(plan["first"], "2026-03-01T09:00:00Z");
    let [drop, flow] = plan["metrics"].as_array().unwrap().as_slice() else {
        panic!("{plan:#}");
    };
    assert_eq!(
        (&drop["name"], &drop["series"]),
        (&"hubble_drop_total".into(), &2.into())
    );
    assert_eq!(drop["nodes_beyond_budget"], 0);
    // 25 pods on each node, with two verdicts each.
    assert_eq!(
        (&flow["series"], &flow["largest_node"]["series"]),
        (&100.into(), &50.into())
    );
    assert_eq!(flow["nodes_beyond_budget"], 2);
    assert_eq!(flow["time_series"], 42);
    assert!(flow["counted_as_other"].as_u64().unwrap() > 300, "{flow:#}");
    assert_eq!(flow["new_lately"], 0);
    let source = &flow["labels"][0];
    assert_eq!(source["name"], "source");
    assert_eq!(
        (&source["values"], &source["series_without"]),
        (&50.into(), &4.into())
    );
    assert_eq!(source["largest"][0]["value"], "shop/web-0");
}

#[test]
fn the_table_says_what_to_leave_out_and_how_sure_that_is() {
    let args = [
        "metrics",
        "plan",
        "flow:sourceContext=pod",
        "--input-file=-",
    ];
    let stdout = run_with(&args, &flows(1000)).ok();
    for text in [
        "1,000 flows of 2 nodes, 2026-03-01T09:00:00Z to 2026-03-01T09:16:39Z (16m39s)",
        "hubble_flows_processed_total      100             50           100     0          0",
        "No metric has more than 10,000 series on a node.",
        "Without source of hubble_flows_processed_total there were 96 series less.",
        "None of 100 series came with the last tenth of the flows",
    ] {
        assert!(stdout.contains(text), "{text} is not in\n{stdout}");
    }
    let few = run_with(&args, &flows(10)).ok();
    assert!(few.contains("with more flows there are more"), "{few}");
    let none = run_with(&args, "").ok();
    assert!(none.contains("There were no flows"), "{none}");
}

#[test]
fn files_of_flows_may_be_packed_and_a_file_may_say_what_to_plan() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let config = path("metrics.yaml");
    fs::write(
        &config,
        "metrics:\n- name: tcp\n  contextOptions:\n  - {name: sourceContext, values: [pod]}\n  \
                        includeFilters:\n  - source_pod: [\"shop/web-1\"]\n",
    )
    .unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(flows(30).as_bytes()).unwrap();
    fs::write(path("a.json.gz"), packed.finish().unwrap()).unwrap();
    fs::write(path("b.json"), flows(20)).unwrap();
    let (a, b) = (path("a.json.gz"), path("b.json"));
    let args = [
        "metrics",
        "plan",
        &config,
        "--input-file",
        &a,
        "--input-file",
        &b,
        "-o",
        "json",
    ];
    let plan: Value = serde_json::from_str(&run(&args).ok()).unwrap();
    assert_eq!(plan["flows"], 50);
    // web-1 and web-10 to web-19, but for what is dropped.
    assert_eq!(plan["metrics"][0]["series"], 10);
}

#[test]
fn mistakes_are_named_and_near_words_are_suggested() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("metrics.yaml");
    fs::write(&broken, "metrics:\n- name: drop\n  name: [\n").unwrap();
    let broken = broken.to_str().unwrap();
    for (words, expected) in [
        (
            &["dsn:query"][..],
            "metric 'dsn' does not exist: did you mean dns?",
        ),
        (&["drop:sourceContext=pods"], "did you mean pod?"),
        (
            &["drop:labelsContext=source_ipp"],
            "did you mean source_ip?",
        ),
        (&["quite-something-else"], "there are dns, drop"),
        (
            &["./nowhere.yaml"],
            "cannot read ./nowhere.yaml: No such file",
        ),
        (&[broken], "metrics.yaml:3: "),
        (&[], "name what to plan"),
        (&["drop", "-o", "dict"], "unknown output format: dict"),
        (&["drop", "--input-file", "/nonexistent"], "/nonexistent"),
        (&["drop", "--for", "soon"], "expected a duration"),
    ] {
        let mut args = vec!["metrics", "plan"];
        args.extend(words);
        let stderr = run(&args).failed();
        assert!(stderr.contains(expected), "{words:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn help_teaches() {
    let stdout = run(&["metrics", "plan", "--help"]).ok();
    for text in [
        "palomar metrics plan CONFIG [FLAGS]",
        "--metrics-series-budget",
        "--for 10m",
        "Examples:",
    ] {
        assert!(stdout.contains(text), "{text} is not in\n{stdout}");
    }
    assert!(run(&["help", "metrics"]).ok().contains("plan "));
}

/// All that an agent counts of flows, as it tells itself, by metric.
fn counted(port: u16) -> Vec<(String, u64)> {
    let mut page = String::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        let asked =
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        asked
            .and_then(|()| stream.read_to_string(&mut page))
            .unwrap();
    }
    let series = page.lines().filter_map(|line| {
        let (name, count) = line
            .strip_prefix("palomar_metrics_series{metric=\"")?
            .split_once("\"} ")?;
        Some((name.to_owned(), count.parse().unwrap()))
    });
    series.collect()
}

fn start_agent(folder: &Path, config: &str, port: u16) -> (Running, String) {
    let server = format!("unix://{}/observer.sock", folder.display());
    let listen = format!("127.0.0.1:{port}");
    let flows = format!("replay:{}", folder.join("flows.json").display());
    let child = palomar(&[
        "agent",
        "--source",
        &flows,
        "--kubernetes=off",
        "--containers=off",
        "--node-name=node-1",
    ])
    .args([
        "--ring-capacity=8191",
        "--metrics-series-budget=70",
        "--metrics-listen",
        &listen,
    ])
    .args(["--metrics", config, "--socket", &server["unix://".len()..]])
    .spawn()
    .unwrap();
    (Running(child), server)
}

#[test]
fn an_agent_has_the_series_that_were_planned() {
    let folder = tempfile::tempdir().unwrap();
    // Of one node, as an agent has them.
    let lines = flows(2000).replace("\"node-0\"", "\"node-1\"");
    fs::write(folder.path().join("flows.json"), &lines).unwrap();
    let config = "drop:sourceContext=pod flow:sourceContext=pod;labelsContext=source_ip,traffic_direction \
                  tcp port-distribution:destinationContext=ip policy http icmp dns:query";
    let port = bind::free(Ipv4Addr::LOCALHOST).unwrap().port();
    let (_agent, server) = start_agent(folder.path(), config, port);
    let args = [
        "metrics",
        "plan",
        config,
        "--server",
        &server,
        "--metrics-series-budget=70",
        "-o",
        "json",
    ];
    let told = eventually(&args, |ran| {
        ran.code == Some(0) && ran.stdout.contains("\"flows\": 2000")
    });
    let online: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(
        online["metrics"],
        plan(&[config, "--metrics-series-budget=70"], &lines)["metrics"]
    );
    let planned: Vec<(String, u64)> = online["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            // One more is for all that is beyond the budget.
            let series = it["series"].as_u64().unwrap();
            (it["name"].as_str().unwrap().to_owned(), series.min(71))
        })
        .collect();
    assert!(
        planned.iter().any(|(_, series)| *series == 71),
        "{planned:?}"
    );
    let begun = std::time::Instant::now();
    let mut agents = counted(port);
    while agents != planned {
        assert!(begun.elapsed().as_secs() < 30, "{agents:?}\n{planned:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
        agents = counted(port);
    }
    // Nothing happens any more.
    let args = [
        "metrics",
        "plan",
        "drop",
        "--server",
        &server,
        "--for=200ms",
    ];
    assert!(run(&args).ok().contains("0 flows of 0 nodes"));
}
