//! An agent that asks a Kubernetes API server, as its users see it.

use std::{
    fs,
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use flow_api::{json, palomar::GetAgentStatusResponse};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testbed::{
    api_server::{ApiServer, objects},
    wait,
};

use crate::{Rule, palomar};

pub(crate) const RULES: &[Rule] = &[
    (
        "status_tells_what_the_api_server_told_and_when_it_is_lost",
        status,
    ),
    ("an_agent_without_a_cluster_says_what_to_do", nowhere),
    ("a_kubeconfig_that_cannot_be_used_is_named", bad_kubeconfig),
];

const TIMEOUT: Duration = Duration::from_secs(30);

fn status() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut server = ApiServer::start()?;
    server.put(objects::namespace("shop", &[]));
    server.put(objects::node("worker-1", "192.0.2.11"));
    server.put(objects::pod("shop", "web", "10.0.1.17", "worker-1"));
    let kubeconfig = directory.path().join("kubeconfig");
    fs::write(&kubeconfig, server.kubeconfig())?;
    let socket = directory.path().join("observer.sock");
    let _agent = Agent::start(&socket, &kubeconfig)?;

    let connected = format!(
        "Names: kubernetes connected ({}), 3 objects\n",
        server.url()
    );
    wait::until("status says connected", TIMEOUT, || {
        Ok(told(&socket)?.contains(&connected).then_some(()))
    })?;
    server.stop();
    let lost = format!(
        "Names: kubernetes lost ({}), 3 objects as of ",
        server.url()
    );
    // Each watch finds out by itself, and why only when it tries again.
    let text = wait::until("status says what is lost, and why", TIMEOUT, || {
        Ok(Some(told(&socket)?).filter(|text| {
            text.contains(&lost)
                && text.contains("  - pods lost, 1 objects as of ")
                && text.to_lowercase().contains("connection refused")
        }))
    })?;
    ensure!(!text.contains("ciliumnodes"), "{text}");
    server.resume()?;
    wait::until("status says connected again", TIMEOUT, || {
        Ok(told(&socket)?.contains(&connected).then_some(()))
    })?;

    let printed = palomar::stdout(&[
        "status",
        "--server",
        &palomar::server(&socket),
        "-o",
        "json",
    ])?;
    let (_, agent) = printed.split_once("\"agent\":").context("no agent")?;
    let agent = agent.trim_end().strip_suffix('}').context("no object")?;
    let agent: GetAgentStatusResponse = json::from_str(agent)?;
    let kubernetes = agent.providers.first().context("no provider")?;
    ensure!(kubernetes.state == "connected" && kubernetes.since.is_some());
    let pods = kubernetes.parts.iter().find(|part| part.name == "pods");
    ensure!(pods.context("no pods")?.objects == 1);
    Ok(())
}

fn nowhere() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("observer.sock");
    let output = agent(&socket)
        .args(["--kubernetes", "on"])
        .env("HOME", directory.path())
        .output()?;
    let text = String::from_utf8(output.stderr)?;
    ensure!(!output.status.success(), "{text}");
    for part in ["--kubeconfig", "--kubernetes off"] {
        ensure!(text.contains(part), "{part}: {text}");
    }
    Ok(())
}

fn bad_kubeconfig() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("observer.sock");
    let path = directory.path().join("kubeconfig");
    let run = |context: &str| -> Result<String> {
        let output = agent(&socket)
            .arg("--kubeconfig")
            .arg(&path)
            .args(["--kube-context", context])
            .output()?;
        ensure!(!output.status.success());
        Ok(String::from_utf8(output.stderr)?)
    };
    let name = path.to_str().context("an odd path")?;
    let missing = run("test")?;
    ensure!(
        missing.contains(name) && missing.contains("no such file"),
        "{missing}"
    );
    fs::write(&path, ApiServer::start()?.kubeconfig())?;
    let no_context = run("other")?;
    ensure!(
        no_context.contains(name) && no_context.contains("other"),
        "{no_context}"
    );
    Ok(())
}

fn agent(socket: &Path) -> Command {
    let mut command = palomar::command(&["agent", "--source", "none", "--node-name", "worker-1"]);
    command.arg("--socket").arg(socket);
    // Where the tests run in a pod, its cluster is not asked.
    command
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env_remove("KUBECONFIG");
    command
}

/// What `palomar status` prints.
fn told(socket: &Path) -> Result<String> {
    palomar::stdout(&["status", "--server", &palomar::server(socket)])
}

/// An agent at work, until this is dropped.
struct Agent(Child);

impl Agent {
    fn start(socket: &Path, kubeconfig: &Path) -> Result<Self> {
        let mut command = agent(socket);
        let agent = Self(command.arg("--kubeconfig").arg(kubeconfig).spawn()?);
        wait::until("the agent answers", TIMEOUT, || {
            Ok(told(socket).is_ok().then_some(()))
        })?;
        Ok(agent)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.0.id().cast_signed());
        // It may have ended by itself; then there is nothing left to do.
        kill(pid, Signal::SIGTERM).ok();
        drop(self.0.wait());
    }
}
