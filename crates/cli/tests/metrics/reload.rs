//! A file of metrics that changes while an agent counts, and budgets.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use crate::agent::{Agent, wait_for};

/// An agent, and its file.
struct Configured {
    agent: Agent,
    path: PathBuf,
    _folder: TempDir,
}

impl Configured {
    fn by(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("metrics.yaml");
        fs::write(&path, text).unwrap();
        let agent = Agent::fed(&["--metrics-config", path.to_str().unwrap()]);
        Self {
            agent,
            path,
            _folder: folder,
        }
    }

    /// How often a changed file was used, or was not.
    fn reloads(&self, result: &str) -> u64 {
        let begin =
            format!("palomar_config_changes_total{{config=\"metrics\",what=\"{result}\"}} ");
        self.agent.lines(&begin)[0][begin.len()..].parse().unwrap()
    }

    /// Another file, renamed into place, and what becomes of it.
    fn change(&self, text: &str, result: &str) {
        let before = self.reloads(result);
        let new = self.path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &self.path).unwrap();
        wait_for("it is looked at", || self.reloads(result) > before);
        let is_used = u8::from(result == "taken");
        self.agent.wait_for_line(&format!(
            "palomar_metrics_config_last_reload_successful {is_used}"
        ));
    }

    fn take(&self, text: &str) {
        self.change(text, "taken");
    }

    /// A file that is not used, for what the log then says.
    fn refuse(&self, text: &str, expected: &str) {
        self.change(text, "refused");
        wait_for(expected, || self.agent.log().contains(expected));
    }
}

/// So many flows, each of another pod: SYNs, and responses to requests.
fn flows(pods: std::ops::Range<usize>) -> String {
    let line = |pod| {
        format!(
            "{{\"verdict\":\"FORWARDED\",\"event_type\":{{\"type\":129}},\"IP\":{{\"ipVersion\":\"IPv4\"}},\
             \"l4\":{{\"TCP\":{{\"flags\":{{\"SYN\":true}}}}}},\
             \"l7\":{{\"type\":\"RESPONSE\",\"http\":{{\"code\":200,\"method\":\"GET\",\"protocol\":\"HTTP/2\"}}}},\
             \"source\":{{\"namespace\":\"shop\",\"pod_name\":\"pod{pod}\"}},\"uuid\":\"{pod:08}\"}}\n"
        )
    };
    pods.map(line).collect()
}

#[test]
fn a_changed_file_is_used_and_counts_go_on() {
    let mut it = Configured::by("metrics:\n- name: tcp\n- name: flow\n- name: http\n");
    let line =
        |count: u32| format!("hubble_tcp_flags_total{{flag=\"SYN\",family=\"IPv4\"}} {count}");
    it.agent.feed(&flows(0..10));
    it.agent.wait_for_line(&line(10));
    assert_eq!(it.agent.lines("hubble_flows_processed_total").len(), 1);
    assert_eq!(it.agent.lines("hubble_http_responses_total").len(), 1);
    let hash = it.agent.lines("palomar_metrics_config_hash");

    // A filter, one metric less, and one instead of another with the same names.
    it.take(
        "metrics:\n- name: tcp\n  includeFilters:\n  - source_pod: [shop/pod1]\n- name: httpV2\n",
    );
    assert_ne!(it.agent.lines("palomar_metrics_config_hash"), hash);
    it.agent.wait_for_none("hubble_flows_processed_total");
    assert_eq!(it.agent.lines("hubble_http_"), [""; 0]);
    it.agent.feed(&flows(10..20));
    it.agent.wait_for_line(&line(20));
    it.agent.feed(&flows(20..30));
    let requests = |count: u32| {
        format!(
            "hubble_http_requests_total{{method=\"GET\",protocol=\"HTTP/2\",status=\"200\",\
             reporter=\"unknown\"}} {count}"
        )
    };
    it.agent.wait_for_line(&requests(20));
    assert_eq!(it.agent.lines("hubble_tcp_flags_total"), [line(20)]);

    it.take("metrics: []\n");
    it.agent.wait_for_none("hubble_tcp_flags_total");
}

#[test]
fn a_file_that_cannot_be_used_changes_nothing_and_is_told_with_its_line() {
    let mut it = Configured::by(
        "metrics:\n- name: tcp\n  contextOptions:\n  - {name: sourceContext, values: [pod]}\n",
    );
    it.agent.feed(&flows(0..1));
    it.agent
        .wait_for_line(r#"hubble_tcp_flags_total{source="shop/pod0",flag="SYN",family="IPv4"} 1"#);
    for (text, expected) in [
        (
            "metrics:\n- name: tcp\n  contextOptions: [\n",
            "metrics.yaml:3: ",
        ),
        ("metrics:\n- name: tcp\n  contex", "metrics.yaml:3: "),
        ("\0\0\0\0", "metrics.yaml:1: "),
        (
            "metrics:\n- name: flow\n- name: flow\n",
            "metrics.yaml:3: metric config validation failed - duplicate metric: flow",
        ),
        (
            "metrics:\n- name: flow\n- includeFilters: []\n",
            "metrics.yaml:3: metric config validation failed - missing metric name at: 1",
        ),
        (
            "metrics:\n- name: flow\n- name: tcp\n",
            "metrics.yaml:3: metric config validation failed - the labels of tcp cannot change",
        ),
        (
            "metrics:\n- name: flows\n",
            "metrics.yaml:2: metric 'flows' does not exist",
        ),
        (
            "metrics:\n- name: flow\n  includeFilters:\n  - source_ip: [x]\n",
            "metrics.yaml:4: metric 'flow': invalid filter: ",
        ),
    ] {
        it.refuse(text, expected);
    }
    fs::remove_file(&it.path).unwrap();
    let refused = it.reloads("refused");
    wait_for("it is missed", || it.reloads("refused") > refused);
    it.agent.feed(&flows(1..2));
    it.agent
        .wait_for_line(r#"hubble_tcp_flags_total{source="shop/pod1",flag="SYN",family="IPv4"} 1"#);
    assert_eq!(it.agent.lines("hubble_flows_processed_total"), [""; 0]);
    let refused = format!(
        "palomar_events_total{{stage=\"serve\",what=\"metrics_configs_refused\",kind=\"\"}} {}",
        it.reloads("refused")
    );
    assert_eq!(it.agent.lines(&refused), [refused.as_str()]);
    // Labels are what they were, also after the metric was away for a while.
    it.take("metrics:\n- name: flow\n");
    it.refuse(
        "metrics:\n- name: tcp\n",
        "metrics.yaml:2: metric config validation failed - the labels of tcp",
    );
}

#[test]
fn what_is_beyond_the_budget_is_counted_as_other() {
    let list = "tcp:sourceContext=pod flow";
    let mut agent = Agent::fed(&["--metrics", list, "--metrics-series-budget", "3"]);
    agent.feed(&flows(0..10));
    agent.wait_for_line(r#"hubble_tcp_flags_total{source="other",flag="other",family="other"} 7"#);
    assert_eq!(agent.lines("hubble_tcp_flags_total").len(), 4);
    assert_eq!(agent.lines("hubble_flows_processed_total").len(), 1);
    agent
        .wait_for_line(r#"palomar_metrics_beyond_budget_total{metric="hubble_tcp_flags_total"} 7"#);
    agent.wait_for_line(r#"palomar_metrics_series{metric="hubble_tcp_flags_total"} 4"#);
}
