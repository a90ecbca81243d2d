//! Flows as a test looks at them: the few facts that decide whether one is right.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, Result, bail, ensure};
use flow_api::{
    flow::{DropReason, Flow, TcpFlags, TrafficDirection, Verdict, layer4::Protocol},
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
};

/// Event types (`event_type.type`): a packet was dropped, or seen at a trace point.
const DROP: i32 = 1;
const TRACE: i32 = 4;

/// Where a packet was seen.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Point {
    Dropped,
    FromEndpoint,
    FromNetwork,
    FromStack,
    ToEndpoint,
    ToNetwork,
    ToStack,
}

/// All that must be right about one packet seen at one place. Equal packets seen twice are equal.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Sighting {
    pub(crate) node: String,
    pub(crate) point: Point,
    pub(crate) source: SocketAddr,
    pub(crate) source_pod: String,
    pub(crate) destination: SocketAddr,
    pub(crate) destination_pod: String,
    pub(crate) verdict: &'static str,
    pub(crate) direction: &'static str,
    pub(crate) is_reply: Option<bool>,
    /// The flags of a TCP segment, as in `PSH ACK`; empty for UDP.
    pub(crate) flags: String,
    /// The drop reason and the kernel's own name for it, as in `POLICY_DENIED NETFILTER_DROP`.
    pub(crate) reason: String,
}

/// Sightings and how often each was made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen(BTreeMap<Sighting, usize>);

impl Seen {
    /// Adds the flows among `responses`; anything else was not asked for.
    pub(crate) fn extend(&mut self, responses: Vec<GetFlowsResponse>) -> Result<()> {
        for response in responses {
            match &response.response_types {
                Some(ResponseTypes::Flow(flow)) => self.add(sighting(&response, flow)?, 1),
                other => bail!("unexpected response {other:?}"),
            }
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, sighting: Sighting, times: usize) {
        *self.0.entry(sighting).or_default() += times;
    }

    /// How many there are in all.
    pub(crate) fn len(&self) -> usize {
        self.0.values().sum()
    }

    /// Those that are `wanted`.
    pub(crate) fn only(&self, wanted: impl Fn(&Sighting) -> bool) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(it, _)| wanted(it))
                .map(|(it, n)| (it.clone(), *n))
                .collect(),
        )
    }

    /// The sightings, each with its count.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Sighting, usize)> {
        self.0.iter().map(|(sighting, times)| (sighting, *times))
    }

    /// Fails with the first differences unless this is exactly `expected`.
    pub(crate) fn must_be(&self, expected: &Self) -> Result<()> {
        let missing = expected.0.keys().filter(|it| !self.0.contains_key(it));
        let differences: Vec<String> = self
            .0
            .keys()
            .chain(missing)
            .map(|it| (it, self.times(it), expected.times(it)))
            .filter(|(_, seen, expected)| seen != expected)
            .map(|(it, seen, expected)| format!("\n  seen {seen}, expected {expected}: {it}"))
            .collect();
        ensure!(
            differences.is_empty(),
            "not what passed, {} differences:{}",
            differences.len(),
            differences[..differences.len().min(SHOWN)].concat()
        );
        Ok(())
    }

    fn times(&self, sighting: &Sighting) -> usize {
        self.0.get(sighting).copied().unwrap_or_default()
    }
}

/// Differences that are shown: enough to see what they have in common.
const SHOWN: usize = 20;

impl fmt::Display for Sighting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} {:?} {} ({}) -> {} ({}) {} {} reply={:?} {} {}",
            self.node,
            self.point,
            self.source,
            self.source_pod,
            self.destination,
            self.destination_pod,
            self.verdict,
            self.direction,
            self.is_reply,
            self.flags,
            self.reason
        )
    }
}

fn sighting(response: &GetFlowsResponse, flow: &Flow) -> Result<Sighting> {
    ensure!(
        response.node_name == flow.node_name,
        "node_name {:?} of the response, {:?} of its flow",
        response.node_name,
        flow.node_name
    );
    ensure!(
        flow.time.is_some() && flow.time == response.time,
        "times of response and flow differ"
    );
    let (source_port, destination_port, flags) = ports(flow)?;
    let ip = flow.ip.as_ref().context("a flow without IP addresses")?;
    let pod = |endpoint: &Option<flow_api::flow::Endpoint>| {
        endpoint
            .as_ref()
            .map(|it| format!("{}/{}", it.namespace, it.pod_name))
            .unwrap_or_default()
    };
    Ok(Sighting {
        // Without the cluster in front.
        node: flow
            .node_name
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned(),
        point: point(flow)?,
        source: SocketAddr::new(ip.source.parse::<IpAddr>()?, source_port),
        source_pod: pod(&flow.source),
        destination: SocketAddr::new(ip.destination.parse::<IpAddr>()?, destination_port),
        destination_pod: pod(&flow.destination),
        verdict: Verdict::try_from(flow.verdict)?.as_str_name(),
        direction: TrafficDirection::try_from(flow.traffic_direction)?.as_str_name(),
        is_reply: flow.is_reply,
        flags,
        reason: reason(flow)?,
    })
}

fn point(flow: &Flow) -> Result<Point> {
    let event = flow
        .event_type
        .as_ref()
        .context("a flow without an event type")?;
    Ok(match (event.r#type, event.sub_type) {
        (DROP, _) => Point::Dropped,
        (TRACE, 0) => Point::ToEndpoint,
        (TRACE, 3) => Point::ToStack,
        (TRACE, 5) => Point::FromEndpoint,
        (TRACE, 8) => Point::FromStack,
        (TRACE, 10) => Point::FromNetwork,
        (TRACE, 11) => Point::ToNetwork,
        other => bail!("unexpected event type {other:?}"),
    })
}

fn ports(flow: &Flow) -> Result<(u16, u16, String)> {
    let protocol = flow.l4.as_ref().and_then(|it| it.protocol.as_ref());
    let (source, destination, flags) = match protocol.context("a flow without ports")? {
        Protocol::Tcp(tcp) => (
            tcp.source_port,
            tcp.destination_port,
            names(tcp.flags.as_ref()),
        ),
        Protocol::Udp(udp) => (udp.source_port, udp.destination_port, String::new()),
        other => bail!("neither TCP nor UDP: {other:?}"),
    };
    Ok((source.try_into()?, destination.try_into()?, flags))
}

fn names(flags: Option<&TcpFlags>) -> String {
    let Some(flags) = flags else {
        return String::new();
    };
    let all = [
        (flags.syn, "SYN"),
        (flags.fin, "FIN"),
        (flags.rst, "RST"),
        (flags.psh, "PSH"),
        (flags.ack, "ACK"),
    ];
    all.into_iter()
        .filter(|(set, _)| *set)
        .map(|(_, name)| name)
        .collect::<Vec<_>>()
        .join(" ")
}

#[expect(
    deprecated,
    reason = "the kernel's own name for a drop has no other field"
)]
fn reason(flow: &Flow) -> Result<String> {
    if Verdict::try_from(flow.verdict)? != Verdict::Dropped {
        return Ok(String::new());
    }
    let reason = DropReason::try_from(flow.drop_reason_desc)?.as_str_name();
    let kernel = flow
        .summary
        .split(|c: char| !c.is_ascii_uppercase() && c != '_')
        .find(|word| word.contains('_'))
        .unwrap_or_default();
    Ok(format!("{reason} {kernel}"))
}
