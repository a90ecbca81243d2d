//! Aligned columns. They are known only at the end, so all rows are kept until then; this is why
//! the format cannot follow a stream.

use flow_api::flow::{AgentEvent, DebugEvent};
use flow_api::observer::{
    GetAgentEventsResponse, GetDebugEventsResponse, GetFlowsResponse,
    get_flows_response::ResponseTypes,
};

use super::{Color, Page, Printer, Style, agent_event, append, debug_event, lost, tabs};
use crate::filters::fields::End;

/// See the module.
#[derive(Debug)]
pub(super) struct Table {
    style: Style,
    /// All rows, the heading first, cells parted by tabs.
    rows: Vec<u8>,
}

impl Table {
    pub(super) fn new(style: Style) -> Self {
        // Colours would count as text and shift the columns.
        Self {
            style: Style {
                color: Color::OFF,
                ..style
            },
            rows: Vec::new(),
        }
    }

    /// The heading if this is the first row, then the cells that every row begins with.
    fn start(&mut self, columns: &str, time: Option<&prost_types::Timestamp>, node_name: &str) {
        let out = &mut self.rows;
        if out.is_empty() {
            let node = if self.style.node_name { "NODE\t" } else { "" };
            append!(out, "TIMESTAMP\t{node}{columns}\n");
        }
        self.style.time.write(out, time);
        append!(out, "\t");
        if self.style.node_name {
            self.style.escape.write(out, node_name);
            append!(out, "\t");
        }
    }
}

const FLOW_COLUMNS: &str = "SOURCE\tDESTINATION\tTYPE\tVERDICT\tSUMMARY";

impl Printer for Table {
    fn flows(&mut self, response: &GetFlowsResponse, page: &mut Page) {
        match &response.response_types {
            Some(ResponseTypes::Flow(flow)) => {
                self.start(FLOW_COLUMNS, flow.time.as_ref(), &flow.node_name);
                let (style, out) = (&self.style, &mut self.rows);
                style.host(out, flow, End::Source);
                append!(out, "\t");
                style.host(out, flow, End::Destination);
                append!(out, "\t");
                style.kind(out, flow);
                append!(out, "\t");
                style.verdict(out, flow);
                append!(out, "\t");
                style.summary(out, flow);
                append!(out, "\n");
            }
            Some(ResponseTypes::LostEvents(event)) => {
                self.start(FLOW_COLUMNS, response.time.as_ref(), lost::node(response));
                let out = &mut self.rows;
                lost::source(out, event);
                append!(out, "\t-\tEVENTS LOST\t-\t");
                self.style.lost(out, event, " - ");
                append!(out, "\n");
            }
            Some(ResponseTypes::NodeStatus(status)) => {
                self.style.node_status_line(&mut page.err, response, status);
            }
            None => {}
        }
    }

    fn agent_event(&mut self, response: &GetAgentEventsResponse, event: &AgentEvent, _: &mut Page) {
        self.start("TYPE\tDETAILS", response.time.as_ref(), &response.node_name);
        let out = &mut self.rows;
        append!(out, "{}\t", agent_event::kind(event));
        self.style.agent_event(out, event);
        append!(out, "\n");
    }

    fn debug_event(&mut self, response: &GetDebugEventsResponse, event: &DebugEvent, _: &mut Page) {
        // Hubble has an empty column after the first.
        let columns = "FROM\t\tTYPE\tCPU/MARK\tMESSAGE";
        self.start(columns, response.time.as_ref(), &response.node_name);
        let (style, out) = (&self.style, &mut self.rows);
        style.endpoint(out, event.source.as_ref());
        append!(
            out,
            "\t\t{}\t{} {}\t",
            debug_event::kind(event),
            debug_event::cpu(event),
            debug_event::mark(event)
        );
        style.escape.write(out, &event.message);
        append!(out, "\n");
    }

    fn finish(&mut self, page: &mut Page) {
        tabs::align(&self.rows, &mut page.out);
        self.rows.clear();
    }
}
