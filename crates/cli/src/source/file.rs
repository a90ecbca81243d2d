//! Flows from files or from standard input: one `GetFlowsResponse` in JSON on each line, as
//! `observe -o json` and the exporter write it, packed or not.
//!
//! ```text
//! input ──► blocks ──► workers ──┬─ print ───► printed ──► standard output
//! (bytes)   (lines)    (threads) └─ collect ─► collected ──► a stream of responses
//! ```
//!
//! Each worker takes a block of whole lines and does all the work on it: it reads each line, filters,
//! and prints, where each response can be printed on its own. What comes of the blocks goes on in
//! their order. Lines that hold no response are logged and skipped.

mod blocks;
mod collected;
mod compressed;
mod input;
mod line;
mod places;
mod printed;
mod workers;

use std::{path::Path, sync::Arc};

use flow_api::{
    json::{Fields, UnknownField},
    observer::{GetFlowsRequest, GetFlowsResponse},
};
use tokio_util::sync::CancellationToken;

use self::{
    blocks::Blocks,
    collected::Collector,
    line::LineReader,
    places::Places,
    printed::{Press, Writer},
};
use super::{
    Flows,
    selection::{Count, Wanted},
};
use crate::observe::request::Display;
use crate::print::{self, Screen};
use crate::progress::Progress;

/// How many bytes there are to read; `None` where nobody knows, as of what is packed or comes through a
/// pipe.
pub(crate) fn length(names: &[String]) -> Option<u64> {
    let length = |name: &String| {
        let path = Path::new(name);
        let is_packed = path.extension().is_some_and(|it| it == "gz" || it == "zst");
        let metadata = path.metadata().ok()?;
        (metadata.is_file() && !is_packed).then_some(metadata.len())
    };
    names.iter().map(length).sum()
}

/// Files that are open, and what is wanted of them.
pub(crate) struct Files {
    blocks: Blocks,
    places: Places,
    wanted: Arc<Wanted>,
    count: Count,
}

impl Files {
    /// Opens files, or standard input for `-`, to read the flows that `request` asks for.
    ///
    /// # Errors
    /// A file cannot be opened, a filter means nothing, or too many flows are to be kept.
    pub(crate) fn open(
        names: &[String],
        request: &GetFlowsRequest,
        progress: Progress,
    ) -> anyhow::Result<Self> {
        let blocks = Blocks::new(names, request.follow, progress)?;
        Ok(Self {
            places: Places::new(blocks.names()),
            blocks,
            wanted: Arc::new(Wanted::new(request)?),
            count: Count::new(request)?,
        })
    }

    /// Prints the flows, until the end of the files or a signal. For formats whose printers are
    /// [stateless](print::Format::is_stateless).
    ///
    /// # Errors
    /// A file cannot be read, or standard output not be written.
    pub(crate) async fn print(
        self,
        display: Display,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let reader = Arc::new(self.reader(display.format.shown())?);
        let steps = workers::start(self.blocks, || {
            let mut press = Press {
                reader: Arc::clone(&reader),
                wanted: Arc::clone(&self.wanted),
                printer: print::printer(display.format, display.style.clone()),
                marks_all: self.count != Count::All,
            };
            move |block: &_| press.print(block)
        })?;
        let mut screen = Screen::new(display.silent);
        screen.progress = display.progress.clone();
        let writer = Writer::new(screen, self.count, Arc::clone(&reader), self.places);
        let written = printed::write(steps, writer, shutdown).await;
        display.progress.finish();
        written
    }

    /// The flows as messages, with at least the fields at these paths; `None` for all fields.
    ///
    /// # Errors
    /// A path leads nowhere, or there can be no more threads.
    pub(crate) fn flows(self, fields: Option<&[&str]>) -> anyhow::Result<Flows> {
        let reader = Arc::new(self.reader(fields)?);
        let steps = workers::start(self.blocks, || {
            let collector = Collector {
                reader: Arc::clone(&reader),
                wanted: Arc::clone(&self.wanted),
            };
            move |block: &_| collector.collect(block)
        })?;
        Ok(collected::flows(steps, self.count, reader, self.places))
    }

    /// Reads the fields that somebody looks at: the filter, and whoever wants these.
    fn reader(&self, fields: Option<&[&str]>) -> Result<LineReader, UnknownField> {
        let filtered = self.wanted.fields();
        let fields = match (fields, &filtered) {
            (Some(shown), Some(filtered)) => {
                let filtered = filtered.iter().map(String::as_str);
                Fields::of::<GetFlowsResponse>(filtered.chain(shown.iter().copied()))?
            }
            _ => Fields::all(),
        };
        Ok(LineReader::new(fields))
    }
}
