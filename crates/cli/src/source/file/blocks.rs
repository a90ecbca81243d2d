//! Inputs in, blocks of whole lines out, in order: what a worker takes at a time.

use std::{sync::Arc, thread, time::Duration};

use tracing::debug;

use super::input::Input;
use crate::progress::Progress;

/// Bytes of a block. Large enough that taking one costs nothing next to reading its lines, small
/// enough that the blocks of all workers fit into a processor's cache.
const BLOCK_BYTES: usize = 512 * 1024;

/// A longer line is an error: memory must not grow with what a file claims to be one line. The
/// largest flows, with long URLs and many labels, have some tens of kilobytes.
const LINE_BYTES: usize = 16 * 1024 * 1024;

/// How often files that are followed are looked at: soon enough for whoever watches, and next to no
/// work.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Whole lines of one input.
#[derive(Default)]
pub(super) struct Block {
    /// Filled up to `end`; kept, so that it is cleared once only.
    buffer: Vec<u8>,
    end: usize,
    /// The number of the input.
    pub(super) input: usize,
    /// The first one of a file: its lines count from 1.
    pub(super) begins: bool,
}

impl Block {
    /// The lines, without their ends.
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.buffer[..self.end];
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (line, after) = match memchr::memchr(b'\n', rest) {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (rest, &[][..]),
            };
            rest = after;
            Some(line.strip_suffix(b"\r").unwrap_or(line))
        })
    }
}

/// What comes next.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// The block is filled.
    Block,
    /// Everything that was there was read; more may come.
    CaughtUp,
    /// Everything was read.
    End,
}

/// The inputs, and how far they are read.
pub(super) struct Blocks {
    inputs: Vec<Reading>,
    current: usize,
    follow: bool,
    has_caught_up: bool,
    /// One of the inputs gave something since they were all asked before.
    has_found: bool,
    progress: Progress,
}

impl Blocks {
    /// # Errors
    /// An input cannot be opened.
    pub(super) fn new(names: &[String], follow: bool, progress: Progress) -> anyhow::Result<Self> {
        let inputs = names.iter().map(|name| Reading::new(name));
        Ok(Self {
            inputs: inputs.collect::<anyhow::Result<_>>()?,
            current: 0,
            follow,
            has_caught_up: false,
            has_found: false,
            progress,
        })
    }

    /// What the inputs are called, by their numbers.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        let names = self.inputs.iter().map(|reading| reading.input.name());
        names.map(Arc::clone).collect()
    }

    /// Fills a block with what comes next: all of an input, then the next one; once they are read,
    /// what was added to any.
    ///
    /// # Errors
    /// An input cannot be read, or a line is too long.
    pub(super) fn next(&mut self, block: &mut Block) -> anyhow::Result<Next> {
        loop {
            while let Some(reading) = self.inputs.get_mut(self.current) {
                if reading.fill(block, self.follow)? {
                    block.input = self.current;
                    self.progress.advance(block.end as u64);
                    self.has_found = true;
                    // One that grows fast must not keep the others from being read.
                    self.current += usize::from(self.has_caught_up);
                    return Ok(Next::Block);
                }
                self.current += 1;
            }
            if !self.inputs.iter().any(|reading| reading.input.can_grow()) {
                return Ok(Next::End);
            }
            self.current = 0;
            if !std::mem::replace(&mut self.has_caught_up, true) {
                return Ok(Next::CaughtUp);
            }
            if !std::mem::take(&mut self.has_found) {
                thread::sleep(LOOK_AGAIN);
                self.inputs.iter_mut().for_each(Reading::look_again);
            }
        }
    }
}

/// An input, and what of it is not in a block yet.
struct Reading {
    input: Input,
    /// The begin of a line whose end was not read.
    begun: Vec<u8>,
    /// The next block is the first one.
    begins: bool,
    /// What goes wrong after the lines that were read before.
    error: Option<anyhow::Error>,
}

impl Reading {
    fn new(name: &str) -> anyhow::Result<Self> {
        Ok(Self {
            input: Input::new(name)?,
            begun: Vec::new(),
            begins: true,
            error: None,
        })
    }

    /// Fills a block; says no if there is nothing more, or not yet.
    fn fill(&mut self, block: &mut Block, follow: bool) -> anyhow::Result<bool> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if block.buffer.len() != BLOCK_BYTES {
            // None yet, or one that a long line made large.
            block.buffer = vec![0; BLOCK_BYTES.max(self.begun.len() + 1)];
        }
        let mut filled = self.begun.len();
        block.buffer[..filled].copy_from_slice(&self.begun);
        self.begun.clear();
        let mut end = None;
        while end.is_none() || (filled < block.buffer.len() && !self.input.may_keep_us_waiting()) {
            if filled == block.buffer.len() {
                if filled > LINE_BYTES {
                    let name = self.input.name();
                    anyhow::bail!("read {name}: a line is longer than {LINE_BYTES} bytes");
                }
                block.buffer.resize((filled * 2).min(LINE_BYTES + 1), 0);
            }
            let read = match self.input.read(&mut block.buffer[filled..]) {
                Ok(read) => read,
                Err(error) if end.is_none() => return Err(error),
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            };
            if read == 0 {
                if !(follow && self.input.can_grow()) {
                    // The last line needs no end.
                    self.input.finish();
                    end = Some(filled);
                }
                break;
            }
            let new = &block.buffer[filled..filled + read];
            end = memchr::memrchr(b'\n', new).map_or(end, |at| Some(filled + at + 1));
            filled += read;
        }
        block.end = end.unwrap_or(0);
        self.begun.extend(&block.buffer[block.end..filled]);
        if block.end == 0 {
            return Ok(false);
        }
        block.begins = std::mem::take(&mut self.begins);
        Ok(true)
    }

    /// Begins again if the file was replaced or cut off.
    fn look_again(&mut self) {
        if self.input.begin_again_if_replaced() {
            debug!(file = %self.input.name(), "the file was replaced, reading the new one");
            self.begins = true;
            // What was not finished never will be.
            if !self.begun.is_empty() {
                self.begun.push(b'\n');
            }
        }
    }
}
