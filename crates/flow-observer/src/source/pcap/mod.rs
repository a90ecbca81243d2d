//! Packets of a capture file.
//!
//! In: a pcap or pcapng file of any byte order, also by way of a pipe or standard input, also
//! packed by gzip. Out: [`RawEvent::Packet`], in the order of the file. What is in the file and
//! cannot be read is [`RawEvent::Skipped`] with a reason; a file that ends within a packet or is
//! damaged ends there, with a warning that names the place.

mod classic;
mod link;
mod ng;
mod numbers;
#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tracing::warn;

use super::{
    CapturedPacket, Progress, RawEvent, Source, SourceError,
    input::{self, Filled, Input},
    pace::{Clock, Pace},
};
use classic::Classic;
use ng::Ng;

/// The longest packet or block that is believed. Captures hold up to 256 KiB of a packet; memory
/// must not grow with what a file claims.
const LONGEST_BLOCK: usize = 16 * 1024 * 1024;

/// A capture file.
pub struct Pcap {
    /// What errors and warnings call it.
    what: String,
    input: Input,
    /// Known after the first bytes.
    format: Option<Format>,
    clock: Clock,
}

enum Format {
    Classic(Classic),
    Ng(Ng),
}

/// What the next bytes of a file are.
enum Step<'a> {
    /// Not all there yet: at least this many are needed.
    Need(usize),
    /// A packet, within a block of `len` bytes.
    Packet { len: usize, packet: Packet<'a> },
    /// Nothing for us, `len` bytes of it; `lost` when it is a packet that we cannot read.
    Other {
        len: u64,
        lost: Option<&'static str>,
    },
    /// Not what the format allows; there is no telling what follows.
    Damaged(&'static str),
}

/// A packet as the file has it.
struct Packet<'a> {
    time_ns: i64,
    bytes: &'a [u8],
    original_len: u32,
    link_type: u16,
    interface: Option<(u32, &'a Arc<str>)>,
}

impl Pcap {
    /// Opens a capture file, or standard input for `-`.
    ///
    /// # Errors
    /// The file cannot be read, or is no capture, or one of a link layer that we do not know. From
    /// a pipe, that shows with the first poll.
    pub fn open(path: &Path, pace: Pace) -> Result<Self, SourceError> {
        let what = input::name(path);
        match Input::open(path) {
            Ok(input) => Self::new(&what, input, pace),
            Err(source) => Err(SourceError::Read { what, source }),
        }
    }

    /// Reads a capture that is in memory, as fast as it can.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of_bytes(bytes: Vec<u8>) -> Result<Self, SourceError> {
        Self::new("memory", Input::of(bytes), Pace::FullSpeed)
    }

    fn new(what: &str, input: Input, pace: Pace) -> Result<Self, SourceError> {
        let mut pcap = Self {
            what: what.to_owned(),
            input,
            format: None,
            clock: Clock::new(pace),
        };
        while pcap.input.is_file() && pcap.format.is_none() {
            let filled = pcap.fill(Duration::ZERO)?;
            pcap.recognize(filled == Filled::End)?;
        }
        Ok(pcap)
    }

    fn fill(&mut self, patience: Duration) -> Result<Filled, SourceError> {
        self.input
            .fill(patience)
            .map_err(|source| SourceError::Read {
                what: self.what.clone(),
                source,
            })
    }

    /// Looks at the first bytes, as soon as they are there.
    fn recognize(&mut self, is_all: bool) -> Result<(), SourceError> {
        let head = self.input.buffered();
        if head.len() < Classic::HEADER_BYTES && !is_all {
            return Ok(());
        }
        if Ng::is_ng(head) {
            self.format = Some(Format::Ng(Ng::new(&self.what)));
            return Ok(());
        }
        let Some(classic) = Classic::recognize(head) else {
            return Err(SourceError::NotACapture {
                what: self.what.clone(),
                start: match head.get(..4).unwrap_or(head) {
                    [] => "nothing".to_owned(),
                    first => first.iter().map(|byte| format!("{byte:02x}")).collect(),
                },
            });
        };
        if !link::is_known(classic.link_type) {
            return Err(SourceError::LinkType {
                what: self.what.clone(),
                number: classic.link_type,
                name: link::name(classic.link_type),
            });
        }
        self.input.consume(Classic::HEADER_BYTES as u64);
        self.format = Some(Format::Classic(classic));
        Ok(())
    }

    /// The file is at its end, or at its wits'.
    fn end(&mut self, problem: Option<&'static str>, sink: &mut dyn FnMut(RawEvent<'_>)) {
        let (file, offset) = (&self.what, self.input.offset());
        if let Some(problem) = problem {
            warn!(%file, offset, problem, "capture file is damaged, the rest is not read");
            sink(RawEvent::Skipped("damaged_capture_file"));
        } else if !self.input.buffered().is_empty() || self.input.lacks_consumed() {
            warn!(%file, offset, "capture file ends within a packet");
            sink(RawEvent::Skipped("truncated_capture_file"));
        }
    }
}

