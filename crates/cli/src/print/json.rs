//! Each response as one line of JSON, exactly as Hubble's exporter and command line write it.

use flow_api::flow::{AgentEvent, DebugEvent};
use flow_api::json;
use flow_api::observer::{
    GetAgentEventsResponse, GetDebugEventsResponse, GetFlowsResponse,
    get_flows_response::ResponseTypes,
};

use super::{Page, Printer, Style};

/// The whole response.
#[derive(Debug)]
pub(super) struct Json {
    style: Style,
}

impl Json {
    pub(super) fn new(style: Style) -> Self {
        Self { style }
    }
}

impl Printer for Json {
    fn flows(&mut self, response: &GetFlowsResponse, page: &mut Page) {
        match &response.response_types {
            Some(ResponseTypes::Flow(_) | ResponseTypes::LostEvents(_)) => {
                line(response, &mut page.out);
            }
            Some(ResponseTypes::NodeStatus(status)) if self.style.shows(status) => {
                line(response, &mut page.err);
            }
            Some(ResponseTypes::NodeStatus(_)) | None => {}
        }
    }

    fn flows_in_json(&mut self, response: &GetFlowsResponse, json: &str, page: &mut Page) {
        let out = match &response.response_types {
            Some(ResponseTypes::Flow(_) | ResponseTypes::LostEvents(_)) => &mut page.out,
            Some(ResponseTypes::NodeStatus(status)) if self.style.shows(status) => &mut page.err,
            Some(ResponseTypes::NodeStatus(_)) | None => return,
        };
        out.extend_from_slice(json.as_bytes());
        out.push(b'\n');
    }

    fn agent_event(&mut self, response: &GetAgentEventsResponse, _: &AgentEvent, page: &mut Page) {
        line(response, &mut page.out);
    }

    fn debug_event(&mut self, response: &GetDebugEventsResponse, _: &DebugEvent, page: &mut Page) {
        line(response, &mut page.out);
    }
}

/// The event alone, as command lines before Hubble 1.0 wrote it. The state of nodes has no form
/// here.
#[derive(Debug)]
pub(super) struct LegacyJson;

impl Printer for LegacyJson {
    fn flows(&mut self, response: &GetFlowsResponse, page: &mut Page) {
        match &response.response_types {
            Some(ResponseTypes::Flow(flow)) => line(flow, &mut page.out),
            Some(ResponseTypes::LostEvents(event)) => line(event, &mut page.out),
            Some(ResponseTypes::NodeStatus(_)) | None => {}
        }
    }

    fn agent_event(&mut self, _: &GetAgentEventsResponse, event: &AgentEvent, page: &mut Page) {
        line(event, &mut page.out);
    }

    fn debug_event(&mut self, _: &GetDebugEventsResponse, event: &DebugEvent, page: &mut Page) {
        line(event, &mut page.out);
    }
}

/// Appends a message as a line.
pub(super) fn line(message: &impl json::Json, out: &mut Vec<u8>) {
    json::write(message, out);
    out.push(b'\n');
}
