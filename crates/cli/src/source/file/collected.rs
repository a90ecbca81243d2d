//! Flows of files as a stream of messages, for whoever has to see one after the other.

use std::sync::Arc;

use flow_api::observer::GetFlowsResponse;
use futures::{StreamExt as _, future, stream};
use tokio::sync::mpsc;

use super::{
    blocks::Block,
    line::{LineReader, Warning},
    places::{Place, Places},
    workers::Step,
};
use crate::source::{
    Flows,
    selection::{Count, Counted, Wanted},
};

/// What was found in a block.
pub(super) struct Collected {
    found: Vec<Found>,
    place: Place,
}

/// A response, or a warning about the line with this number in the block.
type Found = Result<GetFlowsResponse, (u64, Warning)>;

/// What a worker collects with.
pub(super) struct Collector {
    pub(super) reader: Arc<LineReader>,
    pub(super) wanted: Arc<Wanted>,
}

impl Collector {
    pub(super) fn collect(&self, block: &Block) -> Collected {
        let mut found = Vec::new();
        let mut lines = 0;
        for line in block.lines() {
            lines += 1;
            match self.reader.read(line) {
                Ok(line) => {
                    found.extend(line.warning.map(|warning| Err((lines, warning))));
                    if self.wanted.contain(&line.response) {
                        found.push(Ok(line.response));
                    }
                }
                Err(warning) => found.push(Err((lines, warning))),
            }
        }
        let place = Place::new(block, lines);
        Collected { found, place }
    }
}

/// Where the stream is.
struct State {
    /// `None` once everything was said.
    steps: Option<mpsc::Receiver<Step<Collected>>>,
    counted: Counted,
    places: Places,
}

/// What comes next. A warning is logged when it is its turn, between the flows around its line.
type Said = Result<anyhow::Result<GetFlowsResponse>, Told>;

/// A warning, and where.
struct Told {
    warning: Warning,
    file: Arc<str>,
    number: u64,
}

/// What the workers collect, in order.
pub(super) fn flows(
    steps: mpsc::Receiver<Step<Collected>>,
    count: Count,
    reader: Arc<LineReader>,
    places: Places,
) -> Flows {
    let state = State {
        steps: Some(steps),
        counted: Counted::new(count),
        places,
    };
    stream::unfold(state, async |mut state| {
        let batch = state.next().await?;
        Some((stream::iter(batch), state))
    })
    .flatten()
    .filter_map(move |said| {
        let log = |told: Told| reader.log(&told.warning, &told.file, told.number);
        future::ready(said.map_err(log).ok())
    })
    .boxed()
}

impl State {
    async fn next(&mut self) -> Option<Vec<Said>> {
        let step = self.steps.as_mut()?.recv().await;
        if let Some(Step::Done(collected)) = step {
            let batch = self.pass(collected);
            if self.counted.is_complete() {
                self.steps = None;
            }
            return Some(batch);
        }
        let kept = self.counted.finish().into_iter().map(Ok);
        let error = match step {
            Some(Step::CaughtUp) => None,
            end => {
                self.steps = None;
                match end {
                    Some(Step::Failed(error)) => Some(error),
                    Some(_) => None,
                    None => Some(anyhow::anyhow!("a thread that reads ended early")),
                }
            }
        };
        let error = error.into_iter().map(Err);
        Some(kept.chain(error).map(Ok).collect())
    }

    fn pass(&mut self, collected: Collected) -> Vec<Said> {
        let (file, lines_before) = self.places.count(collected.place);
        let mut batch = Vec::new();
        for found in collected.found {
            if self.counted.is_complete() {
                break;
            }
            batch.extend(match found {
                Ok(response) => self.counted.pass(response).map(|response| Ok(Ok(response))),
                Err((line, warning)) => Some(Err(Told {
                    warning,
                    file: Arc::clone(&file),
                    number: lines_before + line,
                })),
            });
        }
        batch
    }
}
