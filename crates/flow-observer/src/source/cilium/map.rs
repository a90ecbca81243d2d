//! The perf event array that Cilium's datapath writes its records to, pinned by the agent.
//!
//! In: samples of one perf buffer per CPU, padded, some of them in two pieces. Out: records, and
//! what each CPU lost.
//!
//! An array has one slot per CPU, and a slot has one reader. Whoever opens it takes the stream away
//! from the agent, and leaves the slot empty when it ends: the agent sees nothing from then on until
//! it is started anew. So this is for nodes whose agent does not read (or is not there), and only
//! for who says so.

use std::{
    ops::ControlFlow,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    time::Duration,
};

use aya::maps::{
    Map, MapData, MapError, PerfEventArray,
    perf::{PerfBufferError, PerfEvent, PerfEventArrayBuffer},
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{
    decode::cilium::record_length,
    source::{Progress, RawEvent, Source, SourceError},
};

/// Pages of each CPU's buffer, a power of two: some thousand records, as many as the agent itself
/// provides for.
pub const DEFAULT_PAGES: usize = 64;

/// Why the array cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventMapError {
    /// Nobody said that the stream may be taken from whoever reads it now.
    #[error(
        "will not read {path}: it has room for one reader, so the Cilium agent would see no more \
         events, not even after we have gone; read the agent's monitor socket instead, or say that \
         the stream is to be taken over"
    )]
    NotTakingOver {
        /// The map.
        path: PathBuf,
    },
    /// There is no such map, or we may not use it; usually Cilium is not running.
    #[error("cannot open the pinned map {path}")]
    Pin {
        /// The map.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: MapError,
    },
    /// The map is of another kind.
    #[error("the pinned map {path} is no perf event array")]
    Kind {
        /// The map.
        path: PathBuf,
    },
    /// The kernel does not tell which CPUs there are.
    #[error("cannot list the CPUs")]
    Cpus(#[source] std::io::Error),
    /// The kernel refused a buffer; usually for lack of `CAP_PERFMON`.
    #[error("cannot open the perf buffer of CPU {cpu}")]
    Buffer {
        /// The CPU.
        cpu: u32,
        /// What the system said.
        #[source]
        source: PerfBufferError,
    },
}

/// Reads the pinned perf event array of Cilium's datapath.
pub struct EventMap {
    buffers: Vec<Buffer>,
    /// The CPU that is read first next time, so that a busy one cannot starve the others.
    first: usize,
    /// Puts samples together that come in two pieces.
    whole: Vec<u8>,
}

struct Buffer {
    cpu: u32,
    ring: PerfEventArrayBuffer<MapData>,
}

impl EventMap {
    /// Opens the map that is pinned at `path` for all CPUs that are online, with a buffer of
    /// `pages` pages each.
    ///
    /// # Errors
    /// Without `take_over`; and when the map or a buffer cannot be had.
    pub fn open(path: &Path, take_over: bool, pages: usize) -> Result<Self, EventMapError> {
        let path = path.to_owned();
        if !take_over {
            return Err(EventMapError::NotTakingOver { path });
        }
        let map = match MapData::from_pin(&path).and_then(Map::from_map_data) {
            Ok(map) => map,
            Err(source) => return Err(EventMapError::Pin { path, source }),
        };
        let mut array = match map {
            Map::PerfEventArray(map) => PerfEventArray::try_from(Map::PerfEventArray(map))
                .map_err(|source| EventMapError::Pin { path, source })?,
            _ => return Err(EventMapError::Kind { path }),
        };
        let cpus = aya::util::online_cpus().map_err(|(_, error)| EventMapError::Cpus(error))?;
        let buffers = cpus
            .into_iter()
            .map(|cpu| match array.open(cpu, Some(pages)) {
                Ok(ring) => Ok(Buffer { cpu, ring }),
                Err(source) => Err(EventMapError::Buffer { cpu, source }),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            buffers,
            first: 0,
            whole: Vec::new(),
        })
    }

    /// Takes at most `limit` events; returns how many there were.
    fn take(&mut self, limit: usize, sink: &mut dyn FnMut(RawEvent<'_>)) -> usize {
        let mut taken = 0;
        let count = self.buffers.len();
        for index in (0..count).map(|step| (self.first + step) % count) {
            if taken == limit {
                break;
            }
            let Buffer { cpu, ring } = &mut self.buffers[index];
            let (cpu, whole) = (*cpu, &mut self.whole);
            let outcome = ring.try_fold(taken, |taken, event| {
                hand_out(cpu, event, whole, sink);
                match taken + 1 {
                    taken if taken < limit => ControlFlow::Continue(taken),
                    taken => ControlFlow::Break(taken),
                }
            });
            let (ControlFlow::Continue(total) | ControlFlow::Break(total)) = outcome;
            taken = total;
        }
        self.first = (self.first + 1) % count.max(1);
        taken
    }

    fn wait(&self, patience: Duration) -> Result<(), SourceError> {
        let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        let mut descriptors: Vec<PollFd<'_>> = self
            .buffers
            .iter()
            .map(|buffer| PollFd::new(buffer.ring.as_fd(), PollFlags::POLLIN))
            .collect();
        match poll(&mut descriptors, patience) {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(error) => Err(SourceError::Wait(error.into())),
        }
    }
}

impl Source for EventMap {
    fn poll(
        &mut self,
        patience: Duration,
        limit: usize,
        sink: &mut dyn FnMut(RawEvent<'_>),
    ) -> Result<Progress, SourceError> {
        if self.take(limit, sink) == 0 {
            self.wait(patience)?;
        }
        Ok(Progress::More)
    }
}

fn hand_out(
    cpu: u32,
    event: PerfEvent<'_>,
    whole: &mut Vec<u8>,
    sink: &mut dyn FnMut(RawEvent<'_>),
) {
    let sample = match event {
        PerfEvent::Lost { count } => return sink(RawEvent::Lost { cpu, count }),
        PerfEvent::Sample { head, tail: [] } => head,
        PerfEvent::Sample { head, tail } => {
            whole.clear();
            whole.extend_from_slice(head);
            whole.extend_from_slice(tail);
            &**whole
        }
    };
    let bytes = &sample[..record_length(sample)];
    sink(RawEvent::Cilium { cpu, bytes });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_not_taken_from_an_agent_unless_that_is_said() {
        let path = "/sys/fs/bpf/tc/globals/cilium_events";
        let error = EventMap::open(Path::new(path), false, DEFAULT_PAGES)
            .err()
            .unwrap();
        let text = error.to_string();
        for part in [path, "one reader", "monitor socket instead"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
