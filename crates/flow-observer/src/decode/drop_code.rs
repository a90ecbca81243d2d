//! Hubble's number for a drop reason of the kernel.
//!
//! Hubble's numbers name what Cilium's programs do; the kernel has names of its own. Where one of
//! Hubble's says what happened, a flow carries it, so that existing filters and dashboards work;
//! the kernel's own name stands in the flow's summary in any case.

/// No number of Hubble's fits. Unassigned there: clients show the number.
const NO_EQUIVALENT: u8 = 255;

/// Kernel names (include/net/dropreason-core.h, Linux 6.18) and Hubble's numbers.
const EQUIVALENTS: &[(&str, u8)] = &[
    ("BPF_CGROUP_EGRESS", 133),            // POLICY_DENIED
    ("CPU_BACKLOG", 198),                  // DROP_RATE_LIMITED
    ("FULL_RING", 198),                    // DROP_RATE_LIMITED
    ("ICMP_CSUM", 134),                    // INVALID_PACKET_DROPPED
    ("INVALID_PROTO", 142),                // UNKNOWN_L4_PROTOCOL
    ("IPV6DISABLED", 139),                 // UNSUPPORTED_L3_PROTOCOL
    ("IPV6_BAD_EXTHDR", 156),              // INVALID_IPV6_EXTENSION_HEADER
    ("IP_CSUM", 134),                      // INVALID_PACKET_DROPPED
    ("IP_INADDRERRORS", 132),              // INVALID_SOURCE_IP
    ("IP_INHDR", 134),                     // INVALID_PACKET_DROPPED
    ("IP_INNOROUTES", 169),                // FIB_LOOKUP_FAILED
    ("IP_INVALID_DEST", 151),              // STALE_OR_UNROUTABLE_IP
    ("IP_INVALID_SOURCE", 132),            // INVALID_SOURCE_IP
    ("IP_LOCALNET", 132),                  // INVALID_SOURCE_IP
    ("IP_LOCAL_SOURCE", 132),              // INVALID_SOURCE_IP
    ("IP_NOPROTO", 142),                   // UNKNOWN_L4_PROTOCOL
    ("IP_OUTNOROUTES", 169),               // FIB_LOOKUP_FAILED
    ("IP_RPFILTER", 132),                  // INVALID_SOURCE_IP
    ("NEIGH_DEAD", 151),                   // STALE_OR_UNROUTABLE_IP
    ("NEIGH_FAILED", 151),                 // STALE_OR_UNROUTABLE_IP
    ("NEIGH_QUEUEFULL", 151),              // STALE_OR_UNROUTABLE_IP
    ("NETFILTER_DROP", 133),               // POLICY_DENIED
    ("NO_SOCKET", 178),                    // SOCKET_LOOKUP_FAILED
    ("PKT_TOO_BIG", 136),                  // "Fragmentation needed"
    ("PKT_TOO_SMALL", 134),                // INVALID_PACKET_DROPPED
    ("QDISC_DROP", 198),                   // DROP_RATE_LIMITED
    ("SOCKET_FILTER", 133),                // POLICY_DENIED
    ("TCP_CSUM", 134),                     // INVALID_PACKET_DROPPED
    ("TC_EGRESS", 133),                    // POLICY_DENIED
    ("TC_INGRESS", 133),                   // POLICY_DENIED
    ("UDP_CSUM", 134),                     // INVALID_PACKET_DROPPED
    ("UNHANDLED_PROTO", 139),              // UNSUPPORTED_L3_PROTOCOL
    ("UNICAST_IPV4_IN_L2_MULTICAST", 131), // INVALID_DESTINATION_MAC
    ("XDP", 133),                          // POLICY_DENIED
    ("XFRM_POLICY", 133),                  // POLICY_DENIED
];

/// Hubble's number for the kernel's name of a reason, or 255 where there is none.
pub(crate) fn drop_code(kernel_name: &str) -> u8 {
    EQUIVALENTS
        .iter()
        .find(|(name, _)| *name == kernel_name)
        .map_or(NO_EQUIVALENT, |&(_, code)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firewall_rule_is_a_policy() {
        assert_eq!(drop_code("NETFILTER_DROP"), 133);
    }

    #[test]
    fn a_reason_without_an_equivalent_keeps_a_number_of_its_own() {
        assert_eq!(drop_code("TCP_OFO_DROP"), 255);
    }
}
