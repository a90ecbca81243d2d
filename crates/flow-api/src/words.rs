//! Numbers of the contract and the words that people know them by, in what more than one of our
//! programs prints.

/// Sub-types of trace events: where on its way the packet was, at the index that is its number.
pub const TRACE_SUB_TYPES: [&str; 14] = [
    "to-endpoint",
    "to-proxy",
    "to-host",
    "to-stack",
    "to-overlay",
    "from-endpoint",
    "from-proxy",
    "from-host",
    "from-stack",
    "from-overlay",
    "from-network",
    "to-network",
    "from-crypto",
    "to-crypto",
];

/// Where on its way a traced packet was.
#[must_use]
pub fn observation_point(sub_type: u8) -> Option<&'static str> {
    TRACE_SUB_TYPES.get(usize::from(sub_type)).copied()
}

/// How well a policy matched.
#[must_use]
pub fn policy_match(number: u32) -> &'static str {
    match number {
        0 => "none",
        1 => "L3-Only",
        2 => "L3-L4",
        3 => "L4-Only",
        4 => "all",
        5 => "L3-Proto",
        6 => "Proto-Only",
        _ => "unknown",
    }
}
