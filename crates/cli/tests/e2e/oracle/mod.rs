//! The flows are what passed: an oracle for the probes.
//!
//! While the agents watch, dumpcap captures on the same devices; tshark, which shares no code with
//! Palomar, says what is in the captures, and the flows must say the same. Without aggregation that
//! is packet for packet, with it the sums of each connection; drops are always told one by one.

mod capture;
mod drops;
mod packet;
mod prepare;
mod raw;
mod sums;
mod told;
mod traffic;
mod tshark;
mod vanish;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use testbed::{Cluster, Spec, wait};

use self::{
    capture::Capture,
    packet::{Device, Packet, Tuple, Way, must_agree},
    told::Told,
    tshark::Captured,
};
use crate::{Rule, observed, palomar};

pub(crate) const RULES: &[Rule] = &[
    (
        "without_aggregation_flows_are_packet_for_packet_what_tshark_reads_in_a_capture",
        packets,
    ),
    (
        "aggregated_flows_sum_up_to_what_tshark_reads_in_a_capture",
        sums::agree,
    ),
    (
        "each_packet_that_is_seen_to_vanish_is_told_as_dropped_once_with_its_reason",
        drops::agree,
    ),
];

/// The VXLAN device.
const TUNNEL: &str = "tunnel0";
/// Marks before and after what is compared.
const BEGIN: u16 = 7998;
const END: u16 = 7999;
/// How long flows and captures may take to be complete: seconds only when all processors are busy.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long one mark may take until all devices show it, before another is sent.
const MARK_TIMEOUT: Duration = Duration::from_secs(1);
/// How many marks are sent at most.
const MARKS: usize = 20;

/// What the two witnesses say of the same time.
struct Testimony {
    captured: Vec<Captured>,
    told: Vec<Told>,
}

impl Testimony {
    /// Runs `traffic` on a cluster with agents that do not aggregate.
    fn take(has_tunnel: bool, traffic: impl FnOnce(&Cluster) -> Result<()>) -> Result<Self> {
        let mut cluster = cluster(has_tunnel)?;
        let arguments = ["--ring-capacity", observed::ALL, "--aggregation", "none"];
        cluster.start_agents_with(Path::new(palomar::BINARY), &arguments)?;
        Self::of(&cluster, has_tunnel, traffic)
            .with_context(|| cluster.last_words())
            .map_err(observed::last_words_last)
    }

    fn of(
        cluster: &Cluster,
        has_tunnel: bool,
        traffic: impl FnOnce(&Cluster) -> Result<()>,
    ) -> Result<Self> {
        let captures = capture_all(cluster, has_tunnel)?;
        traffic(cluster)?;
        let frames = traffic::mark(cluster, END, "the end", has_tunnel)?;
        let captured = end_all(captures, frames)?;
        let mut told = Vec::new();
        for socket in observed::agent_sockets(cluster) {
            told.extend(told_up_to_the_mark(&socket, frames)?);
        }
        Ok(Self {
            captured: between_marks(captured, |it| (it.packet.time_ns, it.packet.tuple)),
            told: between_marks(told, |it| (it.time_ns(), it.tuple())),
        })
    }

    fn packets(&self) -> (Vec<Packet>, Vec<Packet>) {
        let captured = self.captured.iter().map(|it| it.packet.clone());
        let told = self.told.iter().filter_map(|it| match it {
            Told::Passed { packet, .. } => Some(packet.clone()),
            Told::Dropped { .. } => None,
        });
        (captured.collect(), told.collect())
    }
}

/// What an agent tells, once it has told all frames of the last mark.
fn told_up_to_the_mark(socket: &Path, frames: usize) -> Result<Vec<Told>> {
    wait::until("flows of the last mark", TIMEOUT, || {
        let responses = palomar::observe(socket, &["--last", observed::ALL, "--detail"])?;
        let told = told::read(&responses)?;
        let marks = told.iter().filter(|it| it.tuple().has_port(END)).count();
        Ok((marks >= frames).then_some(told))
    })
}

/// A cluster in which frames are packets.
fn cluster(has_tunnel: bool) -> Result<Cluster> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    if has_tunnel {
        prepare::tunnel(&cluster)?;
    }
    prepare::one_segment_per_packet(&cluster)?;
    Ok(cluster)
}

/// Starts a capture on each node and waits until all devices are captured.
fn capture_all(cluster: &Cluster, has_tunnel: bool) -> Result<Vec<Capture>> {
    let nodes = cluster.nodes().iter();
    let captures: Vec<Capture> = nodes
        .map(|node| Capture::start(cluster, node))
        .collect::<Result<_>>()?;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let text = format!("beginning {attempt};");
        let frames = traffic::mark(cluster, BEGIN, &text, has_tunnel)?;
        let seen = captures
            .iter()
            .try_for_each(|it| it.wait_for(&text, frames, MARK_TIMEOUT));
        if seen.is_ok() || attempt == MARKS {
            return seen.map(|()| captures);
        }
    }
}

/// Ends the captures once each has all frames of the last mark.
fn end_all(captures: Vec<Capture>, frames: usize) -> Result<Vec<Captured>> {
    let mut all = Vec::new();
    for capture in captures {
        capture.wait_for("the end", frames, TIMEOUT)?;
        all.extend(capture.end()?);
    }
    Ok(all)
}

/// Those after the last mark of the beginning and before the first of the end.
fn between_marks<T>(all: Vec<T>, facts: impl Fn(&T) -> (i64, Tuple)) -> Vec<T> {
    let times = |port| {
        let marks = all.iter().map(&facts).filter(move |it| it.1.has_port(port));
        marks.map(|(time_ns, _)| time_ns)
    };
    let begin = times(BEGIN).max().unwrap_or(i64::MAX);
    let end = times(END).min().unwrap_or(i64::MIN);
    let mut all = all;
    all.retain(|it| (begin + 1..end).contains(&facts(it).0));
    all
}

fn packets() -> Result<()> {
    let testimony = Testimony::take(true, traffic::run)?;
    let (captured, told) = testimony.packets();
    let compared = must_agree(&captured, &told)?;
    ensure!(compared >= traffic::AT_LEAST, "only {compared} packets");
    drops::must_be(
        &testimony.told,
        &drops::lost_on_the_way(&testimony.captured),
    )?;
    retransmits(&testimony)
}

/// What was sent again according to the capture, the flows tell too.
fn retransmits(testimony: &Testimony) -> Result<()> {
    let mut sent: BTreeMap<Tuple, u32> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for Captured { packet, segment } in &testimony.captured {
        let place = &packet.place;
        let is_sent = place.device == Device::Pod && place.way == Way::In;
        if let Some(segment) = *segment
            && is_sent
            && segment.is_worth_sending_again()
            && !seen.insert((packet.tuple, segment))
        {
            *sent.entry(packet.tuple).or_default() += 1;
        }
    }
    // On a slow day there may be others.
    let lossy = sent.keys().filter(|it| it.has_port(traffic::LOSSY)).count();
    ensure!(lossy == 2, "{sent:?}, expected one segment per IP version");
    let mut told: BTreeMap<Tuple, u32> = BTreeMap::new();
    for it in &testimony.told {
        if let Told::Passed { packet, detail } = it
            && detail.tcp_retransmits > 0
        {
            // Whichever direction's packet comes next takes the count.
            let tuple = packet.tuple;
            let sender = if sent.contains_key(&tuple) {
                tuple
            } else {
                tuple.reversed()
            };
            *told.entry(sender).or_default() += detail.tcp_retransmits;
        }
    }
    ensure!(sent == told, "sent again {sent:?}, told {told:?}");
    Ok(())
}
