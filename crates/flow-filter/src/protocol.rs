//! The `protocol` field: keywords for transport and application protocols.

use crate::pattern::lowercase;
use crate::view::{FlowView, L4Protocol, L7Protocol};

/// What a keyword asks for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Protocol {
    /// ICMP of either IP version.
    AnyIcmp,
    L4(L4Protocol),
    L7(L7Protocol),
}

impl Protocol {
    pub(crate) fn parse(keyword: &str) -> Option<Self> {
        let keyword: String = keyword.chars().map(lowercase).collect();
        Some(match keyword.as_str() {
            "dns" => Self::L7(L7Protocol::Dns),
            "http" => Self::L7(L7Protocol::Http),
            "icmp" => Self::AnyIcmp,
            "icmpv4" => Self::L4(L4Protocol::Icmpv4),
            "icmpv6" => Self::L4(L4Protocol::Icmpv6),
            "igmp" => Self::L4(L4Protocol::Igmp),
            "kafka" => Self::L7(L7Protocol::Kafka),
            "sctp" => Self::L4(L4Protocol::Sctp),
            "tcp" => Self::L4(L4Protocol::Tcp),
            "udp" => Self::L4(L4Protocol::Udp),
            "vrrp" => Self::L4(L4Protocol::Vrrp),
            _ => return None,
        })
    }

    pub(crate) fn matches<V: FlowView>(self, flow: &V) -> bool {
        match self {
            Self::AnyIcmp => {
                matches!(
                    flow.l4_protocol(),
                    Some(L4Protocol::Icmpv4 | L4Protocol::Icmpv6)
                )
            }
            Self::L4(protocol) => flow.l4_protocol() == Some(protocol),
            Self::L7(protocol) => flow.l7_protocol() == Some(protocol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_know_no_case() {
        assert_eq!(Protocol::parse("TCP"), Some(Protocol::L4(L4Protocol::Tcp)));
        assert_eq!(
            Protocol::parse("IcmpV6"),
            Some(Protocol::L4(L4Protocol::Icmpv6))
        );
        for unknown in ["", "arp", "tcp ", "6"] {
            assert_eq!(Protocol::parse(unknown), None, "{unknown}");
        }
    }
}
