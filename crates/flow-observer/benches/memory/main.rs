//! The memory that a full ring takes, everything included: the flows, what they share, and what the
//! allocator makes of it.
//!
//! Each mix of flows is measured in a process of its own, which runs the agent's loop on records in
//! memory: first into a small ring, so that all tables have what they are to have, then into one of
//! 65,535 flows, three times as many as it keeps. How much the resident memory has grown by then is
//! that of the ring.
//!
//! ```text
//! cargo bench -p flow-observer --bench memory [-- l3-l4|mix]
//! ```

#[path = "../../tests/support/mod.rs"]
mod support;

mod node;
mod packets;
mod traffic;

use std::{
    fs,
    process::Command,
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::{Context as _, Result, bail, ensure};
use flow_observer::{
    pipeline::Pipeline,
    record::{FlowRecord, Observation},
    ring::{Event, FlowRing, Slot},
};
use traffic::{Mix, Traffic};

/// As many flows as a ring can keep.
const CAPACITY: usize = 65_535;
/// How often the ring is filled: what it evicts leaves gaps in the memory.
const FILLS: usize = 3;

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let wanted = std::env::args().skip(1).find(|it| !it.starts_with("--"));
    let Some(wanted) = wanted else {
        return each_by_itself();
    };
    match Mix::ALL.into_iter().find(|mix| mix.name() == wanted) {
        Some(mix) => measure(mix),
        None => bail!("unknown mix {wanted:?}: expected l3-l4 or mix"),
    }
}

fn each_by_itself() -> Result<()> {
    for mix in Mix::ALL {
        let status = Command::new(std::env::current_exe()?)
            .arg(mix.name())
            .status()?;
        ensure!(status.success(), "{}: {status}", mix.name());
    }
    Ok(())
}

fn measure(mix: Mix) -> Result<()> {
    let empty = resident()?;
    let mut pipeline = Pipeline {
        source: Box::new(Traffic::new(mix, FILLS * CAPACITY)),
        assembler: node::assembler(),
        ring: Arc::new(FlowRing::new(1)),
        namespaces: Arc::default(),
        counters: Arc::default(),
    };
    let stop = AtomicBool::new(false);
    pipeline.run(&stop)?;
    let before = resident()?;
    let ring = Arc::new(FlowRing::new(CAPACITY));
    pipeline.ring = Arc::clone(&ring);
    pipeline.run(&stop)?;
    let after = resident()?;

    let kinds = Kinds::of(&ring);
    ensure!(
        ring.len() == CAPACITY as u64 && kinds.are_as_asked(mix),
        "{} flows in the ring: {kinds:?}",
        ring.len()
    );
    let per_flow = |bytes: usize| bytes / CAPACITY;
    println!("{}: {kinds:?}", mix.name());
    println!(
        "  floor, the slots alone: {} bytes per flow",
        size_of::<Slot>()
    );
    println!("  ring: {} bytes per flow", per_flow(after - before));
    println!(
        "  ring and all that is known of the node: {} bytes per flow",
        per_flow(after - empty)
    );
    Ok(())
}

/// Resident memory of this process, bytes.
fn resident() -> Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|it| it.trim().strip_suffix("kB"));
    let kibibytes: usize = kibibytes.context("no VmRSS")?.trim().parse()?;
    Ok(kibibytes * 1024)
}

/// What there is in a ring.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "printed")]
struct Kinds {
    l3_l4: usize,
    drops: usize,
    l7: usize,
    with_names: usize,
}

impl Kinds {
    fn of(ring: &FlowRing) -> Self {
        let mut kinds = Self::default();
        for batch in ring.batches() {
            for slot in batch.from(ring.oldest()) {
                match &slot.event {
                    Event::Flow(flow) => kinds.add(flow),
                    _ => kinds.l7 += 1,
                }
            }
        }
        kinds
    }

    fn add(&mut self, flow: &FlowRecord) {
        match flow.observation {
            Observation::KernelDrop(_) => self.drops += 1,
            _ => self.l3_l4 += 1,
        }
        let is_named = flow.source.names.is_some() || flow.destination.names.is_some();
        self.with_names += usize::from(is_named);
    }

    /// Whether they are there in the shares that the mix has, within a hundredth.
    fn are_as_asked(&self, mix: Mix) -> bool {
        let expected = match mix {
            Mix::L3L4 => [100, 0, 0, 0],
            Mix::All => [85, 5, 10, 12],
        };
        let found = [self.l3_l4, self.drops, self.l7, self.with_names];
        let is_near = |(found, percent): (usize, usize)| {
            found.abs_diff(CAPACITY * percent / 100) <= CAPACITY / 100
        };
        found.into_iter().zip(expected).all(is_near)
    }
}
