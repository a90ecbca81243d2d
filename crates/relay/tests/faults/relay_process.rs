//! The relay in a process of its own, and its memory.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flow_api::connect::Target;
use flow_api::server::TlsClientFiles;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use relay::{Config, Listen, Pace, Relay};
use testbed::{Outside, Spawner};
use tokio_util::sync::CancellationToken;

/// What begins the arguments of the process.
pub(crate) const ROLE: &str = "as-relay";

/// What the relay of these tests has resident where nobody makes it hold anything: its program, which
/// is not optimised, and what it reads ahead.
pub(crate) const RESIDENT_KIB: u64 = 40 * 1024;

/// Nodes are asked this often whether they live: faults are to be noticed within a test.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// The process: a relay as `palomar relay` runs it, on one thread, until SIGTERM is its end.
/// Socket, folder of certificates or `-`, nodes.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [socket, certificates, nodes @ ..] = arguments else {
        anyhow::bail!("{arguments:?}: expected a socket, certificates and nodes");
    };
    let folder = (certificates != "-").then(|| PathBuf::from(certificates));
    let pace = Pace::default();
    let runtime = pace.runtime()?;
    runtime.block_on(async {
        let config = Config {
            listen: vec![Listen::Unix(socket.into())],
            peers: nodes
                .iter()
                .map(|node| node.parse())
                .collect::<Result<_, _>>()?,
            peer_tls: folder.map(TlsClientFiles::Folder),
            probe_interval: PROBE_INTERVAL,
            node_name: crate::support::RELAY_NAME.to_owned(),
            pace,
            ..Config::default()
        };
        Ok(Relay::bind(config)
            .await?
            .serve(CancellationToken::new())
            .await?)
    })
}

/// A relay that runs; killed on drop.
pub(crate) struct RelayProcess {
    child: Child,
    _spawner: Option<Spawner>,
}

impl RelayProcess {
    /// Where the test is.
    pub(crate) fn start(
        socket: &Path,
        certificates: Option<&Path>,
        nodes: &[String],
    ) -> Result<Self> {
        let spawner = Spawner::start()?;
        let child = spawner.spawn(command(socket, certificates, nodes)?)?;
        Ok(Self {
            child,
            _spawner: Some(spawner),
        })
    }

    /// At a host of a test's network.
    pub(crate) fn start_at(host: &Outside, socket: &Path, nodes: &[String]) -> Result<Self> {
        let child = host.spawn(command(socket, None, nodes)?)?;
        Ok(Self {
            child,
            _spawner: None,
        })
    }

    /// The most that was resident since its start.
    pub(crate) fn peak_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .context("no VmHWM in a process's status")
    }

    /// Its memory has never been beyond this.
    pub(crate) fn stayed_within(&self, limit_kib: u64) -> Result<()> {
        let peak = self.peak_kib()?;
        ensure!(peak <= limit_kib, "{peak} KiB resident, limit {limit_kib}");
        Ok(())
    }

    /// It dies without a word.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        // Both fail only for a child that has ended and been reaped already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn command(socket: &Path, certificates: Option<&Path>, nodes: &[String]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(ROLE)
        .arg(socket)
        .arg(certificates.unwrap_or(Path::new("-")))
        .args(nodes)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    Ok(command)
}

/// Where a relay with this socket is reached.
pub(crate) fn target(socket: &Path) -> Result<Target> {
    let text = format!("unix://{}", socket.display());
    text.parse().with_context(|| format!("target {text}"))
}

/// A node as a relay is told of it.
pub(crate) fn listed(name: &str, address: SocketAddr) -> String {
    format!("{name}={address}")
}

/// Stops a process, or lets it go on.
pub(crate) fn signal(child: &Child, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(child.id().try_into()?), signal)
        .with_context(|| format!("cannot send {signal}"))
}
