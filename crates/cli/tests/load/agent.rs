//! An agent as a child process that reads packets from a pipe, so that the number, the pace and the
//! order of its flows are in our hands.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use flow_api::{
    connect::{ConnectOptions, Target, connect},
    observer::{ServerStatusRequest, observer_client::ObserverClient},
};
use tempfile::TempDir;
use tonic::transport::Channel;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_palomar");

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Nanoseconds, version 2.4, whole packets, IP without anything before it (link type 101).
const FILE_HEADER: [u32; 6] = [0xa1b2_3c4d, 0x0004_0002, 0, 0, 65_535, 101];

/// The flows of a run go to so many ports: [`Packets::port`].
pub(crate) const PORTS: u32 = 1000;
const FIRST_PORT: u16 = 20_000;

pub(crate) struct Agent {
    child: Child,
    folder: TempDir,
}

impl Agent {
    /// Starts an agent and comes back when it answers.
    pub(crate) async fn start(flags: &[&str]) -> Result<(Self, Packets)> {
        let folder = TempDir::new()?;
        let socket = folder.path().join("observer.sock");
        let mut child = Command::new(BINARY)
            .args(["agent", "--source", "pcap:-", "--kubernetes", "off"])
            .args(["--containers", "off", "--node-name", "node-1", "--socket"])
            .arg(&socket)
            .args(flags)
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {BINARY}"))?;
        let pipe = child.stdin.take().context("the agent has no input")?;
        let mut agent = Self { child, folder };
        let begun = Instant::now();
        while agent.seen_flows().await.is_err() {
            ensure!(agent.child.try_wait()?.is_none(), "the agent ended");
            ensure!(begun.elapsed() < PATIENCE, "the agent does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok((agent, Packets::begin(pipe)?))
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("observer.sock")
    }

    pub(crate) fn target(&self) -> Target {
        Target::Unix(self.socket())
    }

    pub(crate) async fn channel(&self) -> Result<Channel> {
        Ok(connect(&self.target(), &ConnectOptions::default()).await?)
    }

    /// Flows that the agent has published.
    pub(crate) async fn seen_flows(&self) -> Result<u64> {
        let mut client = ObserverClient::new(self.channel().await?);
        let status = client.server_status(ServerStatusRequest {}).await?;
        Ok(status.into_inner().seen_flows)
    }

    /// What the kernel tells of the agent's process.
    pub(crate) fn process(&self, file: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.child.id().to_string())
            .join(file)
    }

    /// Memory of the agent in KiB: `VmRSS` for what it has now, `VmHWM` for the most it had.
    pub(crate) fn memory_kib(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(self.process("status"))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .with_context(|| format!("no {field} in a process's status"))
    }

    /// Time that the agent has used on all cores.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        // In ticks of a hundredth of a second, behind the name in brackets.
        let stat = fs::read_to_string(self.process("stat"))?;
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks = |index| fields.split_whitespace().nth(index)?.parse::<u64>().ok();
        let (user, system) = ticks(11).zip(ticks(12)).context("no times in /proc")?;
        Ok(Duration::from_millis((user + system) * 10))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Writes packets, each with its number, to the agent.
pub(crate) struct Packets {
    pipe: ChildStdin,
    buffer: Vec<u8>,
    written: u32,
}

impl Packets {
    fn begin(mut pipe: ChildStdin) -> io::Result<Self> {
        let header: Vec<u8> = FILE_HEADER.iter().flat_map(|it| it.to_le_bytes()).collect();
        pipe.write_all(&header)?;
        Ok(Self {
            pipe,
            buffer: Vec::new(),
            written: 0,
        })
    }

    /// The port that the packet with this number goes to.
    pub(crate) fn port(number: u32) -> u16 {
        FIRST_PORT + (number % PORTS) as u16
    }

    /// How many of the first so many packets go to a port.
    pub(crate) fn to_port(written: u32, port: u16) -> u64 {
        let index = u32::from(port - FIRST_PORT);
        u64::from(written / PORTS) + u64::from(written % PORTS > index)
    }

    /// The number of the packet that came from this address.
    pub(crate) fn number(source: &str) -> Option<u32> {
        let address: std::net::Ipv4Addr = source.parse().ok()?;
        Some(address.to_bits() & 0x00ff_ffff)
    }

    pub(crate) fn written(&self) -> u32 {
        self.written
    }

    /// Writes so many packets, all of this moment.
    pub(crate) fn write(&mut self, count: u32) -> io::Result<()> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(io::Error::other)?;
        self.buffer.clear();
        for number in self.written..self.written + count {
            self.push(now, number);
        }
        self.written += count;
        self.pipe.write_all(&self.buffer)
    }

    /// UDP without payload from 10.x.y.z, which is the number, to 192.0.2.1.
    fn push(&mut self, now: Duration, number: u32) {
        const LENGTH: u32 = 28;
        let out = &mut self.buffer;
        for field in [now.as_secs() as u32, now.subsec_nanos(), LENGTH, LENGTH] {
            out.extend(field.to_le_bytes());
        }
        out.extend([0x45, 0, 0, LENGTH as u8, 0, 0, 0, 0, 64, 17, 0, 0]);
        out.extend((0x0a00_0000 | number).to_be_bytes());
        out.extend([192, 0, 2, 1]);
        out.extend(40_000u16.to_be_bytes());
        out.extend(Self::port(number).to_be_bytes());
        out.extend([0, 8, 0, 0]);
    }

    /// Writes at an even pace.
    pub(crate) fn write_for(&mut self, rate: u32, time: Duration) -> io::Result<()> {
        let begun = Instant::now();
        let wanted = u64::from(rate) * time.as_millis() as u64 / 1000;
        let first = u64::from(self.written);
        loop {
            let due =
                (u64::from(rate) * begun.elapsed().as_micros() as u64 / 1_000_000).min(wanted);
            let done = u64::from(self.written) - first;
            if done == wanted {
                return Ok(());
            }
            self.write((due - done) as u32)?;
            // The pace of the pipe's reader, which polls; the rate does not depend on it.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