impl Source for Pcap {
    fn is_recorded(&self) -> bool {
        true
    }

    fn poll(
        &mut self,
        patience: Duration,
        limit: usize,
        sink: &mut dyn FnMut(RawEvent<'_>),
    ) -> Result<Progress, SourceError> {
        let deadline = Instant::now() + patience;
        let left = |handed_out: usize| match handed_out {
            0 => deadline.saturating_duration_since(Instant::now()),
            _ => Duration::ZERO,
        };
        let mut handed_out = 0;
        while handed_out < limit {
            let bytes = self.input.buffered();
            let step = match &mut self.format {
                Some(_) if self.input.lacks_consumed() => Step::Need(1),
                Some(Format::Classic(classic)) => classic.step(bytes),
                Some(Format::Ng(ng)) => ng.step(bytes),
                None => Step::Need(Classic::HEADER_BYTES),
            };
            match step {
                Step::Need(len) if len > LONGEST_BLOCK => {
                    self.end(Some("a packet or block of more than 16 MiB"), sink);
                    return Ok(Progress::Ended);
                }
                Step::Need(_) => {
                    let filled = self.fill(left(handed_out))?;
                    if self.format.is_none() {
                        self.recognize(filled == Filled::End)?;
                    } else if filled == Filled::End {
                        self.end(None, sink);
                        return Ok(Progress::Ended);
                    }
                    if filled == Filled::NothingYet {
                        return Ok(Progress::More);
                    }
                }
                Step::Packet { len, packet } => {
                    let wait = self.clock.wait(packet.time_ns, Instant::now);
                    if !wait.is_zero() {
                        let left = left(handed_out);
                        thread::sleep(wait.min(left));
                        if wait > left {
                            return Ok(Progress::More);
                        }
                    }
                    sink(packet.event());
                    handed_out += 1;
                    self.input.consume(len as u64);
                }
                Step::Other { len, lost } => {
                    if let Some(reason) = lost {
                        sink(RawEvent::Skipped(reason));
                        handed_out += 1;
                    }
                    self.input.consume(len);
                }
                Step::Damaged(problem) => {
                    self.end(Some(problem), sink);
                    return Ok(Progress::Ended);
                }
            }
        }
        Ok(Progress::More)
    }
}

impl<'a> Packet<'a> {
    /// The packet without the headers that only capture files have.
    fn event(&self) -> RawEvent<'a> {
        match link::strip(self.link_type, self.bytes) {
            Ok(link) => RawEvent::Packet(CapturedPacket {
                time_ns: self.time_ns,
                bytes: link.bytes,
                // A file may say less; the packet had at least what is there of it.
                original_len: self
                    .original_len
                    .saturating_sub((self.bytes.len() - link.bytes.len()) as u32)
                    .max(link.bytes.len() as u32),
                start: link.start,
                interface: self.interface,
            }),
            Err(reason) => RawEvent::Skipped(reason),
        }
    }
}
