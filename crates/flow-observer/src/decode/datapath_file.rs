//! The source files of Cilium's datapath, by the number that drop records carry.

/// Numbers and names, as of Cilium 1.19.
const FILES: &[(u8, &str)] = &[
    (1, "bpf_host.c"),
    (2, "bpf_lxc.c"),
    (3, "bpf_overlay.c"),
    (4, "bpf_xdp.c"),
    (5, "bpf_sock.c"),
    (6, "bpf_network.c"),
    (7, "bpf_wireguard.c"),
    (101, "drop.h"),
    (102, "srv6.h"),
    (103, "icmp6.h"),
    (104, "nodeport.h"),
    (105, "lb.h"),
    (106, "mcast.h"),
    (107, "ipv4.h"),
    (108, "conntrack.h"),
    (109, "local_delivery.h"),
    (110, "trace.h"),
    (111, "encap.h"),
    (112, "host_firewall.h"),
    (113, "nodeport_egress.h"),
    (114, "ipv6.h"),
    (115, "classifiers.h"),
];

/// The file's name; `unknown(N)` for a number that is not known.
pub(crate) fn datapath_file(number: u8) -> String {
    FILES
        .iter()
        .find(|(known, _)| *known == number)
        .map_or_else(
            || format!("unknown({number})"),
            |(_, name)| (*name).to_owned(),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_and_an_unknown_one_is_numbered() {
        assert_eq!(datapath_file(2), "bpf_lxc.c");
        assert_eq!(datapath_file(115), "classifiers.h");
        assert_eq!(datapath_file(0), "unknown(0)");
    }
}
