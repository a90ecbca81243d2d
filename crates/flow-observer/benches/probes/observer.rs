//! An agent's own loop on a thread of this process: reader, assembler and flow ring.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result, anyhow};
use flow_observer::{
    assemble::Assembler,
    counters::Counters,
    enrich::{Directory, Inventory},
    pipeline::Pipeline,
    ring::FlowRing,
    source::{
        SourceError,
        probes::{self, Attacher, ProbeConfig},
    },
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use testbed::Node;

/// As many flows as an agent keeps when nobody asks for more.
const RING_CAPACITY: usize = 4095;

/// Probes on a node, and somebody who reads them.
pub(crate) struct Observer {
    pub(crate) counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), SourceError>>>,
    attacher: Attacher,
}

impl Observer {
    /// Starts the probes in `node`; the reader keeps to the processor `cpu`, if one is told.
    pub(crate) fn start(node: &Node, config: &ProbeConfig, cpu: Option<usize>) -> Result<Self> {
        let probes = node
            .namespace()
            .run(|| probes::start(config).context("cannot start the probes"))?;
        let counters = Arc::<Counters>::default();
        let mut pipeline = Pipeline {
            source: Box::new(probes.reader),
            assembler: Assembler::new(
                Box::new(probes.names),
                Arc::new(Directory::new(node.name(), Inventory::default())),
                probes.attacher.devices(),
                Arc::clone(&counters),
            ),
            ring: Arc::new(FlowRing::new(RING_CAPACITY)),
            namespaces: Arc::default(),
            counters: Arc::clone(&counters),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new().name("events".to_owned()).spawn({
            let stop = Arc::clone(&stop);
            move || {
                if let Some(cpu) = cpu {
                    // Measured all the same where that is refused.
                    keep_to(cpu).ok();
                }
                pipeline.run(&stop)
            }
        })?;
        Ok(Self {
            counters,
            stop,
            thread: Some(thread),
            attacher: probes.attacher,
        })
    }

    /// Ends the probes; the reader takes what is left.
    pub(crate) fn end(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        drop(self.attacher);
        match ended {
            Some(Ok(result)) => Ok(result?),
            _ => Err(anyhow!("the reader panicked")),
        }
    }
}

/// Keeps this thread to one processor.
pub(crate) fn keep_to(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}
