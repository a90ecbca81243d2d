//! Flows from a file or from standard input: one `GetFlowsResponse` in JSON on each line, as
//! `observe -o json` and the exporter write it.
//!
//! A thread reads, parses and filters; responses come out in batches, so that the printer works at
//! the same time. Lines that hold no response are logged and skipped.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
};

use flow_api::{
    json,
    observer::{GetFlowsRequest, GetFlowsResponse},
};
use flow_filter::Filter;
use futures::{StreamExt as _, stream};
use prost_types::Timestamp;
use tokio::sync::mpsc;
use tracing::warn;

use super::{Flows, reason};

/// A longer line is an error: memory must not grow with what a file claims to be one line. The
/// largest flows, with long URLs and many labels, have some tens of kilobytes.
const LINE_BYTES: u64 = 16 * 1024 * 1024;

/// Responses that are handed over at once. Enough that handing over costs nothing next to parsing.
const BATCH: usize = 256;

/// Batches that wait for the printer: one being printed, one ready, one being filled. When full,
/// the reader waits.
const BATCHES_WAITING: usize = 2;

/// What is read at once from the file.
const READ_BYTES: usize = 256 * 1024;

/// `--last` keeps that many responses in memory.
const MOST_LAST: u64 = 1_000_000;

/// Opens a file, or standard input for `-`, and reads the flows that `request` asks for.
///
/// # Errors
/// The file cannot be opened, a filter means nothing, or too many flows are to be kept.
pub(crate) fn flows(path: &str, request: &GetFlowsRequest) -> anyhow::Result<Flows> {
    let input: Box<dyn io::Read + Send> = if path == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(
            File::open(path).map_err(|error| anyhow::anyhow!("open {path}: {}", reason(&error)))?,
        )
    };
    let selection = Selection::new(request)?;
    let path = path.to_owned();
    let (batches, receiver) = mpsc::channel(BATCHES_WAITING);
    tokio::task::spawn_blocking(move || {
        let mut lines = Lines {
            input: BufReader::with_capacity(READ_BYTES, input),
            line: Vec::new(),
        };
        if let Err(error) = read(&mut lines, selection, &batches) {
            let error = anyhow::anyhow!("read {path}: {}", reason(&error));
            // Nobody listens any more if this fails, so nobody misses it.
            batches.blocking_send(Err(error)).ok();
        }
    });
    let batches = stream::unfold(receiver, |mut receiver| async move {
        let batch = receiver.recv().await?;
        Some((batch, receiver))
    });
    Ok(batches
        .flat_map(|batch| match batch {
            Ok(responses) => stream::iter(responses).map(Ok).left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        })
        .boxed())
}

type Batches = mpsc::Sender<anyhow::Result<Vec<GetFlowsResponse>>>;

/// Reads to the end, or until nobody wants more.
fn read(
    lines: &mut Lines<impl io::Read>,
    mut selection: Selection,
    batches: &Batches,
) -> io::Result<()> {
    let mut parser = Parser::default();
    let mut batch = Vec::new();
    while !selection.is_complete() {
        // Do not sit on responses while waiting for input that may take long, as from a pipe.
        if batch.len() >= BATCH || (!batch.is_empty() && !lines.has_buffered_line()) {
            let full = std::mem::take(&mut batch);
            if batches.blocking_send(Ok(full)).is_err() {
                return Ok(());
            }
        }
        let Some(line) = lines.next()? else { break };
        if let Some(response) = parser.parse(line) {
            batch.extend(selection.pass(response));
        }
    }
    batch.extend(selection.finish());
    batches.blocking_send(Ok(batch)).ok();
    Ok(())
}

/// Splits the input into lines of bounded length.
struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
}

impl<R: io::Read> Lines<R> {
    /// The next line without its end; `None` at the end of the input.
    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let read = (&mut self.input)
            .take(LINE_BYTES + 1)
            .read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if read as u64 > LINE_BYTES {
            return Err(io::Error::other(format!(
                "a line is longer than {LINE_BYTES} bytes"
            )));
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok(Some(&self.line))
    }

    fn has_buffered_line(&self) -> bool {
        self.input.buffer().contains(&b'\n')
    }
}

/// Turns lines into responses, and says once that it does not know all fields.
#[derive(Default)]
struct Parser {
    options: json::ReadOptions,
}

impl Parser {
    fn parse(&mut self, line: &[u8]) -> Option<GetFlowsResponse> {
        let text = match str::from_utf8(line) {
            Ok(text) => text,
            Err(error) => {
                let line = String::from_utf8_lossy(line);
                warn!(%error, %line, "Failed to unmarshal json to flow");
                return None;
            }
        };
        let error = match json::from_str_with(text, self.options) {
            Ok(response) => return Some(response),
            Err(error) => error,
        };
        // A line of a newer Hubble may have fields that this build does not know. Then the rest of
        // it is worth showing, and one warning is enough.
        let lenient = json::ReadOptions {
            ignore_unknown: true,
        };
        if !self.options.ignore_unknown
            && let Ok(response) = json::from_str_with(text, lenient)
        {
            self.options = lenient;
            warn!(
                %error,
                "unknown field detected, upgrade the Hubble CLI to get rid of this warning"
            );
            return Some(response);
        }
        warn!(%error, line = text, "Failed to unmarshal json to flow");
        None
    }
}

/// Which responses are wanted: by time, by filter, and how many from which end.
struct Selection {
    filter: Filter,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    count: Count,
}

enum Count {
    All,
    /// How many are still to come.
    First(u64),
    /// The latest ones so far, and how many to keep.
    Last(VecDeque<GetFlowsResponse>, usize),
}

impl Selection {
    fn new(request: &GetFlowsRequest) -> anyhow::Result<Self> {
        let filter = Filter::compile(&request.whitelist, &request.blacklist)?;
        let count = match request.number {
            0 | u64::MAX => Count::All,
            number if request.first => Count::First(number),
            number if number > MOST_LAST => {
                anyhow::bail!("--last must be <= 1_000_000, got {number}")
            }
            number => Count::Last(VecDeque::new(), usize::try_from(number)?),
        };
        Ok(Self {
            filter,
            since: request.since,
            until: request.until,
            count,
        })
    }

    fn is_complete(&self) -> bool {
        matches!(self.count, Count::First(0))
    }

    /// The response if it is wanted now.
    fn pass(&mut self, response: GetFlowsResponse) -> Option<GetFlowsResponse> {
        if !self.wants(&response) {
            return None;
        }
        match &mut self.count {
            Count::All => Some(response),
            Count::First(missing) => {
                *missing = missing.saturating_sub(1);
                Some(response)
            }
            Count::Last(kept, most) => {
                if kept.len() == *most {
                    kept.pop_front();
                }
                kept.push_back(response);
                None
            }
        }
    }

    fn wants(&self, response: &GetFlowsResponse) -> bool {
        let time = response.time.unwrap_or_default();
        let key = |time: &Timestamp| (time.seconds, time.nanos);
        if self.since.is_some_and(|since| key(&time) < key(&since))
            || self.until.is_some_and(|until| key(&time) > key(&until))
        {
            return false;
        }
        self.filter.matches(response)
    }

    fn finish(self) -> VecDeque<GetFlowsResponse> {
        match self.count {
            Count::Last(kept, _) => kept,
            Count::All | Count::First(_) => VecDeque::new(),
        }
    }
}
