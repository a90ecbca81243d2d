//! The programs in TCP: fitting them to the kernel, and attaching them.

use aya::{Btf, Ebpf, EbpfLoader, programs::BtfTracePoint};
use probe_events::{FEATURE_RETRANSMIT_ERROR, TcpLayout};

use super::{
    BtfError,
    btf::KernelTypes,
    hooks::{HookError, Hooks, hook, program, take_ring},
};

/// Counting segments that are sent again.
pub(super) const RETRANSMITS: &str = "tcp-retransmits";
/// Counting resets that are sent.
pub(super) const RESETS: &str = "tcp-resets";

/// Built by `cargo xtask probes` from the crate `ebpf-probes`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../ebpf-probes/tcp.bpf.o"
));

/// What works, the program that does it, and the tracepoint it is for.
const PROGRAMS: [(&str, &str, &str); 2] = [
    (RETRANSMITS, "tcp_retransmit", "tcp_retransmit_skb"),
    (RESETS, "tcp_reset", "tcp_send_reset"),
];

/// Starts what works.
pub(super) fn start(hooks: &mut Hooks, types: &KernelTypes, kernel: &Btf) {
    let mut ebpf = match load(hooks, types) {
        Ok(ebpf) => ebpf,
        Err(error) => {
            let failed: Result<(), _> = Err(error);
            for (name, ..) in PROGRAMS {
                hooks.states.push(hook(name, &failed));
            }
            return;
        }
    };
    for (name, program, tracepoint) in PROGRAMS {
        let attached = attach(&mut ebpf, program, tracepoint, kernel);
        hooks.states.push(hook(name, &attached));
    }
    hooks.rings.objects.push(ebpf);
}

fn load(hooks: &mut Hooks, types: &KernelTypes) -> Result<Ebpf, HookError> {
    let layout = as_bytes(&layout(types)?);
    let mut ebpf = EbpfLoader::new()
        .override_global("TCP_LAYOUT", layout.as_slice(), true)
        .load(OBJECT)?;
    hooks
        .rings
        .add(take_ring(&mut ebpf, "TCP_EVENTS", "TCP_LOST")?);
    Ok(ebpf)
}

fn attach(
    ebpf: &mut Ebpf,
    name: &'static str,
    tracepoint: &str,
    kernel: &Btf,
) -> Result<(), HookError> {
    let failed = |source| HookError::Program {
        program: name,
        source,
    };
    let program: &mut BtfTracePoint = program(ebpf, name)?;
    program.load(tracepoint, kernel).map_err(failed)?;
    program.attach().map_err(failed)?;
    Ok(())
}

/// Looks up every field that the programs read.
fn layout(types: &KernelTypes) -> Result<TcpLayout, BtfError> {
    let skb = |field| types.field_offset("sk_buff", field);
    let socket = |field| types.field_offset("sock_common", field);
    let retransmit_error = types
        .tracepoint_arguments("tcp_retransmit_skb")
        .is_ok_and(|arguments| arguments > 2);
    Ok(TcpLayout {
        skb_head: skb("head")?,
        skb_network_header: skb("network_header")?,
        skb_transport_header: skb("transport_header")?,
        skb_dev: skb("dev")?,
        dev_net: types.field_offset("net_device", "nd_net.net")?,
        net_cookie: types.field_offset("net", "net_cookie")?,
        sock_net: socket("skc_net.net")?,
        sock_family: socket("skc_family")?,
        sock_cookie: socket("skc_cookie")?,
        sock_local_port: types.field_offset("inet_sock", "inet_sport")?,
        sock_remote_port: socket("skc_dport")?,
        sock_local_v4: socket("skc_rcv_saddr")?,
        sock_remote_v4: socket("skc_daddr")?,
        sock_local_v6: socket("skc_v6_rcv_saddr")?,
        sock_remote_v6: socket("skc_v6_daddr")?,
        features: if retransmit_error {
            FEATURE_RETRANSMIT_ERROR
        } else {
            0
        },
    })
}

/// The layout as the bytes of the programs' global.
fn as_bytes(layout: &TcpLayout) -> Vec<u8> {
    // Taken apart by name, so that a field that is added and forgotten here does not compile.
    let TcpLayout {
        skb_head,
        skb_network_header,
        skb_transport_header,
        skb_dev,
        dev_net,
        net_cookie,
        sock_net,
        sock_family,
        sock_cookie,
        sock_local_port,
        sock_remote_port,
        sock_local_v4,
        sock_remote_v4,
        sock_local_v6,
        sock_remote_v6,
        features,
    } = *layout;
    [
        skb_head,
        skb_network_header,
        skb_transport_header,
        skb_dev,
        dev_net,
        net_cookie,
        sock_net,
        sock_family,
        sock_cookie,
        sock_local_port,
        sock_remote_port,
        sock_local_v4,
        sock_remote_v4,
        sock_local_v6,
        sock_remote_v6,
        features,
    ]
    .iter()
    .flat_map(|field| field.to_ne_bytes())
    .collect()
}
