//! The running kernel's drop reasons: their names, and which of them are no drops.

use std::{collections::HashMap, sync::Arc};

use super::btf::{BtfError, KernelTypes};

/// Freed buffers that nobody would call dropped packets, with why.
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
        "TCP_OLD_SEQUENCE",
        "keepalive probes and segments that came twice",
    ),
    ("TCP_OLD_ACK", "acknowledgements that were overtaken"),
    ("DUP_FRAG", "a fragment that came twice"),
];

/// Name of each drop reason, without its prefix, by number.
pub(super) struct DropReasons {
    names: HashMap<u32, Arc<str>>,
}

impl DropReasons {
    /// Reads the names from the kernel's types.
    pub(super) fn of(types: &KernelTypes) -> Result<Self, BtfError> {
        let names = types
            .enumerators("skb_drop_reason")?
            .into_iter()
            .map(|(number, name)| {
                let short = name.strip_prefix("SKB_DROP_REASON_").unwrap_or(name);
                // The oldest names differ only in this.
                let short = short.strip_prefix("SKB_").unwrap_or(short);
                (number, short.into())
            })
            .collect();
        Ok(Self { names })
    }

    /// The reason's name, as in `NETFILTER_DROP`.
    pub(super) fn name(&self, reason: u32) -> Option<&Arc<str>> {
        self.names.get(&reason)
    }

    /// Numbers of the reasons that are no drops on this kernel.
    pub(super) fn not_drops(&self) -> impl Iterator<Item = u32> {
        self.names
            .iter()
            .filter(|(_, name)| NOT_DROPS.iter().any(|(not_drop, _)| **not_drop == ***name))
            .map(|(&number, _)| number)
    }
}
