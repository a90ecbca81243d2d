//! The thread that reads the source, and what keeps the source going.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;
use tracing::warn;

use crate::{
    agent::{AgentError, Config, SourceKind},
    assemble::Assembler,
    counters::Counters,
    enrich::{Directory, Inventory},
    namespaces::SeenNamespaces,
    pipeline::Pipeline,
    ring::FlowRing,
    source::SourceError,
};

/// A source at work. Dropping it stops the thread, then detaches the probes.
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Receives why the source ended. The sender lives in the thread, or here if there is none.
    ended: oneshot::Receiver<SourceError>,
    _idle: Option<oneshot::Sender<SourceError>>,
    #[cfg(feature = "probes")]
    _attacher: Option<crate::source::probes::Attacher>,
}

impl Running {
    /// Starts the configured source.
    pub(crate) fn start(
        config: &Config,
        inventory: Inventory,
        ring: &Arc<FlowRing>,
        counters: &Arc<Counters>,
        namespaces: &Arc<SeenNamespaces>,
    ) -> Result<Self, AgentError> {
        match config.source {
            SourceKind::None => Ok(Self::idle()),
            #[cfg(not(feature = "probes"))]
            SourceKind::Probes => Err(AgentError::NoProbes),
            #[cfg(feature = "probes")]
            SourceKind::Probes => {
                let probes = crate::source::probes::start()?;
                let assembler = Assembler::new(
                    Box::new(probes.names),
                    Directory::new(&config.node_name, inventory),
                    probes.attacher.devices(),
                    Arc::clone(counters),
                );
                let pipeline = Pipeline {
                    source: Box::new(probes.reader),
                    assembler,
                    ring: Arc::clone(ring),
                    counters: Arc::clone(counters),
                    namespaces: Arc::clone(namespaces),
                };
                let mut running = Self::read(pipeline)?;
                running._attacher = Some(probes.attacher);
                Ok(running)
            }
        }
    }

    /// Why the source ended, when it does.
    pub(crate) async fn ended(&mut self) -> AgentError {
        match (&mut self.ended).await {
            Ok(error) => AgentError::Source(error),
            Err(_) => AgentError::PipelineEnded,
        }
    }

    fn idle() -> Self {
        let (sender, ended) = oneshot::channel();
        Self {
            stop: Arc::default(),
            thread: None,
            ended,
            _idle: Some(sender),
            #[cfg(feature = "probes")]
            _attacher: None,
        }
    }

    /// Starts the thread of a pipeline.
    #[cfg_attr(
        not(feature = "probes"),
        expect(dead_code, reason = "no source needs a thread")
    )]
    fn read(pipeline: Pipeline) -> Result<Self, AgentError> {
        let mut running = Self::idle();
        let sender = running._idle.take();
        let stop = Arc::clone(&running.stop);
        let thread = thread::Builder::new()
            .name("pipeline".to_owned())
            .spawn(move || {
                if let Err(error) = pipeline.run(&stop)
                    && let Some(sender) = sender
                {
                    // Nobody waits any more when the agent is ending by itself.
                    drop(sender.send(error));
                }
            })
            .map_err(AgentError::Thread)?;
        running.thread = Some(thread);
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the thread that reads events ended early");
        }
    }
}
