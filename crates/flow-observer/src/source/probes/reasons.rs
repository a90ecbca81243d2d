//! The running kernel's drop reasons: their names, and which of them are no drops.

use std::{collections::HashMap, sync::Arc};

use super::btf::{BtfError, KernelTypes};

/// Freed buffers that nobody would call dropped packets, with why. Names as in
/// include/net/dropreason-core.h, Linux 6.18.
const NOT_DROPS: &[(&str, &str)] = &[
    ("NOT_DROPPED_YET", "the packet lives on"),
    ("CONSUMED", "delivered"),
    (
        "NOT_SPECIFIED",
        "buffers of a socket that closes, consumed resets: no reason was given",
    ),
    (
        "QUEUE_PURGE",
        "buffers that were queued on a socket or device that goes away",
    ),
    (
        "SOCKET_CLOSE",
        "data in a Unix socket that nobody will read",
    ),
    (
        "UNIX_DISCONNECT",
        "data in a Unix socket that nobody will read",
    ),
    (
        "UNIX_SKIP_OOB",
        "a mark in a Unix socket that was read past",
    ),
    (
        "OTHERHOST",
        "a frame for another machine that a bridge flooded: its own copy went its way",
    ),
    (
        "IPV6_NDISC_NS_OTHERHOST",
        "a question for another machine's link layer address",
    ),
    ("PACKET_SOCK_ERROR", "a sniffer's copy"),
    (
        "MAC_IEEE_MAC_CONTROL",
        "pause frames and such, which end at each link",
    ),
    (
        "TCP_OLD_SEQUENCE",
        "keepalive probes and segments that came twice",
    ),
    ("TCP_OLD_DATA", "data that came twice"),
    ("TCP_OFOMERGE", "data that came twice, out of order"),
    ("TCP_OLD_ACK", "acknowledgements that were overtaken"),
    (
        "TCP_RFC7323_PAWS_ACK",
        "acknowledgements that were overtaken, as their timestamps tell",
    ),
    ("DUP_FRAG", "a fragment that came twice"),
];

/// Enumerations in which subsystems keep reasons of their own, where they are built in.
const SUBSYSTEM_REASONS: [&str; 3] = [
    "ovs_drop_reason",
    "mac80211_drop_reason",
    "___mac80211_drop_reason",
];

/// Name of each drop reason, without its prefix, by number.
pub(super) struct DropReasons {
    names: HashMap<u32, Arc<str>>,
    /// Names of the subsystems that number reasons themselves, by the upper half of the number.
    subsystems: HashMap<u32, String>,
}

impl DropReasons {
    /// Reads the names from the kernel's types.
    pub(super) fn of(types: &KernelTypes) -> Result<Self, BtfError> {
        let mut names: HashMap<u32, Arc<str>> = HashMap::new();
        for enumeration in SUBSYSTEM_REASONS {
            // Not there: not built in, or not in this version.
            for (number, name) in types.enumerators(enumeration).unwrap_or_default() {
                if number >> 16 != 0 && !name.starts_with("__") {
                    names.insert(number, name.into());
                }
            }
        }
        for (number, name) in types.enumerators("skb_drop_reason")? {
            let short = name.strip_prefix("SKB_DROP_REASON_").unwrap_or(name);
            // The oldest names differ only in this.
            let short = short.strip_prefix("SKB_").unwrap_or(short);
            names.insert(number, short.into());
        }
        // Since Linux 6.4.
        let subsystems = types
            .enumerators("skb_drop_reason_subsys")
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(number, name)| {
                let short = name.strip_prefix("SKB_DROP_REASON_SUBSYS_")?;
                Some((number, short.to_owned()))
            })
            .collect();
        Ok(Self { names, subsystems })
    }

    /// The reason's name, as in `NETFILTER_DROP`; made from its number where the kernel's types
    /// have none, as for a subsystem in a module.
    pub(super) fn name(&self, reason: u32) -> Arc<str> {
        if let Some(name) = self.names.get(&reason) {
            return Arc::clone(name);
        }
        let (subsystem, number) = (reason >> 16, reason & 0xffff);
        match self.subsystems.get(&subsystem) {
            _ if subsystem == 0 => format!("REASON_{number}"),
            Some(name) => format!("{name}_{number}"),
            None => format!("SUBSYS_{subsystem}_{number}"),
        }
        .into()
    }

    /// Numbers of the reasons that are no drops on this kernel.
    pub(super) fn not_drops(&self) -> impl Iterator<Item = u32> {
        self.names
            .iter()
            .filter(|(_, name)| NOT_DROPS.iter().any(|(not_drop, _)| **not_drop == ***name))
            .map(|(&number, _)| number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_without_a_name_is_told_by_its_numbers() {
        let reasons = DropReasons {
            names: HashMap::from([(12, "NETFILTER_DROP".into())]),
            subsystems: HashMap::from([(0, "CORE".into()), (2, "OPENVSWITCH".into())]),
        };
        let cases = [
            (12, "NETFILTER_DROP"),
            (500, "REASON_500"),
            (0x2_0003, "OPENVSWITCH_3"),
            (0x9_0001, "SUBSYS_9_1"),
        ];
        for (reason, name) in cases {
            assert_eq!(&*reasons.name(reason), name);
        }
    }
}
