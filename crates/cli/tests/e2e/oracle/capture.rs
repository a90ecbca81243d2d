//! The other witness: captures by dumpcap on the devices that the probes watch.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testbed::{Cluster, Node, wait};

use super::{packet::Device, tshark, tshark::Captured};

/// How long dumpcap may take to write what it has, or to end.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A capture on all devices of a node; killed on drop.
pub(crate) struct Capture {
    child: Child,
    node: String,
    file: PathBuf,
    log: PathBuf,
}

impl Capture {
    /// Starts the capture. Packets that come before it is [ready](Capture::wait_for) may be missing.
    pub(crate) fn start(cluster: &Cluster, node: &Node) -> Result<Self> {
        let path = |kind| cluster.directory().join(format!("{}.{kind}", node.name()));
        let (file, log) = (path("pcapng"), path("dumpcap"));
        let mut command = Command::new("dumpcap");
        command.args(["-q", "-p", "-w"]).arg(&file);
        for device in devices(node)? {
            // One capture for each way: frames alone do not tell.
            for way in ["inbound", "outbound"] {
                command.args(["-i", &device, "-f", way]);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        Ok(Self {
            child: node.spawn(command)?,
            node: node.name().to_owned(),
            file,
            log,
        })
    }

    /// How many frames with this text have been written.
    pub(crate) fn count(&self, text: &str) -> Result<usize> {
        let written = match fs::read(&self.file) {
            // Not made yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            written => written?,
        };
        let found = written
            .windows(text.len())
            .filter(|it| *it == text.as_bytes());
        Ok(found.count())
    }

    /// Waits until so many frames with this text have been written.
    pub(crate) fn wait_for(&self, text: &str, frames: usize, timeout: Duration) -> Result<()> {
        let what = format!(
            "{frames} frames with {text:?} in the capture of {}",
            self.node
        );
        wait::until(&what, timeout, || {
            Ok((self.count(text)? >= frames).then_some(()))
        })
        .with_context(|| self.said())
    }

    /// Ends the capture, from which nothing must have been lost. Returns what tshark reads in it.
    pub(crate) fn end(mut self) -> Result<Vec<Captured>> {
        kill(Pid::from_raw(self.child.id().try_into()?), Signal::SIGINT)?;
        wait::until("the end of dumpcap", TIMEOUT, || {
            Ok(self.child.try_wait()?)
        })?;
        let said = self.said();
        let counts: Vec<&str> = said
            .lines()
            .filter_map(|line| {
                let counts = line.strip_prefix("Packets received/dropped on interface")?;
                counts.split_once("': ")?.1.split(' ').next()
            })
            .collect();
        ensure!(!counts.is_empty(), "dumpcap said no counts: {said}");
        ensure!(
            counts.iter().all(|it| it.ends_with("/0")),
            "dumpcap lost frames: {said}"
        );
        tshark::read(&self.file, &self.node)
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Both fail only for a child that has ended and been reaped already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The devices of a node that the probes watch.
pub(crate) fn devices(node: &Node) -> Result<Vec<String>> {
    let table = node
        .namespace()
        .run(|| Ok(fs::read_to_string(Path::new("/proc/thread-self/net/dev"))?))?;
    Ok(table
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim()))
        .filter(|name| kind(name).is_some())
        .map(str::to_owned)
        .collect())
}

/// The kind of a device by the name that the cluster gives it.
pub(crate) fn kind(name: &str) -> Option<Device> {
    match name {
        "cni0" => Some(Device::Bridge),
        "eth0" => Some(Device::Network),
        super::TUNNEL => Some(Device::Overlay),
        _ => name.starts_with("veth").then_some(Device::Pod),
    }
}
