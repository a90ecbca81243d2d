//! The addresses in a network namespace, as files of any process in it tell them: nobody needs to
//! enter it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use crate::bounded;

/// A table of some thousand routes; namespaces with more are routers, not containers.
const MAX_BYTES: u64 = 1 << 20;
/// Addresses of one container.
const MAX_ADDRESSES: usize = 64;

/// Those that others can reach. `process` is the process's folder in `/proc`.
pub(super) fn of(process: &Path) -> Vec<IpAddr> {
    let read = |name| bounded::read_plain(&process.join("net").join(name), MAX_BYTES);
    let v4 = read("fib_trie").unwrap_or_default();
    let v6 = read("if_inet6").unwrap_or_default();
    let mut addresses: Vec<IpAddr> = local_v4(&v4)
        .map(IpAddr::V4)
        .chain(global_v6(&v6).map(IpAddr::V6))
        .take(MAX_ADDRESSES)
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Leaves of the routing table (`net/ipv4/fib_trie.c`, `fib_trie_seq_show`) that are addresses of
/// the host itself: `|-- 10.1.1.10`, and on a line below `/32 host LOCAL`.
fn local_v4(table: &str) -> impl Iterator<Item = Ipv4Addr> {
    let mut leaf = None;
    table.lines().filter_map(move |line| {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
            return None;
        }
        leaf.filter(|address| line == "/32 host LOCAL" && !address.is_loopback())
    })
}

/// Addresses of global scope (`net/ipv6/addrconf.c`, `if6_seq_show`): 32 digits, then in
/// hexadecimal the number of the device, the length of the prefix, the scope and flags.
fn global_v6(table: &str) -> impl Iterator<Item = Ipv6Addr> {
    table.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|word| word.len() == 32)?;
        let scope = words.nth(2)?;
        let address = u128::from_str_radix(address, 16).ok()?;
        (scope == "00").then_some(address.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_leaf_that_is_the_hosts_own() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     \
                     +-- 172.17.0.0/16 2 0 2\n        |-- 172.17.0.0\n           /16 link UNICAST\n        \
                     |-- 172.17.0.2\n           /32 host LOCAL\n        |-- 172.17.255.255\n           \
                     /32 link BROADCAST\n     |-- 127.0.0.1\n           /32 host LOCAL\n";
        let found: Vec<_> = local_v4(table).collect();
        assert_eq!(found, [Ipv4Addr::new(172, 17, 0, 2)]);
    }

    #[test]
    fn an_address_of_version_6_is_one_of_global_scope() {
        let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fd000001000000000000000000000010 02 40 00 80     eth0\n\
                     fe800000000000000042acfffe110002 02 40 20 80     eth0\n\
                     nonsense\n";
        let found: Vec<_> = global_v6(table).collect();
        assert_eq!(found, ["fd00:1::10".parse::<Ipv6Addr>().unwrap()]);
    }
}
