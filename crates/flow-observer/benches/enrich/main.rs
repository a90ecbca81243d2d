//! Who is who among 100,000 endpoints and a million names: look-ups, changes, and what it takes in
//! memory.
//!
//! A cluster of 400 nodes: each pod has an address, a namespace, a workload of 20 replicas and the
//! labels that Kubernetes gives it. The 250 pods of this node have asked for 4,000 names each, and
//! the answers were heard. Look-ups go to random addresses, so that little of what they need is in the
//! processor's caches. Floors: plain hash maps that know the same.

mod changes;
mod cluster;
mod look_ups;
mod memory;

fn main() {
    memory::print();
    divan::main();
}
