//! The monitor socket of a Cilium agent.
//!
//! In: gob messages, each with a record or with a count of records that were lost before the agent
//! had them. Out: those, as raw events. When the agent goes away, the socket is tried again, less
//! and less often; each failure is counted, since what happened meanwhile was not seen.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use crate::{
    counters::{Stage, StageCount},
    decode::{
        cilium::{Payload, PayloadKind},
        gob::{self, GobError},
    },
    source::{Progress, RawEvent, Source, SourceError},
};

/// How long to wait after the first failure; twice as long after each further one.
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// The longest wait: an agent that comes back is seen within this time.
const LAST_RETRY: Duration = Duration::from_secs(15);
/// Room for incoming bytes, some hundred records. Grows while a longer message comes in, up to
/// [`gob::MAX_MESSAGE_BYTES`] and its length.
const BUFFER_BYTES: usize = 64 * 1024;

/// Reads the monitor socket of a Cilium agent, for as long as it takes.
#[derive(Debug)]
pub struct MonitorSocket {
    path: PathBuf,
    connection: Option<Connection>,
    retry_at: Instant,
    retry_after: Duration,
    /// The last attempt failed, and was told: only a change is worth a line in the log.
    told: bool,
    connections: u64,
    failures: BTreeMap<&'static str, u64>,
}

impl MonitorSocket {
    /// Reads the socket at this path; an agent that is not there yet is waited for.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            connection: None,
            retry_at: Instant::now(),
            retry_after: FIRST_RETRY,
            told: false,
            connections: 0,
            failures: BTreeMap::new(),
        }
    }

    /// Connects if it is time to, and else lets time pass.
    fn connect(&mut self, patience: Duration) -> Result<(), Ended> {
        let wait = self.retry_at.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            thread::sleep(wait.min(patience));
            return Ok(());
        }
        match UnixStream::connect(&self.path) {
            Ok(stream) => {
                info!(socket = %self.path.display(), "reading the events of a Cilium agent");
                self.connections += 1;
                self.connection = Some(Connection::new(stream));
                Ok(())
            }
            Err(error) => Err(Ended::Unreachable(error)),
        }
    }

    /// Counts a failure, and plans the next attempt.
    fn ended(&mut self, ended: &Ended) {
        *self.failures.entry(ended.reason()).or_default() += 1;
        if self.connection.take().is_some_and(|it| it.has_spoken) {
            self.retry_after = FIRST_RETRY;
            self.told = false;
        }
        // Agents of many nodes that were stopped together are not to come back together.
        let wait = self.retry_after.mul_f64(rand::random_range(0.5..1.0));
        self.retry_at = Instant::now() + wait;
        self.retry_after = (self.retry_after * 2).min(LAST_RETRY);
        if !self.told {
            self.told = true;
            warn!(
                socket = %self.path.display(),
                error = %ended,
                "no events of a Cilium agent; trying again"
            );
        }
    }
}

impl Source for MonitorSocket {
    fn poll(
        &mut self,
        patience: Duration,
        limit: usize,
        sink: &mut dyn FnMut(RawEvent<'_>),
    ) -> Result<Progress, SourceError> {
        let result = match &mut self.connection {
            Some(connection) => connection.poll(patience, limit, sink),
            None => self.connect(patience),
        };
        if let Err(ended) = result {
            self.ended(&ended);
        }
        Ok(Progress::More)
    }

    fn counts(&mut self) -> Vec<StageCount> {
        let count = |what, kind: &str, count, is_loss| StageCount {
            stage: Stage::Source,
            what,
            kind: kind.to_owned(),
            count,
            is_loss,
        };
        let failures = self
            .failures
            .iter()
            .map(|(kind, &failures)| count("monitor_failures", kind, failures, true));
        [count("monitor_connections", "", self.connections, false)]
            .into_iter()
            .chain(failures)
            .collect()
    }
}

/// Why a connection is over, or did not come about.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("cannot connect: {0}; is the Cilium agent running, and may we use its socket?")]
    Unreachable(io::Error),
    #[error("the agent closed the connection")]
    Closed,
    #[error("cannot read: {0}")]
    Read(io::Error),
    /// Without the definitions that it sent once, nothing after this could be read.
    #[error("not the monitor protocol: {0}")]
    Protocol(#[from] GobError),
}

impl Ended {
    /// A short name for counters.
    fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Closed => "closed",
            Self::Read(_) => "read",
            Self::Protocol(error) => error.reason(),
        }
    }
}

