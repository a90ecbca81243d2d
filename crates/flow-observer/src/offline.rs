//! Reading a finite source in full, without a ring: whoever asks sets the pace, nothing is lost.

use std::{sync::Arc, time::Duration};

use flow_api::observer::GetFlowsResponse;

use crate::{
    assemble::Assembler,
    counters::Counters,
    encode::{self, NodeFacts},
    enrich::{Directory, Inventory},
    ring::{Event, MAX_BATCH},
    source::{OpenError, Opened, Progress, Source, SourceError, SourceOptions, open},
};

/// How long one look at a source may take that has nothing at the moment, as a pipe or a file that
/// is played at its own pace: as long as whoever reads may take to notice that it should stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// A source that is read to its end.
pub struct Offline {
    source: Box<dyn Source>,
    assembler: Assembler,
    node: NodeFacts,
    counters: Arc<Counters>,
    with_detail: bool,
    /// How the last batch ended.
    progress: Result<Progress, SourceError>,
}

impl Offline {
    /// Opens a source; `with_detail` adds to each flow what goes beyond Hubble's contract.
    ///
    /// # Errors
    /// When the source is not there, or may not be used.
    pub fn open(
        options: &SourceOptions,
        node_name: &str,
        inventory: Inventory,
        with_detail: bool,
    ) -> Result<Self, OpenError> {
        let counters = Arc::new(Counters::default());
        let Some(Opened {
            source,
            facts,
            devices,
            ..
        }) = open(options)?
        else {
            return Err(OpenError::Nothing);
        };
        let directory = Arc::new(Directory::new(node_name, inventory));
        let node = NodeFacts {
            name: node_name.to_owned(),
            directory: Some(Arc::clone(&directory)),
        };
        Ok(Self {
            source,
            assembler: Assembler::new(facts, directory, devices, Arc::clone(&counters)),
            node,
            counters,
            with_detail,
            progress: Ok(Progress::More),
        })
    }

    /// What comes next, in order; `None` after the end. May be empty when nothing came in time.
    ///
    /// # Errors
    /// When the source breaks.
    pub fn next_batch(&mut self) -> Result<Option<Vec<GetFlowsResponse>>, SourceError> {
        match std::mem::replace(&mut self.progress, Ok(Progress::Ended))? {
            Progress::Ended => return Ok(None),
            Progress::More => {}
        }
        let mut events = Vec::new();
        // An error is told behind what came before it.
        self.progress = self
            .assembler
            .collect(&mut *self.source, PATIENCE, MAX_BATCH, &mut events);
        if !matches!(self.progress, Ok(Progress::More)) {
            self.counters.set_source(self.source.counts());
        }
        Ok(Some(
            events
                .into_iter()
                .filter_map(|event| self.response(event))
                .collect(),
        ))
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn response(&self, event: Event) -> Option<GetFlowsResponse> {
        let is_wanted = match &event {
            event if event.is_loss() => true,
            _ if self.with_detail => event.is_flow_or_closing(),
            _ => event.is_flow(),
        };
        is_wanted
            .then(|| encode::response(event, &self.node, self.with_detail))
            .flatten()
    }
}
