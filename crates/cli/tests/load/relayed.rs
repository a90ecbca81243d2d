//! A relay before an agent, with certificates on both sides, by the flags of both.

use std::{
    fs,
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use testbed::bind;

use crate::{
    agent::{Agent, BINARY, PATIENCE},
    secured::certificates,
};

const FLOWS: u32 = 100;

/// Ends with the test.
struct Relay(Child);

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The agent tells the relay where it is and what its certificate says, and its flows arrive.
pub(crate) async fn reached() -> Result<()> {
    let (certificates, folder) = (certificates()?, TempDir::new()?);
    let port = bind::free(Ipv4Addr::LOCALHOST)?.port();
    let inventory = folder.path().join("inventory.yaml");
    let node = format!("nodes:\n- name: node-1\n  address: 127.0.0.1:{port}\n");
    fs::write(&inventory, node)?;
    let listen = format!("127.0.0.1:{port}");
    let tls_dir = certificates.path().display().to_string();
    let inventory = inventory.display().to_string();
    let flags = ["--listen", &listen, "--tls-dir", &tls_dir];
    let flags = [&flags[..], &["--inventory", &inventory]].concat();
    let (agent, mut packets) = Agent::start(&flags).await?;
    packets.write(FLOWS)?;

    let file = |name: &str| certificates.path().join(name);
    let server = format!("unix://{}", folder.path().join("relay.sock").display());
    let relay = Command::new(BINARY)
        .args(["relay", "--listen", &server, "--peer-service"])
        .arg(agent.target().to_string())
        .arg("--peer-tls-cert-file")
        .arg(file("client.crt"))
        .arg("--peer-tls-key-file")
        .arg(file("client.key"))
        .arg("--peer-tls-ca-files")
        .arg(file("ca.crt"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run a relay")?;
    let _relay = Relay(relay);

    let begun = Instant::now();
    loop {
        let shown = Command::new(BINARY)
            .args(["observe", "--server", &server])
            .args(["--last", "1000", "-o", "json"])
            .env_clear()
            .env("HOME", "/nonexistent")
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8(shown.stdout)?;
        let flows = text.lines().filter(|it| it.contains("\"flow\""));
        if flows.count() == FLOWS as usize {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "{text}");
    }
    let nodes = Command::new(BINARY)
        .args(["list", "nodes", "-o", "wide", "--server", &server])
        .env_clear()
        .env("HOME", "/nonexistent")
        .output()?;
    let nodes = String::from_utf8(nodes.stdout)?;
    let node = nodes.lines().find(|it| it.starts_with("node-1 "));
    let node = node.with_context(|| nodes.clone())?;
    ensure!(
        node.contains(&listen) && node.contains("Enabled") && node.contains("Connected"),
        "{nodes}"
    );
    Ok(())
}
