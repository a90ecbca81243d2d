//! What agents tell, as packets.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};
use flow_api::{
    extension,
    flow::{Flow, Layer4, TraceObservationPoint, Verdict, layer4::Protocol, tunnel},
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
    palomar::FlowDetail,
};

use super::packet::{Device, Mark, Packet, Place, Transport, Tunnel, Tuple, Way};

/// What a flow says.
pub(crate) enum Told {
    /// A packet passed; or, at the end, only what is left of a connection.
    Passed {
        packet: Packet,
        /// Boxed, for it is large.
        detail: Box<FlowDetail>,
    },
    Dropped {
        node: String,
        time_ns: i64,
        tuple: Tuple,
        /// The kernel's.
        reason: String,
    },
}

impl Told {
    pub(crate) fn time_ns(&self) -> i64 {
        match self {
            Self::Passed { packet, .. } => packet.time_ns,
            Self::Dropped { time_ns, .. } => *time_ns,
        }
    }

    pub(crate) fn tuple(&self) -> Tuple {
        match self {
            Self::Passed { packet, .. } => packet.tuple,
            Self::Dropped { tuple, .. } => *tuple,
        }
    }
}

/// The flows of packets; anything else but the messages in them, such as a report of a loss, is an
/// error.
pub(crate) fn read(responses: &[GetFlowsResponse]) -> Result<Vec<Told>> {
    responses
        .iter()
        .filter(|response| !is_message(response))
        .map(|response| match &response.response_types {
            Some(ResponseTypes::Flow(flow)) => told(flow).with_context(|| format!("{flow:?}")),
            other => bail!("not a flow: {other:?}"),
        })
        .collect()
}

fn is_message(response: &GetFlowsResponse) -> bool {
    matches!(&response.response_types, Some(ResponseTypes::Flow(flow)) if flow.l7.is_some())
}

fn told(flow: &Flow) -> Result<Told> {
    let detail = extension::flow_detail(flow.extensions.as_ref()).context("no detail")?;
    let time = flow.time.as_ref().context("no time")?;
    let time_ns = time.seconds * 1_000_000_000 + i64::from(time.nanos);
    let ip = flow.ip.as_ref().context("no addresses")?;
    let (transport, mark) = layer4(flow.l4.as_ref())?;
    let tuple = Tuple {
        source: ip.source.parse()?,
        destination: ip.destination.parse()?,
        transport,
    };
    if flow.verdict() == Verdict::Dropped {
        return Ok(Told::Dropped {
            node: flow.node_name.clone(),
            time_ns,
            tuple,
            reason: detail.drop.context("a drop without a reason")?.reason,
        });
    }
    let (device, way) = point(flow.trace_observation_point())?;
    let packet = Packet {
        place: Place {
            node: flow.node_name.clone(),
            device,
            way,
        },
        interface: flow.interface.clone().unwrap_or_default().name,
        time_ns,
        tuple,
        tunnel: flow.tunnel.as_ref().map(around).transpose()?,
        mark,
        bytes: detail.forward.unwrap_or_default().bytes,
    };
    Ok(Told::Passed {
        packet,
        detail: Box::new(detail),
    })
}

fn point(point: TraceObservationPoint) -> Result<(Device, Way)> {
    use TraceObservationPoint as Point;
    Ok(match point {
        Point::FromEndpoint => (Device::Pod, Way::In),
        Point::ToEndpoint => (Device::Pod, Way::Out),
        Point::ToHost | Point::ToStack => (Device::Bridge, Way::In),
        Point::FromHost | Point::FromStack => (Device::Bridge, Way::Out),
        Point::FromNetwork => (Device::Network, Way::In),
        Point::ToNetwork => (Device::Network, Way::Out),
        Point::FromOverlay => (Device::Overlay, Way::In),
        Point::ToOverlay => (Device::Overlay, Way::Out),
        other => bail!("unexpected point {other:?}"),
    })
}

fn layer4(layer4: Option<&Layer4>) -> Result<(Transport, Mark)> {
    let Some(protocol) = layer4.and_then(|it| it.protocol.as_ref()) else {
        return Ok((Transport::Other, Mark::None));
    };
    Ok(match protocol {
        Protocol::Tcp(tcp) => {
            let flags = tcp.flags.unwrap_or_default();
            let bits = [
                flags.fin, flags.syn, flags.rst, flags.psh, flags.ack, flags.urg, flags.ece,
                flags.cwr,
            ];
            let bits = (0..)
                .zip(bits)
                .map(|(bit, set)| u16::from(set) << bit)
                .sum();
            let ports = (
                tcp.source_port.try_into()?,
                tcp.destination_port.try_into()?,
            );
            (Transport::Tcp(ports.0, ports.1), Mark::Flags(bits))
        }
        Protocol::Udp(udp) => {
            let ports = (
                udp.source_port.try_into()?,
                udp.destination_port.try_into()?,
            );
            (Transport::Udp(ports.0, ports.1), Mark::None)
        }
        Protocol::IcmPv4(icmp) => (Transport::Icmp, message(icmp.r#type, icmp.code)?),
        Protocol::IcmPv6(icmp) => (Transport::Icmpv6, message(icmp.r#type, icmp.code)?),
        _ => (Transport::Other, Mark::None),
    })
}

fn message(kind: u32, code: u32) -> Result<Mark> {
    Ok(Mark::Message {
        kind: kind.try_into()?,
        code: code.try_into()?,
    })
}

fn around(tunnel: &flow_api::flow::Tunnel) -> Result<Tunnel> {
    if tunnel.protocol() != tunnel::Protocol::Vxlan {
        bail!("not a VXLAN tunnel");
    }
    let ip = tunnel.ip.as_ref().context("a tunnel without addresses")?;
    let (transport, _) = layer4(tunnel.l4.as_ref())?;
    let address = |text: &str| text.parse::<IpAddr>();
    Ok(Tunnel {
        source: address(&ip.source)?,
        destination: address(&ip.destination)?,
        ports: transport.ports().context("a tunnel without ports")?,
        network: tunnel.vni,
    })
}
