//! Numbers of the wire and the words that people know them by. Used by filters and printers.

pub(crate) use flow_api::words::{TRACE_SUB_TYPES, observation_point, policy_match};

/// Security identities that mean the same in every cluster.
pub(crate) const RESERVED_IDENTITIES: &[(u32, &str)] = &[
    (1, "host"),
    (2, "world"),
    (3, "unmanaged"),
    (4, "health"),
    (5, "init"),
    (6, "remote-node"),
    (7, "kube-apiserver"),
    (8, "ingress"),
    (9, "world-ipv4"),
    (10, "world-ipv6"),
];

/// Where an event comes from: `event_type.type`.
pub(crate) const EVENT_TYPES: &[(i32, &str)] = &[
    (event_type::DROP, "drop"),
    (event_type::DEBUG, "debug"),
    (event_type::CAPTURE, "capture"),
    (event_type::TRACE, "trace"),
    (event_type::POLICY_VERDICT, "policy-verdict"),
    (event_type::RECORDER, "recorder"),
    (event_type::TRACE_SOCK, "trace-sock"),
    (event_type::L7, "l7"),
    (event_type::AGENT, "agent"),
];

/// The numbers of [`EVENT_TYPES`].
pub(crate) mod event_type {
    /// A dropped packet.
    pub(crate) const DROP: i32 = 1;
    /// A debug record.
    pub(crate) const DEBUG: i32 = 2;
    /// A captured packet.
    pub(crate) const CAPTURE: i32 = 3;
    /// A packet on its way.
    pub(crate) const TRACE: i32 = 4;
    /// A policy's decision.
    pub(crate) const POLICY_VERDICT: i32 = 5;
    /// A packet of a recording.
    pub(crate) const RECORDER: i32 = 6;
    /// A socket's address translation.
    pub(crate) const TRACE_SOCK: i32 = 7;
    /// A request or response.
    pub(crate) const L7: i32 = 129;
    /// Something that the agent did.
    pub(crate) const AGENT: i32 = 130;
}

/// Sub-types of agent events, as the agent numbers them.
const AGENT_SUB_TYPES: &[(i32, &str)] = &[
    (0, "unspecified"),
    (1, "message"),
    (2, "agent-started"),
    (3, "endpoint-regenerate-success"),
    (4, "endpoint-regenerate-failure"),
    (5, "policy-updated"),
    (6, "policy-deleted"),
    (7, "endpoint-created"),
    (8, "endpoint-deleted"),
    (9, "ipcache-upserted"),
    (10, "ipcache-deleted"),
];

/// The number of a sub-type of an event type, by its name.
pub(crate) fn sub_type(event_type: i32, name: &str) -> Option<i32> {
    match event_type {
        event_type::AGENT => AGENT_SUB_TYPES
            .iter()
            .find(|(_, sub_type)| *sub_type == name)
            .map(|(number, _)| *number),
        event_type::TRACE => TRACE_SUB_TYPES
            .iter()
            .position(|sub_type| *sub_type == name)
            .and_then(|number| i32::try_from(number).ok()),
        _ => None,
    }
}

/// All event types and their sub-types as a filter names them: `trace`, `trace:to-stack`.
pub(crate) fn event_type_names() -> Vec<String> {
    let mut names = Vec::new();
    for (number, name) in EVENT_TYPES {
        names.push((*name).to_owned());
        let sub_types: Vec<&str> = match *number {
            event_type::AGENT => AGENT_SUB_TYPES.iter().map(|(_, name)| *name).collect(),
            event_type::TRACE => TRACE_SUB_TYPES.to_vec(),
            _ => Vec::new(),
        };
        names.extend(
            sub_types
                .iter()
                .map(|sub_type| format!("{name}:{sub_type}")),
        );
    }
    names
}

/// The name of a security identity that every cluster knows.
pub(crate) fn reserved_identity(identity: u32) -> Option<&'static str> {
    match identity {
        0 => Some("unknown"),
        _ => RESERVED_IDENTITIES
            .iter()
            .find(|(number, _)| *number == identity)
            .map(|(_, name)| *name),
    }
}

