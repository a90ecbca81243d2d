//! What the probes cost a packet and a connection, and how many records a second one thread takes
//! from the kernel's ring to the flow ring.
//!
//! Runs on this machine's kernel, in network namespaces of its own, and needs root for them. Without
//! arguments it measures everything; a part's name measures that part alone:
//!
//! ```text
//! cargo bench -p flow-observer --features probes --bench probes [-- test-run|traffic|iperf|sustained]
//! ```
//!
//! What is compared runs in turns, round after round, so that a busy machine is busy for all alike;
//! printed are medians, with the smallest and the largest. What was computed is checked, how long
//! it took is not.

mod figures;
mod iperf;
mod observer;
mod programs;
mod sustained;
mod test_run;
mod traffic;

use anyhow::{Result, ensure};
use testbed::{Cluster, PodSpec, Spec, requirements};

/// A part, by its name.
type Part = (&'static str, fn() -> Result<()>);

const PARTS: [Part; 4] = [
    ("test-run", test_run::run),
    ("traffic", traffic::run),
    ("iperf", iperf::run),
    ("sustained", sustained::run),
];

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let names = PARTS.map(|(name, _)| name);
    for name in &wanted {
        ensure!(
            names.contains(&name.as_str()),
            "unknown part {name:?}: expected one of {}",
            names.join(", ")
        );
    }
    requirements::check("this benchmark", &requirements::for_observed_cluster())?;
    testbed::remove_on_signals()?;
    for (name, run) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|it| it == name) {
            println!("\n{name}");
            run()?;
        }
    }
    Ok(())
}

/// A node with two pods.
fn cluster() -> Result<Cluster> {
    let spec = Spec::with_nodes(1)
        .pod("node-1", PodSpec::new("shop", "web"))
        .pod("node-1", PodSpec::new("shop", "cart"));
    Cluster::start(&spec)
}
