//! Events in, text out. One printer for each format, behind one trait.
//!
//! A printer does no I/O and cannot fail: it appends to a [`Page`], and its owner decides when the
//! page is written ([`Screen`]). Everything that came over the wire is escaped
//! ([`escape`]), so that no name and no URL can take hold of a terminal.

mod agent_event;
mod color;
mod compact;
mod csv;
mod debug_event;
mod dict;
mod escape;
mod flow;
mod grid;
mod groups;
mod json;
mod lost;
mod node_status;
mod number;
mod screen;
mod shown;
mod table;
pub(crate) mod tabs;
pub(crate) mod time;

use std::time::Duration;

use flow_api::flow::{AgentEvent, DebugEvent};
use flow_api::observer::{
    GetAgentEventsResponse, GetDebugEventsResponse, GetFlowsResponse,
    get_flows_response::ResponseTypes,
};

pub(crate) use color::Color;
pub(crate) use csv::Column;
pub(crate) use escape::Escape;
pub(crate) use flow::{name as end_name, point, port};
pub(crate) use grid::{Align, Grid};
pub(crate) use number::grouped;
pub(crate) use screen::{Screen, is_closed_pipe};
use time::TimeFormat;

use crate::group::Grouping;

/// Text that is ready to be written.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Events.
    pub(crate) out: Vec<u8>,
    /// What is said about the stream itself: the state of nodes.
    pub(crate) err: Vec<u8>,
    /// Lines of JSON to be saved, where that is wanted.
    pub(crate) saved: Option<Vec<u8>>,
}

impl Page {
    /// Takes a response that is shown for what is saved: flows and gaps, as an exporter does.
    pub(crate) fn save(&mut self, response: &GetFlowsResponse) {
        let is_event = matches!(
            response.response_types,
            Some(ResponseTypes::Flow(_) | ResponseTypes::LostEvents(_))
        );
        if let Some(saved) = &mut self.saved
            && is_event
        {
            json::line(response, saved);
        }
    }
}

/// How events are shown.
pub(crate) trait Printer {
    /// A flow, a gap, or the state of nodes.
    fn flows(&mut self, response: &GetFlowsResponse, page: &mut Page);

    /// The same, where the JSON form of the response is at hand, and of the response itself perhaps
    /// only what its format shows ([`Format::shown`]).
    fn flows_in_json(&mut self, response: &GetFlowsResponse, _json: &str, page: &mut Page) {
        self.flows(response, page);
    }

    /// Something that the agent did. Groups are of flows only.
    fn agent_event(
        &mut self,
        _response: &GetAgentEventsResponse,
        _event: &AgentEvent,
        _page: &mut Page,
    ) {
    }

    /// A debug record.
    fn debug_event(
        &mut self,
        _response: &GetDebugEventsResponse,
        _event: &DebugEvent,
        _page: &mut Page,
    ) {
    }

    /// What could only be printed once all events were known.
    fn finish(&mut self, _page: &mut Page) {}

    /// How often [`tick`](Self::tick) is to be called, whatever comes.
    fn interval(&self) -> Option<Duration> {
        None
    }

    /// An interval is over.
    fn tick(&mut self, _page: &mut Page) {}
}

/// The formats.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    /// One line for each flow.
    Compact,
    /// Rows for spreadsheets and data frames.
    Csv,
    /// A line for each field.
    Dict,
    /// The whole response as one line of JSON.
    Json,
    /// The flow alone as one line of JSON.
    LegacyJson,
    /// Aligned columns.
    Table,
}

impl Format {
    /// Whether how a response looks depends on nothing that was printed before.
    pub(crate) fn is_stateless(self) -> bool {
        matches!(self, Self::Compact | Self::Json | Self::LegacyJson)
    }

    /// What the format shows of a response, as paths; `None` if that may be any field.
    pub(crate) fn shown(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Compact | Self::Dict | Self::Table => Some(&shown::COLUMNS),
            Self::Json => Some(&shown::JSON),
            Self::Csv | Self::LegacyJson => None,
        }
    }
}

/// What all formats have in common.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    /// How times look.
    pub(crate) time: TimeFormat,
    /// Whether to use colours.
    pub(crate) color: Color,
    /// What to do with control characters.
    pub(crate) escape: Escape,
    /// Show names instead of addresses.
    pub(crate) names: bool,
    /// Show which node saw it.
    pub(crate) node_name: bool,
    /// Show the policies behind a policy verdict.
    pub(crate) policy_names: bool,
    /// Show also that nodes came and went, not only trouble.
    pub(crate) all_node_states: bool,
    /// The columns of flows, for [`Format::Csv`].
    pub(crate) columns: Vec<Column>,
}

impl Style {
    /// Text alone, without colours.
    pub(crate) const PLAIN: Self = Self {
        time: TimeFormat::StampMilli,
        color: Color::OFF,
        escape: Escape::Nothing,
        names: true,
        node_name: false,
        policy_names: false,
        all_node_states: false,
        columns: Vec::new(),
    };
}

/// The printer of a format.
pub(crate) fn printer(format: Format, style: Style) -> Box<dyn Printer + Send> {
    match format {
        Format::Compact => Box::new(compact::Compact::new(style)),
        Format::Csv => Box::new(csv::Csv::new(style)),
        Format::Dict => Box::new(dict::Dict::new(style)),
        Format::Json => Box::new(json::Json::new(style)),
        Format::LegacyJson => Box::new(json::LegacyJson),
        Format::Table => Box::new(table::Table::new(style)),
    }
}

/// The printer of groups of flows.
pub(crate) fn group_printer(grouping: &Grouping, style: Style) -> Box<dyn Printer> {
    Box::new(groups::GroupPrinter::new(grouping, style))
}

/// The name of a wire enum's value; the number where this build knows no name.
fn enum_name<E: TryFrom<i32>>(
    number: i32,
    name: fn(&E) -> &'static str,
) -> std::borrow::Cow<'static, str> {
    match E::try_from(number) {
        Ok(value) => name(&value).into(),
        Err(_) => number.to_string().into(),
    }
}

/// Appends formatted text. Writing to memory cannot fail.
macro_rules! append {
    ($out:expr, $($format:tt)*) => {{
        use std::io::Write as _;
        let written = write!($out, $($format)*);
        debug_assert!(written.is_ok(), "writing to memory cannot fail");
    }};
}
pub(crate) use append;
