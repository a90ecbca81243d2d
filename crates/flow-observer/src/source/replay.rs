//! Flows that were written as JSON, one to a line.
//!
//! In: what Hubble's exporter and `observe -o json` write (`{"flow":...}`, `{"lost_events":...}`),
//! or flows without anything around them; also by way of a pipe, also packed by gzip. Out:
//! [`RawEvent::Response`]s, in the order of the file. A line that is neither a flow nor a loss is
//! counted and told with its number, and the rest goes on.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use flow_api::{
    flow::Flow,
    json::{self, JsonError, ReadOptions},
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
};
use tracing::warn;

use crate::encode::nanoseconds;

use super::{
    Progress, RawEvent, Source, SourceError,
    input::{self, Filled, Input},
    pace::{Clock, Pace},
};

/// A longer line is skipped: memory must not grow with what a file claims to be one line. The
/// largest flows, with long URLs and many labels, have some tens of kilobytes.
const LONGEST_LINE: usize = 16 * 1024 * 1024;

/// How often lines are told that cannot be read. All are counted.
const WARN_EVERY: Duration = Duration::from_secs(1);

/// A file of flows.
pub struct Replay {
    /// What errors and warnings call it.
    what: String,
    input: Input,
    /// Bytes of the input that hold no line end.
    searched: usize,
    /// The rest of a line that is too long is still to come.
    is_in_long_line: bool,
    /// The line that is next, from 1 on.
    line: u64,
    reader: LineReader,
    clock: Clock,
    /// Read, but not yet due.
    next: Option<Entry>,
    last_warning: Option<Instant>,
    /// Bad lines since then.
    unreported: u64,
}

/// What a line holds.
#[derive(Debug)]
enum Entry {
    /// A flow or a loss.
    Response(Box<GetFlowsResponse>),
    /// Something that is neither: the state of a node, an event of an agent.
    Other,
}

impl Replay {
    /// Opens a file, or standard input for `-`.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path, pace: Pace) -> Result<Self, SourceError> {
        let what = input::name(path);
        match Input::open(path) {
            Ok(input) => Ok(Self::new(&what, input, pace)),
            Err(source) => Err(SourceError::Read { what, source }),
        }
    }

    fn new(what: &str, input: Input, pace: Pace) -> Self {
        Self {
            what: what.to_owned(),
            input,
            searched: 0,
            is_in_long_line: false,
            line: 1,
            reader: LineReader::default(),
            clock: Clock::new(pace),
            next: None,
            last_warning: None,
            unreported: 0,
        }
    }

    /// Where the next line ends, without and with its end; `None` when it is not all there.
    fn line_len(&mut self, is_last: bool) -> Option<(usize, usize)> {
        let bytes = self.input.buffered();
        let rest = bytes.get(self.searched..).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == b'\n');
        match end {
            Some(at) => Some((self.searched + at, self.searched + at + 1)),
            None if is_last && !bytes.is_empty() => Some((bytes.len(), bytes.len())),
            None => {
                self.searched = bytes.len();
                None
            }
        }
    }

    /// Reads the next line, if it is there. Bad ones are counted and told.
    fn read_line(&mut self, is_last: bool, sink: &mut dyn FnMut(RawEvent<'_>)) -> bool {
        let Some((len, whole)) = self.line_len(is_last) else {
            if self.searched > LONGEST_LINE {
                self.input.consume(self.searched as u64);
                self.searched = 0;
                self.is_in_long_line = true;
            }
            return false;
        };
        let line = self.input.buffered().get(..len).unwrap_or_default();
        let entry = if std::mem::take(&mut self.is_in_long_line) || len > LONGEST_LINE {
            Err("a line of more than 16 MiB".to_owned())
        } else {
            self.reader.read(line)
        };
        match entry {
            Ok(entry) => self.next = entry,
            Err(error) => {
                sink(RawEvent::Skipped("bad_line"));
                self.report(&error);
            }
        }
        self.input.consume(whole as u64);
        self.searched = 0;
        self.line += 1;
        true
    }

    /// Tells of a bad line, unless one was told just now.
    fn report(&mut self, error: &str) {
        self.unreported += 1;
        if self
            .last_warning
            .is_some_and(|last| last.elapsed() < WARN_EVERY)
        {
            return;
        }
        let (file, line, bad_lines) = (&self.what, self.line, self.unreported);
        warn!(%file, line, bad_lines, %error, "a line holds no flow");
        self.last_warning = Some(Instant::now());
        self.unreported = 0;
    }
}

impl Source for Replay {
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
        let mut handed_out = 0;
        while handed_out < limit {
            let left = match handed_out {
                0 => deadline.saturating_duration_since(Instant::now()),
                _ => Duration::ZERO,
            };
            if let Some(entry) = &self.next {
                let wait = match entry.time_ns() {
                    Some(time_ns) => self.clock.wait(time_ns, Instant::now),
                    None => Duration::ZERO,
                };
                thread::sleep(wait.min(left));
                if wait > left {
                    return Ok(Progress::More);
                }
                if let Some(entry) = self.next.take() {
                    sink(entry.event());
                    handed_out += 1;
                }
                continue;
            }
            if self.read_line(false, sink) {
                continue;
            }
            let filled = self.input.fill(left).map_err(|source| SourceError::Read {
                what: self.what.clone(),
                source,
            })?;
            match filled {
                Filled::More => {}
                Filled::NothingYet => return Ok(Progress::More),
                // The last line need not have an end.
                Filled::End if self.read_line(true, sink) => {}
                Filled::End => return Ok(Progress::Ended),
            }
        }
        Ok(Progress::More)
    }
}

