//! The observers of a cluster: one agent per node, in the node's namespace, and a relay outside.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{Cluster, Node, inventory, process::Process, wait};

/// How long an agent or relay may take until its socket answers: loading and verifying the probes
/// takes about a second on a small machine, several when its processors are busy.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// What runs, if anything does.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    /// The relay ends first: it would only report the agents' end otherwise.
    relay: Option<Process>,
    by_node: BTreeMap<String, Process>,
    /// How agents are started, for those that are started again.
    launch: Option<Launch>,
}

#[derive(Clone, Debug)]
struct Launch {
    palomar: PathBuf,
    arguments: Vec<String>,
}

impl Agents {
    /// Ends everything: all are asked first, then waited for, so that they end side by side.
    pub(crate) fn end(&mut self) {
        let relay = self.relay.take();
        let agents = std::mem::take(&mut self.by_node).into_values();
        let mut running: Vec<Process> = relay.into_iter().chain(agents).collect();
        running.iter_mut().for_each(Process::signal_termination);
        for process in running {
            let name = process.name().to_owned();
            if let Err(error) = process.terminate() {
                tracing::warn!(%error, name, "killed what did not end by itself");
            }
        }
    }
}

impl Cluster {
    /// Starts `palomar agent` on every node and waits until each answers on its socket.
    ///
    /// # Errors
    /// When one ends instead, or does not answer in time; the error holds what it said.
    pub fn start_agents(&mut self, palomar: &Path) -> Result<()> {
        self.start_agents_with(palomar, &[])
    }

    /// [`Cluster::start_agents`] with more arguments, the same for every agent.
    ///
    /// # Errors
    /// As [`Cluster::start_agents`].
    pub fn start_agents_with(&mut self, palomar: &Path, arguments: &[&str]) -> Result<()> {
        self.write_inventory()?;
        self.agents.launch = Some(Launch {
            palomar: palomar.to_owned(),
            arguments: arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect(),
        });
        let nodes = self.nodes().to_vec();
        // All are started before the first is waited for.
        for node in &nodes {
            self.launch_agent(node)?;
        }
        nodes
            .iter()
            .try_for_each(|node| self.wait_for_agent(node.name()))
    }

    /// Starts `palomar relay` outside the nodes, with the first node's agent as its peer service,
    /// and waits until it answers. Returns its socket.
    ///
    /// # Errors
    /// When it ends instead, or does not answer in time; the error holds what it said.
    pub fn start_relay(&mut self, palomar: &Path) -> Result<PathBuf> {
        let first = self
            .nodes()
            .first()
            .context("a cluster without nodes has no peer service")?;
        let peers = format!("unix://{}", self.agent_socket(first.name()).display());
        let socket = self.relay_socket();
        let mut command = Command::new(palomar);
        command.args(["relay", "--peer-service", &peers]);
        command
            .arg("--listen")
            .arg(format!("unix://{}", socket.display()));
        let log = self.directory().join("relay.log");
        let mut relay = Process::start("the relay", command, log, &self.spawner, None)?;
        wait_until_it_answers(&mut relay, &socket)?;
        self.agents.relay = Some(relay);
        Ok(socket)
    }

    /// The socket of the agent on `node`, whether it runs or not.
    pub fn agent_socket(&self, node: &str) -> PathBuf {
        self.directory().join(format!("{node}.sock"))
    }

    /// The socket of the relay, whether it runs or not.
    pub fn relay_socket(&self) -> PathBuf {
        self.directory().join("relay.sock")
    }

    /// The inventory that the agents read.
    pub fn inventory(&self) -> PathBuf {
        self.directory().join("inventory.yaml")
    }

    /// Kills the agent on `node`, as a crash would.
    ///
    /// # Errors
    /// When none runs there.
    pub fn kill_agent(&mut self, node: &str) -> Result<()> {
        // Dropping a process kills it.
        self.take_agent(node).map(drop)
    }

    /// Ends the agent on `node` by SIGTERM. Returns how it ended.
    ///
    /// # Errors
    /// When none runs there, or it had to be killed.
    pub fn stop_agent(&mut self, node: &str) -> Result<ExitStatus> {
        self.take_agent(node)?.terminate()
    }

    /// Starts the agent on `node` again, as it was started before.
    ///
    /// # Errors
    /// As [`Cluster::start_agents`], and when agents never ran.
    pub fn restart_agent(&mut self, node: &str) -> Result<()> {
        // Replacing a process that still runs kills it.
        self.agents.by_node.remove(node);
        let node = self.node(node)?.clone();
        self.launch_agent(&node)?;
        self.wait_for_agent(node.name())
    }

    /// The last lines of every agent and the relay, for reports of failure.
    pub fn last_words(&self) -> String {
        let mut text = String::new();
        for process in self.agents.relay.iter().chain(self.agents.by_node.values()) {
            text += &format!("--- {} said:\n{}\n", process.name(), process.last_words());
        }
        text
    }

    fn launch_agent(&mut self, node: &Node) -> Result<()> {
        let launch = self
            .agents
            .launch
            .as_ref()
            .context("agents have not been started yet")?;
        let mut command = Command::new(&launch.palomar);
        command
            .args(["agent", "--node-name", node.name()])
            .arg("--socket")
            .arg(self.agent_socket(node.name()))
            .arg("--inventory")
            .arg(self.inventory())
            // Where this runs in a pod, its cluster is none of theirs.
            .args(["--kubernetes", "off"])
            .args(&launch.arguments);
        let name = format!("the agent on {}", node.name());
        let log = self.directory().join(format!("{}.log", node.name()));
        let agent = Process::start(&name, command, log, &self.spawner, Some(node.namespace()))?;
        self.agents.by_node.insert(node.name().to_owned(), agent);
        Ok(())
    }

    fn wait_for_agent(&mut self, node: &str) -> Result<()> {
        let socket = self.agent_socket(node);
        let agent = self
            .agents
            .by_node
            .get_mut(node)
            .ok_or_else(|| no_agent(node))?;
        wait_until_it_answers(agent, &socket)
    }

    fn take_agent(&mut self, node: &str) -> Result<Process> {
        self.agents
            .by_node
            .remove(node)
            .ok_or_else(|| no_agent(node))
    }

    fn write_inventory(&self) -> Result<()> {
        let path = self.inventory();
        fs::write(&path, inventory::render(self))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

fn no_agent(node: &str) -> anyhow::Error {
    anyhow!("no agent runs on {node}")
}

/// Waits until a server speaks on `socket`. That it takes connections is not enough: they wait in
/// line from the moment when the socket is bound, which is before the probes are attached.
fn wait_until_it_answers(process: &mut Process, socket: &Path) -> Result<()> {
    let what = format!("an answer from {} on {}", process.name(), socket.display());
    let answer = wait::until(&what, READY_TIMEOUT, || {
        if let Some(status) = process.ended()? {
            bail!("{} ended with {status}", process.name());
        }
        Ok(http2_answer(socket).ok())
    });
    answer.map_err(|error| anyhow!("{error}; it said:\n{}", process.last_words()))
}

/// Opens an HTTP/2 connection, which is what gRPC runs on, and waits for the server's first frame.
fn http2_answer(socket: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(HTTP2_HELLO)?;
    let mut frame_header = [0; 9];
    stream.read_exact(&mut frame_header)
}

/// How long one attempt waits, before it is looked whether the server has ended.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(200);
/// The client's preface and an empty SETTINGS frame (RFC 9113, section 3.4).
const HTTP2_HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
