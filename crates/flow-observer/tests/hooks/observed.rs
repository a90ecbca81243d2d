//! A cluster with the probes of its first node, and what the optional programs said.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flow_observer::{
    decode::{Hook, SocketEvent, TcpEvent, decode_hook},
    source::{
        RawEvent, Source as _,
        probes::{self, ProbeConfig, Probes},
    },
};
use testbed::{Cluster, Spec, wait};

/// Records that one poll may yield; any number does.
const LIMIT: usize = 4096;

/// How long a record may take to be seen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `test` on a cluster of two nodes, on a thread in the first, with that node's probes.
pub(crate) fn with_probes(
    test: impl FnOnce(&Cluster, &mut Probes) -> Result<()> + Send,
) -> Result<()> {
    with_some(ProbeConfig::default(), test)
}

/// As [`with_probes`], with less of the optional.
pub(crate) fn with_some(
    config: ProbeConfig,
    test: impl FnOnce(&Cluster, &mut Probes) -> Result<()> + Send,
) -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let node = cluster.node("node-1")?.clone();
    node.namespace().run(|| {
        let mut probes = probes::start(&config)?;
        test(&cluster, &mut probes)
    })
}

/// Fails when something optional that the test needs is off.
pub(crate) fn must_be_on(probes: &Probes, name: &str) -> Result<()> {
    let hook = probes.hooks.iter().find(|hook| hook.name == name);
    let hook = hook.with_context(|| format!("no {name} among {:?}", probes.hooks))?;
    ensure!(hook.off.is_none(), "{name} is off: {:?}", hook.off);
    Ok(())
}

/// All that the optional programs said up to now: a record is in its ring before the call that it
/// is about returns.
pub(crate) fn said(probes: &mut Probes) -> Result<Vec<Hook>> {
    let mut hooks = Vec::new();
    let mut undecodable = None;
    loop {
        let mut events = 0;
        probes.reader.poll(Duration::ZERO, LIMIT, &mut |event| {
            events += 1;
            if let RawEvent::Hook(bytes) = event {
                match decode_hook(bytes) {
                    Ok(hook) => hooks.push(hook),
                    Err(error) => undecodable = Some(error),
                }
            }
        })?;
        if let Some(error) = undecodable {
            return Err(error.into());
        }
        if events == 0 {
            return Ok(hooks);
        }
    }
}

/// What was said of a network namespace's sockets, which are so many events or more.
pub(crate) fn said_of_sockets(
    probes: &mut Probes,
    netns_cookie: u64,
    expected: usize,
) -> Result<Vec<SocketEvent>> {
    said_at_least(probes, expected, |hook| match hook {
        Hook::Socket(event) => (event.netns_cookie == netns_cookie).then_some(event),
        _ => None,
    })
}

/// What was said of a network namespace's TCP, which are so many events or more.
pub(crate) fn said_of_tcp(
    probes: &mut Probes,
    netns_cookie: u64,
    expected: usize,
) -> Result<Vec<TcpEvent>> {
    said_at_least(probes, expected, |hook| match hook {
        Hook::Tcp(event) => (event.netns_cookie == netns_cookie).then_some(event),
        _ => None,
    })
}

/// Waits until so many events are there. A record is seen only when those before it are written, and
/// another processor may still be at one of them.
fn said_at_least<T: std::fmt::Debug>(
    probes: &mut Probes,
    expected: usize,
    wanted: impl Fn(Hook) -> Option<T>,
) -> Result<Vec<T>> {
    let mut events = Vec::new();
    let told = wait::until("events of hooks", PATIENCE, || {
        events.extend(said(probes)?.into_iter().filter_map(&wanted));
        Ok((events.len() >= expected).then_some(()))
    });
    told.with_context(|| format!("told {events:?}, expected {expected}"))?;
    Ok(events)
}
