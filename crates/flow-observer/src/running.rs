//! The thread that reads the source, and what keeps the source going.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use arc_swap::ArcSwap;
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::{
    agent::{AgentError, Config},
    assemble::Assembler,
    counters::Counters,
    enrich::Directory,
    namespaces::SeenNamespaces,
    pipeline::Pipeline,
    ring::FlowRing,
    source::{Hook, LocalDevices, RunTimes, SourceError, open},
};

/// A source at work. Dropping it stops the thread, then lets go of the source.
pub(crate) struct Running {
    /// Parts of the source that can be off.
    pub(crate) hooks: Vec<Hook>,
    /// How long the source's programs in the kernel ran.
    pub(crate) run_times: Arc<RunTimes>,
    /// This host's devices.
    pub(crate) devices: Arc<ArcSwap<LocalDevices>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Receives why the source broke. The sender lives in the thread, or here if there is none.
    broken: oneshot::Receiver<SourceError>,
    _idle: Option<oneshot::Sender<SourceError>>,
    _guard: Option<Box<dyn Send>>,
}

impl Running {
    /// Starts the configured source.
    pub(crate) fn start(
        config: &Config,
        directory: Arc<Directory>,
        ring: &Arc<FlowRing>,
        counters: &Arc<Counters>,
        namespaces: &Arc<SeenNamespaces>,
    ) -> Result<Self, AgentError> {
        let (sender, broken) = oneshot::channel();
        let mut running = Self {
            hooks: Vec::new(),
            run_times: Arc::default(),
            devices: Arc::default(),
            stop: Arc::default(),
            thread: None,
            broken,
            _idle: None,
            _guard: None,
        };
        let Some(opened) = open(&config.source)? else {
            running._idle = Some(sender);
            return Ok(running);
        };
        running.hooks = opened.hooks;
        running.run_times = opened.run_times;
        running.devices = Arc::clone(&opened.devices);
        running._guard = opened.guard;
        let pipeline = Pipeline {
            source: opened.source,
            assembler: Assembler::new(
                opened.facts,
                directory,
                opened.devices,
                Arc::clone(counters),
            )
            .with_exchanges(config.exchanges.clone()),
            ring: Arc::clone(ring),
            namespaces: Arc::clone(namespaces),
            counters: Arc::clone(counters),
        };
        running.thread = Some(read(pipeline, Arc::clone(&running.stop), sender)?);
        Ok(running)
    }

    /// Why the source broke, when it does.
    pub(crate) async fn broken(&mut self) -> AgentError {
        match (&mut self.broken).await {
            Ok(error) => AgentError::Source(error),
            Err(_) => AgentError::PipelineEnded,
        }
    }
}

/// Starts the thread of a pipeline.
fn read(
    mut pipeline: Pipeline,
    stop: Arc<AtomicBool>,
    broken: oneshot::Sender<SourceError>,
) -> Result<JoinHandle<()>, AgentError> {
    let thread = move || match pipeline.run(&stop) {
        // Nobody waits any more when the agent is ending by itself.
        Err(error) => drop(broken.send(error)),
        Ok(()) if stop.load(Ordering::Relaxed) => {}
        Ok(()) => {
            info!("everything was read; serving what there is");
            // A sender that is dropped would mean that the thread broke.
            while !stop.load(Ordering::Relaxed) {
                thread::park();
            }
        }
    };
    thread::Builder::new()
        .name("pipeline".to_owned())
        .spawn(thread)
        .map_err(AgentError::Thread)
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                warn!("the thread that reads events ended early");
            }
        }
    }
}
