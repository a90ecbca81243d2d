//! The addresses of a record at a glance: right for nearly all, and cheap.
//!
//! What is skipped or mistaken here, as tags behind the Ethernet header, is only looked up more
//! slowly. See `decode` for what records really say.

use std::net::{Ipv4Addr, Ipv6Addr};

use probe_events::{
    DropDetail, EventHeader, FLAG_STARTS_AT_IP, KIND_DROP, KIND_EXPIRED, KIND_TRACE, TraceDetail,
};

use crate::{
    decode::cilium::{self, PacketStart, Record},
    record::Ip,
};

/// Length of an Ethernet header.
const ETHERNET: usize = 14;

/// The addresses in a record of our own probes.
pub(super) fn own(record: &[u8]) -> Option<Ip> {
    let (kind, flags) = (*record.first()?, *record.get(2)?);
    let behind = record.get(size_of::<EventHeader>()..)?;
    let detail = match kind {
        KIND_TRACE => size_of::<TraceDetail>(),
        KIND_DROP => size_of::<DropDetail>(),
        // As IPv6 has them, with those of IPv4 mapped.
        KIND_EXPIRED => {
            let address = |at| Some(Ipv6Addr::from(octets::<16>(behind, at)?).to_canonical());
            return Some(Ip {
                source: address(0)?,
                destination: address(16)?,
            });
        }
        _ => return None,
    };
    let packet = behind.get(detail..)?;
    if flags & FLAG_STARTS_AT_IP == 0 {
        ip(packet.get(ETHERNET..)?)
    } else {
        ip(packet)
    }
}

/// The addresses in a record of Cilium's datapath.
pub(super) fn cilium(record: &[u8]) -> Option<Ip> {
    // What others say has to be read with more effort.
    if !matches!(
        *record.first()?,
        cilium::TYPE_DROP | cilium::TYPE_TRACE | cilium::TYPE_POLICY_VERDICT
    ) {
        return None;
    }
    let packet = match cilium::decode(record).ok()? {
        Record::Trace(_, packet) | Record::Drop(_, packet) | Record::PolicyVerdict(_, packet) => {
            packet
        }
        _ => return None,
    };
    match packet.start {
        PacketStart::Ethernet => ip(packet.bytes.get(ETHERNET..)?),
        PacketStart::Ipv4 | PacketStart::Ipv6 => ip(packet.bytes),
    }
}

/// The addresses in an IP header.
fn ip(header: &[u8]) -> Option<Ip> {
    match header.first()? >> 4 {
        4 => Some(Ip {
            source: Ipv4Addr::from(octets::<4>(header, 12)?).into(),
            destination: Ipv4Addr::from(octets::<4>(header, 16)?).into(),
        }),
        6 => Some(Ip {
            source: Ipv6Addr::from(octets::<16>(header, 8)?).into(),
            destination: Ipv6Addr::from(octets::<16>(header, 24)?).into(),
        }),
        _ => None,
    }
}

fn octets<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, flags: u8, detail: usize, rest: &[u8]) -> Vec<u8> {
        let mut record = vec![0; size_of::<EventHeader>() + detail];
        (record[0], record[2]) = (kind, flags);
        record.extend(rest);
        record
    }

    fn v4() -> Vec<u8> {
        let mut header = vec![0x45; 12];
        header.extend([10, 0, 0, 1, 192, 0, 2, 7]);
        header
    }

    fn shown(ip: Option<Ip>) -> Option<String> {
        ip.map(|ip| format!("{} {}", ip.source, ip.destination))
    }

    #[test]
    fn the_addresses_of_each_kind_of_record_are_seen() {
        let mut v6 = vec![0x60; 8];
        v6.extend(Ipv6Addr::from_bits(1).octets());
        v6.extend(Ipv6Addr::from_bits(2).octets());
        let framed = [&[0; ETHERNET][..], &v4()].concat();
        let trace = size_of::<TraceDetail>();
        let own_v4 = own(&record(KIND_TRACE, 0, trace, &framed));
        assert_eq!(shown(own_v4).unwrap(), "10.0.0.1 192.0.2.7");
        let own_v6 = own(&record(KIND_TRACE, FLAG_STARTS_AT_IP, trace, &v6));
        assert_eq!(shown(own_v6).unwrap(), "::1 ::2");
        let drop = own(&record(KIND_DROP, 0, size_of::<DropDetail>(), &framed));
        assert_eq!(shown(drop).unwrap(), "10.0.0.1 192.0.2.7");
        let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().octets();
        let ends = [mapped, Ipv6Addr::from_bits(2).octets()].concat();
        let expired = own(&record(KIND_EXPIRED, 0, 0, &ends));
        assert_eq!(shown(expired).unwrap(), "10.0.0.1 ::2");
    }

    #[test]
    fn what_is_cut_off_or_unknown_has_none() {
        let trace = size_of::<TraceDetail>();
        let whole = record(KIND_TRACE, FLAG_STARTS_AT_IP, trace, &v4());
        assert!(own(&whole).is_some());
        for cut in 0..whole.len() {
            assert_eq!(shown(own(&whole[..cut])), None);
        }
        assert_eq!(shown(own(&record(99, 0, trace, &v4()))), None);
        assert_eq!(shown(cilium(&[])), None);
        assert_eq!(shown(cilium(&[cilium::TYPE_TRACE; 10])), None);
    }
}
