//! How TCP connections begin and end.

use flow_filter::TcpFlags;
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
        if !passed(flow) {
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
            values.push(match flow.ip_version() {
                1 => "IPv4",
                2 => "IPv6",
                _ => "IP_NOT_USED",
            });
            one(&mut self.flags, values);
        }
    }
}
