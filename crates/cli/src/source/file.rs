//! Flows from a file or from standard input: one `GetFlowsResponse` in JSON on each line, as
//! `observe -o json` and the exporter write it.
//!
//! A thread reads, parses and filters; responses come out in batches, so that the printer works at
//! the same time. Lines that hold no response are logged and skipped.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
};

use flow_api::{
    json,
    observer::{GetFlowsRequest, GetFlowsResponse},
};
use tracing::warn;

use super::{
    Flows,
    batches::{self, Batches},
    reason,
    selection::Selection,
};

/// A longer line is an error: memory must not grow with what a file claims to be one line. The
/// largest flows, with long URLs and many labels, have some tens of kilobytes.
const LINE_BYTES: u64 = 16 * 1024 * 1024;

/// Responses that are handed over at once. Enough that handing over costs nothing next to parsing.
const BATCH: usize = 256;

/// What is read at once from the file.
const READ_BYTES: usize = 256 * 1024;

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
    let (batches, flows) = batches::channel();
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
    Ok(flows)
}

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
