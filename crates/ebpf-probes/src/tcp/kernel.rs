//! Where the running kernel keeps its fields, and reading them.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use probe_events::TcpLayout;

/// User space sets it before the programs are loaded.
#[unsafe(no_mangle)]
static TCP_LAYOUT: TcpLayout = TcpLayout {
    skb_head: 0,
    skb_network_header: 0,
    skb_transport_header: 0,
    skb_dev: 0,
    dev_net: 0,
    net_cookie: 0,
    sock_net: 0,
    sock_family: 0,
    sock_cookie: 0,
    sock_local_port: 0,
    sock_remote_port: 0,
    sock_local_v4: 0,
    sock_remote_v4: 0,
    sock_local_v6: 0,
    sock_remote_v6: 0,
    features: 0,
};

/// The layout as user space set it.
#[inline(always)]
pub(crate) fn layout() -> TcpLayout {
    // SAFETY: a valid static; volatile since the loader writes it behind the compiler's back.
    unsafe { core::ptr::read_volatile(&raw const TCP_LAYOUT) }
}

/// Reads a field of a kernel structure.
#[inline(always)]
pub(crate) fn read<T>(base: u64, offset: u32) -> Option<T> {
    // SAFETY: the helper reads kernel memory safely and fails where there is none.
    unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const T) }.ok()
}

#[inline(always)]
pub(crate) fn non_null(pointer: u64) -> Option<u64> {
    (pointer != 0).then_some(pointer)
}
