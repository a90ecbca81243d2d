//! What the probes need to know of the running kernel before they are loaded.

use probe_events::{FEATURE_RX_SOCKET, KernelLayout, Settings};

use super::btf::{BtfError, KernelTypes};

/// Looks up every field that the probes read.
pub(super) fn kernel_layout(types: &KernelTypes) -> Result<KernelLayout, BtfError> {
    let skb = |field| types.field_offset("sk_buff", field);
    let rx_socket = types.tracepoint_arguments("kfree_skb")? > 3;
    Ok(KernelLayout {
        skb_dev: skb("dev")?,
        skb_sk: skb("sk")?,
        skb_len: skb("len")?,
        skb_protocol: skb("protocol")?,
        skb_network_header: skb("network_header")?,
        skb_mac_header: skb("mac_header")?,
        skb_tail: skb("tail")?,
        skb_head: skb("head")?,
        skb_data: skb("data")?,
        dev_ifindex: types.field_offset("net_device", "ifindex")?,
        dev_net: types.field_offset("net_device", "nd_net.net")?,
        sock_net: types.field_offset("sock", "__sk_common.skc_net.net")?,
        net_cookie: types.field_offset("net", "net_cookie")?,
        net_inode: types.field_offset("net", "ns.inum")?,
        skb_vlan_tci: skb("vlan_tci")?,
        skb_vlan_proto: skb("vlan_proto")?,
        sock_cookie: types.field_offset("sock", "__sk_common.skc_cookie")?,
        features: if rx_socket { FEATURE_RX_SOCKET } else { 0 },
    })
}

/// The settings as the bytes of the probes' global.
pub(super) fn settings_as_bytes(settings: &Settings) -> Vec<u8> {
    // Taken apart by name, so that a field that is added and forgotten here does not compile.
    let Settings {
        interval_ns,
        aggregation,
        tcp_flags,
        payload_bytes,
        drops_per_second,
    } = *settings;
    let words = [aggregation, tcp_flags, payload_bytes, drops_per_second];
    let words = words.iter().flat_map(|word| word.to_ne_bytes());
    interval_ns.to_ne_bytes().into_iter().chain(words).collect()
}

/// The layout as the bytes of the probes' global.
pub(super) fn as_bytes(layout: &KernelLayout) -> Vec<u8> {
    // As above.
    let KernelLayout {
        skb_dev,
        skb_sk,
        skb_len,
        skb_protocol,
        skb_network_header,
        skb_mac_header,
        skb_tail,
        skb_head,
        skb_data,
        dev_ifindex,
        dev_net,
        sock_net,
        net_cookie,
        net_inode,
        skb_vlan_tci,
        skb_vlan_proto,
        sock_cookie,
        features,
    } = *layout;
    [
        skb_dev,
        skb_sk,
        skb_len,
        skb_protocol,
        skb_network_header,
        skb_mac_header,
        skb_tail,
        skb_head,
        skb_data,
        dev_ifindex,
        dev_net,
        sock_net,
        net_cookie,
        net_inode,
        skb_vlan_tci,
        skb_vlan_proto,
        sock_cookie,
        features,
    ]
    .iter()
    .flat_map(|field| field.to_ne_bytes())
    .collect()
}
