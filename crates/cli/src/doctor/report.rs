//! What was found out about one server, as one line or as JSON.

use serde::Serialize;

use super::{clock::Clock, flows::Flows, tls::Facts};
use crate::print::{Escape, append};

/// What is looked at, in this order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Step {
    /// The address can be read, and the host's name has addresses.
    Name,
    /// This machine knows a way to one of them.
    Route,
    /// Somebody listens there.
    Port,
    /// Somebody listens on a Unix socket.
    Socket,
    /// The API server of a cluster knows a relay, and passes a connection on to it.
    Forward,
    /// Both sides prove who they are.
    Tls,
    /// What answers is gRPC.
    Grpc,
    /// It answers Hubble's calls.
    Api,
    /// It hands out flows.
    Flows,
}

impl Step {
    const fn words(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Route => "route",
            Self::Port => "port",
            Self::Socket => "socket",
            Self::Forward => "forward",
            Self::Tls => "TLS",
            Self::Grpc => "gRPC",
            Self::Api => "API",
            Self::Flows => "flows",
        }
    }
}

/// The first step that failed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) cause: String,
    /// What to do about it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

impl Failure {
    pub(super) fn new(step: Step, cause: impl Into<String>) -> Self {
        Self {
            step,
            cause: cause.into(),
            next: None,
        }
    }

    pub(super) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

/// Of a relay: its nodes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Nodes {
    pub(super) connected: u32,
    pub(super) known: u32,
}

impl Nodes {
    fn words(self) -> String {
        let Self { connected, known } = self;
        let node = if known == 1 { "node" } else { "nodes" };
        format!("{connected} of {known} {node} connected")
    }
}

/// What is known of one server, as far as the steps came.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) name: String,
    /// Whether it failed stands here too, for programs that look at one field.
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<Facts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nodes: Option<Nodes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) clock: Option<Clock>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flows: Option<Flows>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Failed,
}

impl Report {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            state: State::Ok,
            failure: None,
            warnings: Vec::new(),
            address: None,
            tls: None,
            version: None,
            nodes: None,
            clock: None,
            flows: None,
        }
    }

    /// No further step is taken.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.state = State::Failed;
        self.failure = Some(failure);
    }

    /// Something that works for now.
    pub(super) fn warn(&mut self, warning: String) {
        if self.state == State::Ok {
            self.state = State::Warning;
        }
        self.warnings.push(warning);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.state == State::Failed
    }

    /// The report as one line, its name padded to `width`.
    pub(super) fn line(&self, width: usize) -> Vec<u8> {
        let mut out = Vec::new();
        // What a server says of itself must not take hold of a terminal, nor begin a line.
        let escape = Escape::for_answers();
        escape.write(&mut out, &format!("{:<width$}  ", flat(&self.name)));
        let text = match &self.failure {
            Some(failure) => failed(failure),
            None => self.passed(),
        };
        escape.write(&mut out, &flat(&text));
        append!(out, "\n");
        out
    }

    /// The report as a line of JSON.
    pub(super) fn json(&self) -> Vec<u8> {
        let mut out = serde_json::to_vec(self).unwrap_or_default();
        out.push(b'\n');
        out
    }

    fn passed(&self) -> String {
        let state = match self.state {
            State::Ok => "ok",
            State::Warning | State::Failed => "warning",
        };
        let mut facts = Vec::new();
        facts.extend(self.tls.as_ref().map(Facts::words));
        facts.extend(self.version.clone());
        facts.extend(self.nodes.map(Nodes::words));
        facts.extend(self.clock.as_ref().map(Clock::words));
        facts.extend(self.flows.as_ref().map(Flows::words));
        facts.extend(self.warnings.iter().map(|text| format!("warning: {text}")));
        let facts = facts.join(", ");
        match self
            .address
            .as_ref()
            .filter(|address| **address != self.name)
        {
            Some(address) => format!("{state}  {address}  {facts}"),
            None => format!("{state}  {facts}"),
        }
    }
}

fn failed(failure: &Failure) -> String {
    let Failure { step, cause, next } = failure;
    match next {
        Some(next) => format!("{} failed: {cause}; {next}", step.words()),
        None => format!("{} failed: {cause}", step.words()),
    }
}

/// One line stays one line, whatever a server puts into it.
fn flat(text: &str) -> String {
    text.replace(['\n', '\r', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_that_ends_with_what_to_do() {
        let mut report = Report::new("node-2");
        report.fail(Failure::new(Step::Tls, "no\ncertificate").next("add one"));
        let line = String::from_utf8(report.line(8)).unwrap();
        assert_eq!(line, "node-2    TLS failed: no certificate; add one\n");
    }

    #[test]
    fn json_tells_the_step_and_leaves_out_what_is_not_known() {
        let mut report = Report::new("node-2");
        report.fail(Failure::new(Step::Port, "refused"));
        let line = String::from_utf8(report.json()).unwrap();
        let expected = "{\"name\":\"node-2\",\"state\":\"failed\",\"failure\":{\"step\":\"port\",\
            \"cause\":\"refused\"}}\n";
        assert_eq!(line, expected);
    }
}
