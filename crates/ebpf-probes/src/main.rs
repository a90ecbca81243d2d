//! The eBPF programs; built for bpfel by cargo xtask probes.

fn main() {}
