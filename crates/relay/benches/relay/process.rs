//! The relay in a process of its own, and what the kernel tells of it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use flow_api::connect::Target;
use relay::{Config, Listen, Pace, Relay};
use tokio_util::sync::CancellationToken;

use crate::peer::addresses;

const PAGE_KIB: u64 = 4;

/// What the child is told.
#[derive(Debug, Args)]
pub(crate) struct ChildOptions {
    #[arg(long)]
    peers: u32,
    #[arg(long)]
    port: u16,
    #[arg(long)]
    max_hold_ms: u64,
}

/// The child: a relay as `palomar relay` runs it, on one thread, until it is killed.
pub(crate) fn run(options: &ChildOptions) -> Result<()> {
    let pace = Pace::default();
    let runtime = pace.runtime()?;
    runtime.block_on(async {
        let config = Config {
            listen: vec!["127.0.0.1:0".parse::<Listen>()?],
            peers: addresses(options.peers, options.port)?,
            max_hold: Duration::from_millis(options.max_hold_ms),
            node_name: "relay".to_owned(),
            pace,
            ..Config::default()
        };
        let relay = Relay::bind(config).await?;
        let address = relay.addresses().first().context("no address")?;
        println!("{address}");
        Ok(relay.serve(CancellationToken::new()).await?)
    })
}

/// A process of this program that runs until this is dropped.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(arguments: &[&str], stdout: Stdio) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        Ok(Self(command.args(arguments).stdout(stdout).spawn()?))
    }

    fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0.id()))
    }

    /// Time that all its threads have run.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        self.scheduled(0)
    }

    /// Time that they could have run, and no processor was free.
    pub(crate) fn waited(&self) -> Result<Duration> {
        self.scheduled(1)
    }

    /// Of all threads the sum of what `schedstat` has in this place.
    fn scheduled(&self, place: usize) -> Result<Duration> {
        let mut sum = 0;
        for task in fs::read_dir(self.file("task"))? {
            // A thread may end meanwhile.
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            let time = text.split_whitespace().nth(place).unwrap_or("0");
            sum += time.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(sum))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A relay that runs.
pub(crate) struct Process {
    running: Running,
    pub(crate) address: Target,
    sockets: SocketMemory,
}

impl Process {
    pub(crate) fn start(peers: u32, port: u16, max_hold: Duration) -> Result<Self> {
        let sockets = SocketMemory::watch()?;
        let (peers, port) = (peers.to_string(), port.to_string());
        let max_hold = max_hold.as_millis().to_string();
        let arguments = [
            "child",
            "--peers",
            &peers,
            "--port",
            &port,
            "--max-hold-ms",
            &max_hold,
        ];
        let mut running = Running::start(&arguments, Stdio::piped())?;
        let stdout = running.0.stdout.take().context("the relay has no output")?;
        let mut address = String::new();
        BufReader::new(stdout).read_line(&mut address)?;
        let address = address.trim();
        let address = address
            .parse()
            .with_context(|| format!("the relay says {address:?}"))?;
        Ok(Self {
            running,
            address,
            sockets,
        })
    }

    /// Time that all its threads have run.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        self.running.cpu()
    }

    /// Time that they could have run, and no processor was free.
    pub(crate) fn waited(&self) -> Result<Duration> {
        self.running.waited()
    }

    /// `VmRSS` for what it has now, `VmHWM` for the most it had.
    pub(crate) fn memory_kib(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(self.running.file("status"))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .with_context(|| format!("no {field} in a process's status"))
    }

    /// The most that TCP has held since the start, of both ends of all connections.
    pub(crate) fn sockets_kib(&self) -> u64 {
        self.sockets.peak_kib.load(Ordering::Relaxed)
    }
}

/// Looks at the kernel's account of TCP again and again.
struct SocketMemory {
    peak_kib: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SocketMemory {
    fn watch() -> Result<Self> {
        let before = tcp_kib()?;
        let peak_kib = Arc::new(AtomicU64::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let (peak, over) = (Arc::clone(&peak_kib), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let kib = tcp_kib().unwrap_or_default().saturating_sub(before);
                peak.fetch_max(kib, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Ok(Self {
            peak_kib,
            is_over,
            thread: Some(thread),
        })
    }
}

impl Drop for SocketMemory {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn tcp_kib() -> Result<u64> {
    let text = fs::read_to_string("/proc/net/sockstat")?;
    let line = text.lines().find(|line| line.starts_with("TCP:"));
    let pages = line.and_then(|line| line.split(" mem ").nth(1)?.trim().parse::<u64>().ok());
    Ok(pages.context("no memory of TCP in sockstat")? * PAGE_KIB)
}

/// Two descriptors for each connection of thousands.
pub(crate) fn raise_open_files(peers: u32) -> Result<()> {
    let (_, most) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?;
    let wanted = u64::from(peers) + 1000;
    ensure!(
        wanted <= most,
        "{peers} peers need {wanted} open files, and {most} are allowed: see ulimit -n"
    );
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, most, most)?;
    Ok(())
}
