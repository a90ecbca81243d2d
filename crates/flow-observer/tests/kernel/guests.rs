//! Others on the same devices, and devices that come and go.

use std::{
    fs,
    io::Write as _,
    net::UdpSocket,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use flow_observer::source::probes::ProbeConfig;
use nix::{libc, net::if_::if_nametoindex};
use probe_events::TracePoint;
use testbed::{Cluster, Pod, Spec, bind};

use crate::{Rule, watch};

pub(crate) const RULES: &[Rule] = &[
    (
        "programs_of_others_keep_their_say_and_their_order",
        neighbours,
    ),
    ("pods_that_come_and_go_leave_nothing_behind", churn),
];

const PORT: u16 = 7400;

/// The index of the node's device that leads to `pod`.
fn device_of(pod: &Pod) -> Result<u32> {
    let output = Command::new("ip")
        .args(["-n", pod.namespace().name(), "-o", "link", "show", "eth0"])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let index = text
        .split("@if")
        .nth(1)
        .and_then(|rest| rest.split(':').next())
        .context("no peer")?;
    Ok(index.parse()?)
}

/// One program before ours passes everything on, one after it drops everything.
fn neighbours() -> Result<()> {
    const NEXT: i32 = -1;
    const DROP: i32 = 2;
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let (client, server) = (cluster.pod("shop/web-0")?, cluster.pod("shop/cart-0")?);
    let node = cluster.node(client.node())?;
    let index = device_of(client)?;

    let passes = program(NEXT)?;
    let _before = node.namespace().run(|| link(&passes, index))?;
    let mut watch = watch::start(node, &ProbeConfig::default())?;
    let send = || {
        client.run(|| {
            let socket = UdpSocket::bind((client.ipv4(), 0))?;
            socket.send_to(&[0; 8], (server.ipv4(), PORT))?;
            Ok(socket.local_addr()?)
        })
    };
    let first = send()?;
    watch.settle()?;
    let seen = |watch: &watch::Watch, point, from: std::net::SocketAddr| {
        watch.traces(point, from.ip(), from.port()).len()
    };
    ensure!(seen(&watch, TracePoint::FromEndpoint, first) == 1);
    ensure!(seen(&watch, TracePoint::ToEndpoint, first) == 1);

    // Comes later, and last in line: it drops what we have seen and passed on.
    let drops = program(DROP)?;
    let after = node.namespace().run(|| link(&drops, index))?;
    let second = send()?;
    watch.settle()?;
    ensure!(seen(&watch, TracePoint::FromEndpoint, second) == 1);
    ensure!(
        seen(&watch, TracePoint::ToEndpoint, second) == 0,
        "it must be dropped"
    );

    // Ours go, theirs stay.
    watch.end()?;
    drop(watch);
    let answered = client.run(|| {
        let socket = UdpSocket::bind((client.ipv4(), 0))?;
        let listener = server.run(|| Ok(bind::udp((server.ipv4(), PORT))?))?;
        listener.set_read_timeout(Some(Duration::from_millis(300)))?;
        socket.send_to(&[0; 8], (server.ipv4(), PORT))?;
        Ok(listener.recv_from(&mut [0; 8]).is_ok())
    })?;
    ensure!(!answered, "the other program drops still");
    drop(after);
    Ok(())
}

/// `union bpf_attr` as far as it is used here.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    words: [u64; 16],
}

/// Loads a classifier that returns `verdict` for every packet.
fn program(verdict: i32) -> Result<OwnedFd> {
    const PROG_LOAD: libc::c_int = 5;
    const SCHED_CLS: u64 = 3;
    const INSTRUCTIONS: u64 = 2;
    // mov r0, verdict; exit
    let code = [0xb7 | (u64::from(verdict as u32) << 32), 0x95];
    let licence = c"GPL";
    let mut attributes = Attributes::default();
    attributes.words[0] = SCHED_CLS | INSTRUCTIONS << 32;
    attributes.words[1] = code.as_ptr() as u64;
    attributes.words[2] = licence.as_ptr() as u64;
    bpf(PROG_LOAD, &mut attributes).context("cannot load a program")
}

/// Attaches a program behind those that are there, to what comes in through a device.
fn link(program: &OwnedFd, index: u32) -> Result<OwnedFd> {
    const LINK_CREATE: libc::c_int = 28;
    const TCX_INGRESS: u64 = 46;
    let mut attributes = Attributes::default();
    attributes.words[0] = program.as_raw_fd() as u64 | u64::from(index) << 32;
    attributes.words[1] = TCX_INGRESS;
    bpf(LINK_CREATE, &mut attributes).context("cannot attach a program")
}

#[expect(unsafe_code, reason = "the library of the probes loads objects only")]
fn bpf(command: libc::c_int, attributes: &mut Attributes) -> Result<OwnedFd> {
    // SAFETY: the attributes are as long as they are said to be, and what they point to lives.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<Attributes>(),
        )
    };
    ensure!(result >= 0, std::io::Error::last_os_error());
    // SAFETY: just made, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(result as i32) })
}

/// Enough for some ten seconds at fifty a second, which is about as fast as a kernel takes devices
/// away.
const DEVICES: usize = 500;

fn churn() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let node = cluster.node("node-1")?;
    let mut watch = watch::start(node, &ProbeConfig::default())?;
    watch.settle()?;
    let before = descriptors()?;
    let ip = |arguments: &str| -> Result<std::process::Child> {
        let mut command = Command::new("ip");
        command.args(arguments.split(' '));
        node.spawn(command)
    };
    let mut batch = tempfile::NamedTempFile::new()?;
    for number in 0..DEVICES {
        writeln!(
            batch,
            "link add churn{number} type veth peer name peer{number}"
        )?;
        writeln!(batch, "link set churn{number} up")?;
        writeln!(batch, "link del churn{number}")?;
    }
    let began = Instant::now();
    let mut child = ip(&format!("-batch {}", batch.path().display()))?;
    let status = loop {
        watch.poll()?;
        if let Some(status) = child.try_wait()? {
            break status;
        }
    };
    ensure!(status.success(), "ip -batch ended with {status}");
    eprintln!("{DEVICES} devices in {:?}", began.elapsed());
    // A device that stays is watched, so the attacher is alive.
    ip("link add alive type veth peer name other")?.wait()?;
    let index = node.namespace().run(|| Ok(if_nametoindex("alive")?))?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while !watch
        .probes
        .attacher
        .devices()
        .load()
        .names
        .contains_key(&index)
    {
        ensure!(
            Instant::now() < deadline,
            "the attacher does not look any more"
        );
        watch.settle()?;
    }
    ip("link del alive")?.wait()?;
    std::thread::sleep(Duration::from_millis(500));
    watch.settle()?;
    let after = descriptors()?;
    ensure!(
        after <= before + 2,
        "{before} descriptors before, {after} after {DEVICES} devices"
    );
    Ok(())
}

/// Open files of this process: links, programs and maps are among them.
fn descriptors() -> Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}
