//! How TCP connections begin and end.

use flow_api::flow::IpVersion;
use flow_filter::{Side, TcpFlags};
use prometheus_client::metrics::counter::Counter;

use super::{Contexts, Family, Making, Measured, Values, one, ports::passed};

#[derive(Debug)]
pub(crate) struct Tcp {
    pub(super) flags: Family<Counter>,
}

const FIN: TcpFlags = TcpFlags::from_bits(1);
const SYN: TcpFlags = TcpFlags::from_bits(1 << 1);
const RST: TcpFlags = TcpFlags::from_bits(1 << 2);
const SYN_ACK: TcpFlags = TcpFlags::from_bits(1 << 1 | 1 << 4);

impl Tcp {
    pub(super) fn new(making: &Making<'_>) -> Self {
        let labels = ["flag", "family"];
        Self {
            flags: making.counters("hubble_tcp_flags", "TCP flag occurrences", &labels),
        }
    }

    pub(super) fn count(&mut self, flow: &impl Measured, contexts: &Contexts, values: &mut Values) {
        let Some(flags) = flow.tcp_flags() else {
            return;
        };
        if !passed(flow) || flow.ip(Side::Source).is_none() {
            return;
        }
        let is_syn = flags.contains(SYN);
        let is_syn_ack = flags.contains(SYN_ACK);
        let counted = [
            ("FIN", flags.contains(FIN)),
            ("SYN-ACK", is_syn_ack),
            ("SYN", is_syn && !is_syn_ack),
            ("RST", flags.contains(RST)),
        ];
        if counted.iter().all(|(_, is_set)| !is_set) {
            return;
        }
        contexts.put(flow, values);
        let begin = values.len();
        for (flag, _) in counted.into_iter().filter(|(_, is_set)| *is_set) {
            values.truncate(begin);
            values.push(flag);
            put_family(flow, values);
            one(&mut self.flags, values);
        }
    }
}

/// Which version of IP carried the packet.
pub(super) fn put_family(flow: &impl Measured, values: &mut Values) {
    match IpVersion::try_from(flow.ip_version()) {
        Ok(version) => values.push(version.as_str_name()),
        Err(number) => values.print(number.0),
    }
}
