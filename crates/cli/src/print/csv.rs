//! Rows for spreadsheets and data frames, by RFC 4180: a heading, then a row for each flow.
//!
//! Cells hold what others chose: names, URLs, labels. A spreadsheet takes a cell that begins with
//! `=`, `+`, `-`, `@`, a tab or a line end for a formula, and runs it. Such a cell gets a `'` in front,
//! which spreadsheets read as "this is text".

mod columns;

use flow_api::flow::{AgentEvent, DebugEvent};
use flow_api::observer::{
    GetAgentEventsResponse, GetDebugEventsResponse, GetFlowsResponse,
    get_flows_response::ResponseTypes,
};

pub(crate) use columns::Column;

use super::{Color, Page, Printer, Style, agent_event, debug_event};

/// What a row takes; a writer is made for each.
const ROW_BYTES: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Csv {
    style: Style,
    /// Those of flows; none for other events.
    columns: Vec<Column>,
    has_heading: bool,
}

impl Csv {
    pub(super) fn new(mut style: Style) -> Self {
        let columns = std::mem::take(&mut style.columns);
        style.color = Color::OFF;
        Self {
            style,
            columns,
            has_heading: false,
        }
    }

    fn heading<'c>(&mut self, out: &mut Vec<u8>, names: impl Iterator<Item = &'c str>) {
        if !std::mem::replace(&mut self.has_heading, true) {
            row(out, names.map(|name| name.as_bytes().to_vec()));
        }
    }

    fn event(&mut self, out: &mut Vec<u8>, names: &[&str], cells: Vec<Vec<u8>>) {
        self.heading(out, names.iter().copied());
        row(out, cells.into_iter().map(safe));
    }

    fn time(&self, time: Option<&prost_types::Timestamp>) -> Vec<u8> {
        let mut cell = Vec::new();
        columns::write_time(&mut cell, time);
        cell
    }

    fn text(&self, text: &str) -> Vec<u8> {
        let mut cell = Vec::new();
        self.style.escape.write(&mut cell, text);
        cell
    }
}

impl Printer for Csv {
    fn flows(&mut self, response: &GetFlowsResponse, page: &mut Page) {
        match &response.response_types {
            Some(ResponseTypes::Flow(flow)) => {
                let columns = std::mem::take(&mut self.columns);
                self.heading(&mut page.out, columns.iter().map(Column::name));
                let cells = columns::cells(&columns, flow, &self.style);
                let cells = cells.into_iter().map(safe);
                row(&mut page.out, cells);
                self.columns = columns;
            }
            // A gap has no place in the rows.
            Some(ResponseTypes::LostEvents(event)) => {
                self.style.lost_line(&mut page.err, response, event);
            }
            Some(ResponseTypes::NodeStatus(status)) => {
                self.style.node_status_line(&mut page.err, response, status);
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
        let mut details = Vec::new();
        self.style.agent_event(&mut details, event);
        let cells = vec![
            self.time(response.time.as_ref()),
            self.text(&response.node_name),
            self.text(&agent_event::kind(event)),
            details,
        ];
        self.event(&mut page.out, &["time", "node", "type", "details"], cells);
    }

    fn debug_event(
        &mut self,
        response: &GetDebugEventsResponse,
        event: &DebugEvent,
        page: &mut Page,
    ) {
        let mut from = Vec::new();
        self.style.endpoint(&mut from, event.source.as_ref());
        let cells = vec![
            self.time(response.time.as_ref()),
            self.text(&response.node_name),
            self.text(&debug_event::kind(event)),
            from,
            self.text(&debug_event::mark(event)),
            self.text(&debug_event::cpu(event)),
            self.text(&event.message),
        ];
        let names = ["time", "node", "type", "from", "mark", "cpu", "message"];
        self.event(&mut page.out, &names, cells);
    }

    fn finish(&mut self, page: &mut Page) {
        // Without flows there is still a table.
        if !self.columns.is_empty() {
            let columns = std::mem::take(&mut self.columns);
            self.heading(&mut page.out, columns.iter().map(Column::name));
            self.columns = columns;
        }
    }
}

fn row(out: &mut Vec<u8>, cells: impl Iterator<Item = Vec<u8>>) {
    let mut writer = csv::WriterBuilder::new()
        .buffer_capacity(ROW_BYTES)
        .from_writer(out);
    let written = writer
        .write_record(cells)
        .and_then(|()| writer.flush().map_err(csv::Error::from));
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
}

/// A cell that no spreadsheet runs.
fn safe(mut cell: Vec<u8>) -> Vec<u8> {
    if matches!(
        cell.first(),
        Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\n' | b'\r')
    ) {
        cell.insert(0, b'\'');
    }
    cell
}
