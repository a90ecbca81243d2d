//! Exporters by a file that changes.

use std::{fs, time::Instant};

use crate::{
    agent::{Agent, flow_lines, wait_for},
    flows::{lines, numbers},
};

#[test]
fn exporters_come_change_and_go_with_the_file_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let config = at("flowlogs.yaml");
    let exporter = |name: &str, rest: &str| {
        let path = at(name);
        format!("  - {{name: {name}, filePath: {}{rest}}}\n", path.display())
    };
    let write = |exporters: &[String]| {
        fs::write(at("new"), format!("flowLogs:\n{}", exporters.concat())).unwrap();
        fs::rename(at("new"), &config).unwrap();
    };
    write(&[exporter("a", "")]);
    let mut agent = Agent::start(&["--export-config", config.to_str().unwrap()]);
    agent.feed(&lines(0..10));
    wait_for("a has ten", || flow_lines(&at("a")).len() == 10);

    let begun = Instant::now();
    let drops = ", includeFilters: [{verdict: [DROPPED]}]";
    write(&[exporter("a", drops), exporter("b", "")]);
    wait_for("it is applied", || agent.status().contains("Export: b to"));
    assert!(begun.elapsed().as_secs() < 5);
    agent.feed(&lines(10..20));
    wait_for("b has ten", || flow_lines(&at("b")).len() == 10);
    wait_for("a has its drops", || flow_lines(&at("a")).len() == 13);
    assert_eq!(numbers(&flow_lines(&at("a")))[10..], [12, 15, 18]);

    fs::write(
        &config,
        "flowLogs:\n  - name: a\n    filePath: x\n    end: soon\n",
    )
    .unwrap();
    wait_for("it is told", || {
        agent.log().contains("flowlogs.yaml:4: invalid end")
    });
    // As one that is being written.
    fs::write(&config, "flowLogs:\n  - name: a\n    fileP").unwrap();
    wait_for("it is told with its line", || {
        agent.log().contains("flowlogs.yaml:3: ")
    });
    agent.feed(&lines(20..30));
    wait_for("b goes on", || flow_lines(&at("b")).len() == 20);

    let ended = ", end: 2026-01-01T00:00:00Z";
    write(&[exporter("b", ended)]);
    wait_for("a is gone", || !agent.status().contains("Export: a to"));
    wait_for("b has ended", || agent.status().contains("lines, ended"));
    agent.feed(&lines(30..40));
    wait_for("they are read", || agent.status().contains("40/4,095"));
    agent.end();
    assert_eq!(flow_lines(&at("b")).len(), 20);
    assert_eq!(flow_lines(&at("a")).len(), 16);
}
