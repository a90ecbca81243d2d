//! A line for each field, and a rule between events.

use flow_api::flow::{AgentEvent, DebugEvent};
use flow_api::observer::{
    GetAgentEventsResponse, GetDebugEventsResponse, GetFlowsResponse,
    get_flows_response::ResponseTypes,
};

use super::{Page, Printer, Style, agent_event, append, debug_event, lost, node_status};
use crate::filters::fields::End;

const RULE: &str = "------------";

/// See the module.
#[derive(Debug)]
pub(super) struct Dict {
    style: Style,
    /// Whether a rule must part the next event from what stands above it.
    something_above: bool,
}

impl Dict {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            something_above: false,
        }
    }

    /// `after_rule` is the line end, except before events of the agent: Hubble leaves it out there.
    fn rule(&mut self, out: &mut Vec<u8>, after_rule: &str) {
        if std::mem::replace(&mut self.something_above, true) {
            append!(out, "{RULE}{after_rule}");
        }
    }

    fn field(out: &mut Vec<u8>, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        append!(out, "{name:>11}: ");
        value(out);
        append!(out, "\n");
    }

    fn head(&self, out: &mut Vec<u8>, time: Option<&prost_types::Timestamp>, node_name: &str) {
        Self::field(out, "TIMESTAMP", |out| self.style.time.write(out, time));
        if self.style.node_name {
            Self::field(out, "NODE", |out| self.style.escape.write(out, node_name));
        }
    }
}

impl Printer for Dict {
    fn flows(&mut self, response: &GetFlowsResponse, page: &mut Page) {
        let out = &mut page.out;
        match &response.response_types {
            Some(ResponseTypes::Flow(flow)) => {
                self.rule(out, "\n");
                self.head(out, flow.time.as_ref(), &flow.node_name);
                let style = &self.style;
                Self::field(out, "SOURCE", |out| style.host(out, flow, End::Source));
                Self::field(out, "DESTINATION", |out| {
                    style.host(out, flow, End::Destination);
                });
                Self::field(out, "TYPE", |out| style.kind(out, flow));
                Self::field(out, "VERDICT", |out| style.verdict(out, flow));
                Self::field(out, "SUMMARY", |out| style.summary(out, flow));
            }
            Some(ResponseTypes::LostEvents(event)) => {
                self.rule(out, "\n");
                self.head(out, response.time.as_ref(), lost::node(response));
                Self::field(out, "SOURCE", |out| lost::source(out, event));
                Self::field(out, "TYPE", |out| append!(out, "EVENTS LOST"));
                Self::field(out, "VERDICT", |out| append!(out, "-"));
                Self::field(out, "SUMMARY", |out| self.style.lost(out, event, " - "));
            }
            Some(ResponseTypes::NodeStatus(status)) => {
                if !self.style.shows(status) {
                    return;
                }
                let err = &mut page.err;
                self.rule(err, "\n");
                let style = &self.style;
                Self::field(err, "TIMESTAMP", |err| {
                    style.time.write(err, response.time.as_ref());
                });
                for (name, value) in node_status::fields(status) {
                    Self::field(err, name, |err| style.escape.write(err, &value));
                }
            }
            None => {}
        }
    }

    fn agent_event(
        &mut self,
        response: &GetAgentEventsResponse,
        event: &AgentEvent,
        page: &mut Page,
    ) {
        let out = &mut page.out;
        self.rule(out, "");
        self.head(out, response.time.as_ref(), &response.node_name);
        Self::field(out, "TYPE", |out| {
            append!(out, "{}", agent_event::kind(event))
        });
        Self::field(out, "DETAILS", |out| self.style.agent_event(out, event));
    }

    fn debug_event(
        &mut self,
        response: &GetDebugEventsResponse,
        event: &DebugEvent,
        page: &mut Page,
    ) {
        let out = &mut page.out;
        self.rule(out, "");
        self.head(out, response.time.as_ref(), &response.node_name);
        let style = &self.style;
        Self::field(out, "TYPE", |out| {
            append!(out, "{}", debug_event::kind(event))
        });
        Self::field(out, "FROM", |out| {
            style.endpoint(out, event.source.as_ref())
        });
        Self::field(out, "MARK", |out| {
            append!(out, "{}", debug_event::mark(event))
        });
        Self::field(out, "CPU", |out| {
            append!(out, "{}", debug_event::cpu(event))
        });
        Self::field(out, "MESSAGE", |out| {
            style.escape.write(out, &event.message)
        });
    }
}
