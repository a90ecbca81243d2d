//! Agents and a relay at work have every metric that alerts and dashboard ask for.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use testbed::{Cluster, PodSpec, Spec, bind, wait};

use crate::{
    Rule, files,
    page::{self, check, get, metrics, sum},
};

pub(crate) const RULES: &[Rule] = &[(
    "every_metric_that_is_asked_for_is_there_and_prometheus_finds_no_fault",
    all_there,
)];

const BINARY: &str = env!("CARGO_BIN_EXE_palomar");
/// In the node's own namespace, where nobody else listens.
const METRICS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9965);
/// Probes are measured once a second, and a relay connects at once; longer on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

fn all_there() -> Result<()> {
    let spec = Spec::with_nodes(1).pod("node-1", PodSpec::new("shop", "web"));
    let mut cluster = Cluster::start(&spec)?;
    start_agent(&mut cluster)?;
    let tested = judge(&cluster);
    tested.with_context(|| cluster.last_words())
}

/// With everything on that has metrics.
fn start_agent(cluster: &mut Cluster) -> Result<()> {
    let path = |name: &str| cluster.directory().join(name).display().to_string();
    let (config, metrics, file) = (
        path("exporters.yaml"),
        path("metrics.yaml"),
        path("flows.log"),
    );
    let exporters = format!("flowLogs: [{{name: all, filePath: {}}}]\n", path("all.log"));
    fs::write(&config, exporters)?;
    fs::write(&metrics, "metrics: [{name: drop}, {name: flow}]\n")?;
    let listen = METRICS.to_string();
    cluster.start_agents_with(
        Path::new(BINARY),
        &[
            "--metrics-listen",
            &listen,
            "--metrics-probe-time",
            "--metrics-config",
            &metrics,
            "--ring-memory",
            "64MiB",
            "--export-file",
            &file,
            "--export-config",
            &config,
        ],
    )
}

fn judge(cluster: &Cluster) -> Result<()> {
    let of_agent = |path: &'static str| {
        let node = cluster.node("node-1")?;
        node.namespace().run(move || get(METRICS, path))
    };
    let agent = wait::until("the probes' time", TIMEOUT, || {
        let page = of_agent("/metrics")?;
        let has_run = sum(&page, "palomar_probe_run_seconds_total") > 0.0;
        Ok(has_run.then_some(page))
    })?;
    ensure!(sum(&agent, "palomar_probe_runs_total") >= 1.0, "{agent}");
    ensure!(
        agent.contains("palomar_hook_on{hook=\"probe-time\"} 1\n"),
        "{agent}"
    );
    ensure!(
        sum(&agent, "palomar_readers") == 3.0,
        "two exporters, and metrics: {agent}"
    );
    ensure!(of_agent("/readyz")? == "observing\n");

    let relay = Relay::start(cluster)?;
    let of_relay = wait::until("the relay's node", TIMEOUT, || {
        // It does not listen yet.
        let page = get(relay.metrics, "/metrics").unwrap_or_default();
        Ok((sum(&page, "palomar_peer_connected") == 1.0).then_some(page))
    })?;
    for page in [&agent, &of_relay] {
        check(page)?;
    }
    let mut there = metrics(&agent);
    there.extend(page::metrics(&of_relay));
    let wanted = files::wanted()?;
    ensure!(wanted.len() > 40, "only {} are asked for", wanted.len());
    let missing: Vec<_> = wanted.iter().filter(|it| !there.contains(it.0)).collect();
    ensure!(missing.is_empty(), "asked for, and not there: {missing:#?}");
    Ok(())
}

/// A relay with metrics. Dropping it ends it.
struct Relay {
    child: Child,
    metrics: SocketAddr,
}

impl Relay {
    fn start(cluster: &Cluster) -> Result<Self> {
        let metrics = bind::free(Ipv4Addr::LOCALHOST)?;
        let peer = cluster.agent_socket("node-1");
        let child = Command::new(BINARY)
            .args(["relay", "--metrics-listen", &metrics.to_string()])
            .arg("--peer")
            .arg(format!("node-1=unix://{}", peer.display()))
            .arg("--listen")
            .arg(format!("unix://{}", cluster.relay_socket().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, metrics })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