/// One connection: the types that the agent defined on it, and bytes that wait to be handed out.
///
/// ```text
/// buffer:  | handed out | whole messages, and the beginning of one | room |
///                       start                                      end
/// ```
#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    decoder: gob::Decoder,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    patience: Option<Duration>,
    /// At least one message was understood.
    has_spoken: bool,
}

impl Connection {
    fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            decoder: gob::Decoder::default(),
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
            patience: None,
            has_spoken: false,
        }
    }

    fn poll(
        &mut self,
        patience: Duration,
        limit: usize,
        sink: &mut dyn FnMut(RawEvent<'_>),
    ) -> Result<(), Ended> {
        if self.hand_out(limit, sink)? {
            return Ok(());
        }
        self.fill(patience)?;
        self.hand_out(limit, sink)?;
        Ok(())
    }

    /// Hands out what is there whole. Tells whether there was anything.
    fn hand_out(
        &mut self,
        limit: usize,
        sink: &mut dyn FnMut(RawEvent<'_>),
    ) -> Result<bool, Ended> {
        let mut taken = 0;
        while taken < limit {
            let waiting = &self.buffer[self.start..self.end];
            let Some((length, prefix)) = gob::message_length(waiting)? else {
                break;
            };
            let Some(message) = waiting.get(prefix..prefix + length) else {
                break;
            };
            if let Some(encoded) = self.decoder.take(message)? {
                sink(event(Payload::of(self.decoder.value(encoded)?)));
                self.has_spoken = true;
                taken += 1;
            }
            self.start += prefix + length;
        }
        Ok(taken > 0)
    }

    /// Waits for bytes. Called when no whole message is left, so the room that is needed is that
    /// of one message.
    fn fill(&mut self, patience: Duration) -> Result<(), Ended> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == 0 {
            // A long message is rare; its room is not kept.
            self.buffer.truncate(BUFFER_BYTES);
            self.buffer.shrink_to_fit();
        } else if self.end == self.buffer.len() {
            let longest = gob::MAX_MESSAGE_BYTES + gob::MAX_PREFIX_BYTES;
            self.buffer.resize((self.end * 2).min(longest), 0);
        }
        if self.patience != Some(patience) {
            // No patience at all would mean forever.
            let timeout = patience.max(Duration::from_millis(1));
            let set = self.stream.set_read_timeout(Some(timeout));
            set.map_err(Ended::Read)?;
            self.patience = Some(patience);
        }
        match self.stream.read(&mut self.buffer[self.end..]) {
            Ok(0) => Err(Ended::Closed),
            Ok(count) => {
                self.end += count;
                Ok(())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => Ok(()),
                _ => Err(Ended::Read(error)),
            },
        }
    }
}

fn event(payload: Option<Payload<'_>>) -> RawEvent<'_> {
    let Some(payload) = payload else {
        return RawEvent::Skipped("monitor_unknown_message");
    };
    let cpu = u32::try_from(payload.cpu).unwrap_or(0);
    match payload.kind() {
        PayloadKind::Sample => RawEvent::Cilium {
            cpu,
            bytes: payload.data,
        },
        PayloadKind::Lost => RawEvent::Lost {
            cpu,
            count: payload.lost,
        },
        PayloadKind::Unknown => RawEvent::Skipped("monitor_unknown_message"),
    }
}

#[cfg(test)]
mod tests;
