//! One line for each event:
//! `Jan  2 15:04:05.000: shop/web-0:40812 (ID:4711) -> shop/db-0:5432 (ID:4712) to-endpoint
//! FORWARDED (TCP Flags: SYN)`.

use flow_api::flow::{AgentEvent, DebugEvent};
use flow_api::observer::{
    GetAgentEventsResponse, GetDebugEventsResponse, GetFlowsResponse,
    get_flows_response::ResponseTypes,
};

use super::{Page, Printer, Style, agent_event, append, debug_event};
use crate::filters::fields::End;

/// See the module.
#[derive(Debug)]
pub(super) struct Compact {
    style: Style,
}

impl Compact {
    pub(super) fn new(style: Style) -> Self {
        Self { style }
    }

    fn node(&self, out: &mut Vec<u8>, node_name: &str) {
        if self.style.node_name {
            append!(out, " [");
            self.style.escape.write(out, node_name);
            append!(out, "]");
        }
        append!(out, ": ");
    }
}

impl Printer for Compact {
    fn flows(&mut self, response: &GetFlowsResponse, page: &mut Page) {
        let style = &self.style;
        let out = &mut page.out;
        match &response.response_types {
            Some(ResponseTypes::Flow(flow)) => {
                // The one that opened the connection stands on the left, whoever sent this packet.
                let (left, arrow, right) = match flow.is_reply {
                    None => (End::Source, "<>", End::Destination),
                    Some(false) => (End::Source, "->", End::Destination),
                    Some(true) => (End::Destination, "<-", End::Source),
                };
                style.time.write(out, flow.time.as_ref());
                self.node(out, &flow.node_name);
                style.host(out, flow, left);
                append!(out, " ");
                style.identity(out, flow, left);
                append!(out, " {arrow} ");
                style.host(out, flow, right);
                append!(out, " ");
                style.identity(out, flow, right);
                append!(out, " ");
                style.kind(out, flow);
                append!(out, " ");
                style.verdict(out, flow);
                append!(out, " (");
                style.summary(out, flow);
                append!(out, ")\n");
            }
            Some(ResponseTypes::LostEvents(event)) => {
                style.lost_line(out, response, event);
            }
            Some(ResponseTypes::NodeStatus(status)) => {
                style.node_status_line(&mut page.err, response, status);
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
        self.style.time.write(out, response.time.as_ref());
        self.node(out, &response.node_name);
        append!(out, "{} (", agent_event::kind(event));
        self.style.agent_event(out, event);
        append!(out, ")\n");
    }

    fn debug_event(
        &mut self,
        response: &GetDebugEventsResponse,
        event: &DebugEvent,
        page: &mut Page,
    ) {
        let out = &mut page.out;
        self.style.time.write(out, response.time.as_ref());
        self.node(out, &response.node_name);
        self.style.endpoint(out, event.source.as_ref());
        append!(
            out,
            " {} MARK: {} CPU: {} (",
            debug_event::kind(event),
            debug_event::mark(event),
            debug_event::cpu(event)
        );
        self.style.escape.write(out, &event.message);
        append!(out, ")\n");
    }
}
