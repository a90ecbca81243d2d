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
    ("CAKE_FLOOD", 198),                   // DROP_RATE_LIMITED
    ("CPU_BACKLOG", 198),                  // DROP_RATE_LIMITED
    ("DEV_HDR", 134),                      // INVALID_PACKET_DROPPED
    ("DUALPI2_STEP_DROP", 198),            // DROP_RATE_LIMITED
    ("FQ_BAND_LIMIT", 198),                // DROP_RATE_LIMITED
    ("FQ_FLOW_LIMIT", 198),                // DROP_RATE_LIMITED
    ("FQ_HORIZON_LIMIT", 162),             // REACHED_EDT_RATE_LIMITING_DROP_HORIZON
    ("FULL_RING", 198),                    // DROP_RATE_LIMITED
    ("HDR_TRUNC", 134),                    // INVALID_PACKET_DROPPED
    ("ICMP_CSUM", 134),                    // INVALID_PACKET_DROPPED
    ("INVALID_PROTO", 142),                // UNKNOWN_L4_PROTOCOL
    ("IPV6DISABLED", 139),                 // UNSUPPORTED_L3_PROTOCOL
    ("IPV6_BAD_EXTHDR", 156),              // INVALID_IPV6_EXTENSION_HEADER
    ("IPV6_NDISC_BAD_CODE", 176),          // FORBIDDEN_ICMPV6_MESSAGE
    ("IPV6_NDISC_BAD_OPTIONS", 176),       // FORBIDDEN_ICMPV6_MESSAGE
    ("IPV6_NDISC_FRAG", 176),              // FORBIDDEN_ICMPV6_MESSAGE
    ("IPV6_NDISC_HOP_LIMIT", 176),         // FORBIDDEN_ICMPV6_MESSAGE
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
    ("LOCAL_MAC", 130),                    // INVALID_SOURCE_MAC
    ("MAC_INVALID_SOURCE", 130),           // INVALID_SOURCE_MAC
    ("NEIGH_CREATEFAIL", 151),             // STALE_OR_UNROUTABLE_IP
    ("NEIGH_DEAD", 151),                   // STALE_OR_UNROUTABLE_IP
    ("NEIGH_FAILED", 151),                 // STALE_OR_UNROUTABLE_IP
    ("NEIGH_QUEUEFULL", 151),              // STALE_OR_UNROUTABLE_IP
    ("NETFILTER_DROP", 133),               // POLICY_DENIED
    ("NO_SOCKET", 178),                    // SOCKET_LOOKUP_FAILED
    ("PKT_TOO_BIG", 136),                  // "Fragmentation needed"
    ("PKT_TOO_SMALL", 134),                // INVALID_PACKET_DROPPED
    ("QDISC_CONGESTED", 198),              // DROP_RATE_LIMITED
    ("QDISC_DROP", 198),                   // DROP_RATE_LIMITED
    ("QDISC_OVERLIMIT", 198),              // DROP_RATE_LIMITED
    ("SECURITY_HOOK", 133),                // POLICY_DENIED
    ("SKB_CSUM", 134),                     // INVALID_PACKET_DROPPED
    ("SOCKET_FILTER", 133),                // POLICY_DENIED
    ("TCP_CSUM", 134),                     // INVALID_PACKET_DROPPED
    ("TCP_FLAGS", 134),                    // INVALID_PACKET_DROPPED
    ("TC_EGRESS", 133),                    // POLICY_DENIED
    ("TC_INGRESS", 133),                   // POLICY_DENIED
    ("TUNNEL_TXINFO", 147),                // ERROR_RETRIEVING_TUNNEL_KEY
    ("UDP_CSUM", 134),                     // INVALID_PACKET_DROPPED
    ("UNHANDLED_PROTO", 139),              // UNSUPPORTED_L3_PROTOCOL
    ("UNICAST_IN_L2_MULTICAST", 131),      // INVALID_DESTINATION_MAC
    ("UNICAST_IPV4_IN_L2_MULTICAST", 131), // INVALID_DESTINATION_MAC
    ("VXLAN_INVALID_HDR", 134),            // INVALID_PACKET_DROPPED
    ("VXLAN_VNI_NOT_FOUND", 183),          // INVALID_VNI
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