impl Entry {
    /// Nanoseconds since 1970, for what has a time.
    fn time_ns(&self) -> Option<i64> {
        match self {
            Self::Response(response) => response.time.map(nanoseconds),
            Self::Other => None,
        }
    }

    fn event(self) -> RawEvent<'static> {
        match self {
            Self::Response(response) => RawEvent::Response(response),
            Self::Other => RawEvent::Skipped("not_a_flow"),
        }
    }
}

/// Reads lines of either form. A file has lines of one form, so what the last line was is tried
/// first.
#[derive(Default)]
struct LineReader {
    is_bare: bool,
    options: ReadOptions,
}

impl LineReader {
    /// What a line holds; nothing when it is empty.
    fn read(&mut self, line: &[u8]) -> Result<Option<Entry>, String> {
        let text = str::from_utf8(line).map_err(|error| error.to_string())?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        let error = match self.read_either(text) {
            Ok(entry) => return Ok(Some(entry)),
            Err(error) => error,
        };
        // A line of a newer Hubble may have fields that this build does not know. Then the rest of
        // it is worth having, and one warning is enough.
        if !self.options.ignore_unknown {
            self.options.ignore_unknown = true;
            if let Ok(entry) = self.read_either(text) {
                warn!(%error, "fields that this version does not know are left out");
                return Ok(Some(entry));
            }
            self.options.ignore_unknown = false;
        }
        Err(error)
    }

    fn read_either(&mut self, text: &str) -> Result<Entry, String> {
        let error = match self.read_as(self.is_bare, text) {
            Ok(entry) => return Ok(entry),
            Err(error) => error,
        };
        let entry = self.read_as(!self.is_bare, text).map_err(|_| error)?;
        self.is_bare = !self.is_bare;
        Ok(entry)
    }

    fn read_as(&self, is_bare: bool, text: &str) -> Result<Entry, String> {
        let told = |error: JsonError| error.to_string();
        if is_bare {
            let flow: Flow = json::from_str_with(text, self.options).map_err(told)?;
            // An envelope of nothing looks like it, too.
            let envelope = Flow {
                time: flow.time,
                node_name: flow.node_name.clone(),
                ..Flow::default()
            };
            if flow == envelope {
                return Err("nothing in it".to_owned());
            }
            return Ok(Entry::Response(Box::new(GetFlowsResponse {
                time: flow.time,
                node_name: flow.node_name.clone(),
                response_types: Some(ResponseTypes::Flow(flow)),
            })));
        }
        let mut response: GetFlowsResponse =
            json::from_str_with(text, self.options).map_err(told)?;
        match &response.response_types {
            Some(ResponseTypes::Flow(flow)) => {
                // Who tells a flow tells its time and its node around it, too.
                response.time = response.time.or(flow.time);
                if response.node_name.is_empty() {
                    response.node_name.clone_from(&flow.node_name);
                }
                Ok(Entry::Response(Box::new(response)))
            }
            Some(ResponseTypes::LostEvents(_)) => Ok(Entry::Response(Box::new(response))),
            Some(_) => Ok(Entry::Other),
            None => Err("neither a flow nor an event".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<String> {
        let mut replay = Replay::new(
            "memory",
            Input::of(text.as_bytes().to_vec()),
            Pace::FullSpeed,
        );
        let mut events = Vec::new();
        loop {
            let progress = replay.poll(Duration::ZERO, 2, &mut |event| {
                events.push(match event {
                    RawEvent::Response(response) => told(&response),
                    RawEvent::Skipped(reason) => reason.to_owned(),
                    other => panic!("{other:?}"),
                });
            });
            if progress.unwrap() == Progress::Ended {
                return events;
            }
        }
    }

    fn told(response: &GetFlowsResponse) -> String {
        let (node, seconds) = (
            &response.node_name,
            response.time.map_or(0, |it| it.seconds),
        );
        match &response.response_types {
            Some(ResponseTypes::Flow(flow)) => {
                format!("{node} {} at {seconds}", flow.verdict().as_str_name())
            }
            Some(ResponseTypes::LostEvents(lost)) => {
                format!("{node} lost {} at {seconds}", lost.num_events_lost)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_forms_are_read_and_what_is_around_a_flow_stays_there() {
        let text = r#"{"flow":{"verdict":"DROPPED"},"node_name":"a","time":"1970-01-01T00:00:07Z"}
{"time":"1970-01-01T00:00:08Z","verdict":"FORWARDED","node_name":"b"}

{"flow":{"verdict":"AUDIT","node_name":"c"},"node_name":"d"}"#;
        let expected = ["a DROPPED at 7", "b FORWARDED at 8", "d AUDIT at 0"];
        assert_eq!(events(text), expected);
    }

    #[test]
    fn losses_pass_and_bad_lines_and_other_events_are_counted() {
        let text = "{\"lost_events\":{\"num_events_lost\":5,\"cpu\":1},\"node_name\":\"a\"}\n\
                    no json\n\
                    {}\r\n\
                    {\"node_name\":\"x\",\"unknown\":7,\"flow\":{\"verdict\":1}}\n\
                    {\"node_status\":{\"message\":\"m\"}}\n\
                    \u{fffd}";
        assert_eq!(
            events(text),
            [
                "a lost 5 at 0",
                "bad_line",
                "bad_line",
                "x FORWARDED at 0",
                "not_a_flow",
                "bad_line"
            ]
        );
    }

    #[test]
    fn a_line_without_end_does_not_take_memory_without_end() {
        let mut text = "x".repeat(LONGEST_LINE + LONGEST_LINE / 2);
        text.push_str("\n{\"verdict\":\"FORWARDED\"}\n");
        assert_eq!(events(&text), ["bad_line", " FORWARDED at 0"]);
    }
}
