//! What the observer says about a capture.

use std::path::Path;

use anyhow::{Context as _, Result};
use flow_api::{
    flow::{Flow, TcpFlags, layer4::Protocol},
    observer::get_flows_response::ResponseTypes,
};
use flow_observer::{
    enrich::Inventory,
    offline::Offline,
    source::{SourceOptions, SourceSpec},
};

/// What tshark and the observer are to agree on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Packet {
    /// Seconds since 1970, with nine decimals.
    pub(crate) time: String,
    pub(crate) source: Option<String>,
    pub(crate) destination: Option<String>,
    /// Where the packet has ports.
    pub(crate) transport: Option<Transport>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Transport {
    /// As in `tcp`.
    pub(crate) protocol: String,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// TCP's, as header bits.
    pub(crate) flags: Option<u16>,
}

/// The flows of a capture, in order.
pub(crate) fn read(path: &Path) -> Result<Vec<Packet>> {
    let options = SourceOptions::from(SourceSpec::Pcap(path.to_owned()));
    let mut offline = Offline::open(&options, "node", Inventory::default(), false)?;
    let mut packets = Vec::new();
    while let Some(batch) = offline.next_batch()? {
        for response in batch {
            // Messages in the packets have flows of their own.
            if let Some(ResponseTypes::Flow(flow)) = response.response_types
                && flow.l7.is_none()
            {
                packets.push(packet(&flow)?);
            }
        }
    }
    Ok(packets)
}

fn packet(flow: &Flow) -> Result<Packet> {
    let time = flow.time.context("a flow without time")?;
    let address = |address: &String| Some(address.clone()).filter(|it| !it.is_empty());
    Ok(Packet {
        time: format!("{}.{:09}", time.seconds, time.nanos),
        source: flow.ip.as_ref().and_then(|ip| address(&ip.source)),
        destination: flow.ip.as_ref().and_then(|ip| address(&ip.destination)),
        transport: match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
            Some(Protocol::Tcp(tcp)) => {
                let flags = tcp.flags.as_ref().map(bits);
                Some(transport(
                    "tcp",
                    tcp.source_port,
                    tcp.destination_port,
                    flags,
                )?)
            }
            Some(Protocol::Udp(udp)) => Some(transport(
                "udp",
                udp.source_port,
                udp.destination_port,
                None,
            )?),
            Some(Protocol::Sctp(sctp)) => Some(transport(
                "sctp",
                sctp.source_port,
                sctp.destination_port,
                None,
            )?),
            _ => None,
        },
    })
}

fn transport(
    protocol: &str,
    source_port: u32,
    destination_port: u32,
    flags: Option<u16>,
) -> Result<Transport> {
    Ok(Transport {
        protocol: protocol.to_owned(),
        source_port: source_port.try_into()?,
        destination_port: destination_port.try_into()?,
        flags,
    })
}

fn bits(flags: &TcpFlags) -> u16 {
    [
        flags.fin, flags.syn, flags.rst, flags.psh, flags.ack, flags.urg, flags.ece, flags.cwr,
        flags.ns,
    ]
    .iter()
    .enumerate()
    .map(|(bit, &is_set)| u16::from(is_set) << bit)
    .sum()
}