/// Why the data path dropped a packet.
pub(crate) fn drop_reason(sub_type: u8) -> Option<&'static str> {
    let reason = match sub_type {
        0..=15 => LOW_DROP_REASONS[usize::from(sub_type)],
        130..=205 => DROP_REASONS[usize::from(sub_type) - 130],
        _ => "",
    };
    (!reason.is_empty()).then_some(reason)
}

/// Reasons below 130, most of which are no drops. Empty where the number is not in use.
const LOW_DROP_REASONS: [&str; 16] = [
    "Success",
    "",
    "Invalid packet",
    "Interface",
    "Interface Decrypted",
    "LB, sock cgroup: No backend slot entry found",
    "LB, sock cgroup: No backend entry found",
    "LB, sock cgroup: Reverse entry update failed",
    "LB, sock cgroup: Reverse entry stale",
    "Fragmented packet",
    "Fragmented packet entry update failed",
    "Missed tail call to custom program",
    "Interface Decrypting",
    "Interface Encrypting",
    "LB: sock cgroup: Reverse entry delete succeeded",
    "MTU error message",
];

/// Reasons from 130 on. Empty where the number is not in use.
const DROP_REASONS: [&str; 76] = [
    "Invalid source mac",
    "Invalid destination mac",
    "Invalid source ip",
    "Policy denied",
    "Invalid packet",
    "CT: Truncated or invalid header",
    "Fragmentation needed",
    "CT: Unknown L4 protocol",
    "CT: Can't create entry from packet",
    "Unsupported L3 protocol",
    "Missed tail call",
    "Error writing to packet",
    "Unknown L4 protocol",
    "Unknown ICMPv4 code",
    "Unknown ICMPv4 type",
    "Unknown ICMPv6 code",
    "Unknown ICMPv6 type",
    "Error retrieving tunnel key",
    "Error retrieving tunnel options",
    "Invalid Geneve option",
    "Unknown L3 target address",
    "Stale or unroutable IP",
    "No matching local container found",
    "Error while correcting L3 checksum",
    "Error while correcting L4 checksum",
    "CT: Map insertion failed",
    "Invalid IPv6 extension header",
    "IP fragmentation not supported",
    "Service backend not found",
    "",
    "No tunnel/encapsulation endpoint (datapath BUG!)",
    "NAT 46/64 not enabled",
    "Reached EDT rate-limiting drop horizon",
    "Unknown connection tracking state",
    "Local host is unreachable",
    "No configuration available to perform policy decision",
    "Unsupported L2 protocol",
    "No mapping for NAT masquerade",
    "Unsupported protocol for NAT masquerade",
    "FIB lookup failed",
    "Encapsulation traffic is prohibited",
    "Invalid identity",
    "Unknown sender",
    "NAT not needed",
    "Is a ClusterIP",
    "First logical datagram fragment not found",
    "Forbidden ICMPv6 message",
    "Denied by LB src range check",
    "Socket lookup failed",
    "Socket assign failed",
    "Proxy redirection not supported for protocol",
    "Policy denied by denylist",
    "VLAN traffic disallowed by VLAN filter",
    "Incorrect VNI from VTEP",
    "Failed to update or lookup TC buffer",
    "No SID was found for the IP address",
    "SRv6 state was removed during tail call",
    "L3 translation from IPv4 to IPv6 failed (NAT46)",
    "L3 translation from IPv6 to IPv4 failed (NAT64)",
    "Authentication required",
    "No conntrack map found",
    "No nat map found",
    "Invalid ClusterID",
    "Unsupported packet protocol for DSR encapsulation",
    "No egress gateway found",
    "Traffic is unencrypted",
    "TTL exceeded",
    "No node ID found",
    "Rate limited",
    "IGMP handled",
    "IGMP subscribed",
    "Multicast handled",
    "Host datapath not ready",
    "Endpoint policy program not available",
    "No Egress IP configured",
    "Punt to proxy",
];
