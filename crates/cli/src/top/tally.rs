//! Counts what comes, for all views at once.
//!
//! In: responses of a server. Out: rows of a view, and the latest flows of one of them. Memory is bounded
//! by the number of groups, of flows that are kept, and of lines.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use flow_api::observer::{GetFlowsResponse, get_flows_response::ResponseTypes};

use super::{
    nodes::Nodes,
    view::{Plan, View},
    window::{Clock, Window},
};
use crate::group::{Count, Fields, Observed, key};
use crate::print::{Page, Printer};

/// Flows that are kept, so that a row shows some at once when it is entered. A flow takes a kilobyte or
/// two.
const KEPT_FLOWS: usize = 2_048;

/// Lines of a row that was entered: more than a screen has, so that one can scroll back.
const KEPT_LINES: usize = 1_000;

/// All that was counted.
pub(super) struct Tally {
    clock: Clock,
    tables: Vec<Table>,
    total: Count,
    total_window: Window,
    pub(super) nodes: Nodes,
    kept: VecDeque<GetFlowsResponse>,
    entered: Option<Entered>,
    printer: Box<dyn Printer>,
    key: String,
}

/// The counts of a view.
struct Table {
    plan: Plan,
    limit: usize,
    groups: HashMap<Box<str>, Entry>,
    /// Groups that were silent for long when room was needed, and those for which there was none.
    other: Entry,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    count: Count,
    window: Window,
}

/// A row whose flows are shown.
struct Entered {
    table: usize,
    key: Box<str>,
    lines: VecDeque<String>,
}

/// A row of a view.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The values of the fields; `None` for groups that have no row of their own.
    pub(super) key: Option<Box<str>>,
    pub(super) count: Count,
    pub(super) rate: f64,
    pub(super) byte_rate: f64,
}

impl Tally {
    /// Nothing yet. `printer` makes lines of flows.
    pub(super) fn new(
        plans: Vec<Plan>,
        limit: usize,
        window: Duration,
        printer: Box<dyn Printer>,
    ) -> Self {
        let table = |plan| Table {
            plan,
            limit,
            groups: HashMap::new(),
            other: Entry::default(),
        };
        Self {
            clock: Clock::new(Instant::now(), window),
            tables: plans.into_iter().map(table).collect(),
            total: Count::default(),
            total_window: Window::default(),
            nodes: Nodes::default(),
            kept: VecDeque::new(),
            entered: None,
            printer,
            key: String::new(),
        }
    }

    /// Counts a response.
    pub(super) fn add(&mut self, response: GetFlowsResponse, now: Instant) {
        match &response.response_types {
            Some(ResponseTypes::Flow(_)) => {}
            Some(ResponseTypes::LostEvents(lost)) => return self.nodes.lose(&response, lost),
            Some(ResponseTypes::NodeStatus(status)) => return self.nodes.change(status),
            None => return,
        }
        let mut is_entered = false;
        if let Some(ResponseTypes::Flow(flow)) = &response.response_types {
            let at = self.clock.at(now);
            let observed = Observed::new(flow);
            let count = Count::of(&observed);
            self.total.add(&count);
            self.total_window.add(at, count.flows, count.bytes);
            for (index, table) in self.tables.iter_mut().enumerate() {
                key(&table.plan.fields, &observed, &mut self.key);
                if !table.plan.view.counts(&observed, &self.key) {
                    continue;
                }
                let entry = table.entry(&self.key);
                entry.count.add(&count);
                entry.window.add(at, count.flows, count.bytes);
                is_entered |= self
                    .entered
                    .as_ref()
                    .is_some_and(|row| row.table == index && *row.key == *self.key);
            }
        }
        if is_entered && let Some(row) = &mut self.entered {
            row.show(&mut *self.printer, &response);
        }
        if self.kept.len() >= KEPT_FLOWS {
            self.kept.pop_front();
        }
        self.kept.push_back(response);
    }

    /// Makes room where there is none: groups that are silent go. To be called now and then.
    pub(super) fn sweep(&mut self, now: Instant) {
        let at = self.clock.at(now);
        for table in &mut self.tables {
            if table.groups.len() < table.limit {
                continue;
            }
            let other = &mut table.other;
            table.groups.retain(|_, entry| {
                let is_silent = entry.window.is_silent(at);
                if is_silent {
                    other.count.add(&entry.count);
                }
                !is_silent
            });
        }
    }

    /// The rows of a view, in no order; the one of all others last, if there is any.
    pub(super) fn rows(&self, table: usize, now: Instant) -> Vec<Row> {
        let at = self.clock.at(now);
        let Some(table) = self.tables.get(table) else {
            return Vec::new();
        };
        let row = |key: Option<&str>, entry: &Entry| {
            let (rate, byte_rate) = entry.window.rates(at);
            Row {
                key: key.map(Into::into),
                count: entry.count,
                rate,
                byte_rate,
            }
        };
        let mut rows: Vec<Row> = table
            .groups
            .iter()
            .map(|(key, entry)| row(Some(key), entry))
            .collect();
        if table.plan.view == View::Nodes {
            let silent = self
                .nodes
                .known()
                .filter(|name| !table.groups.contains_key(*name));
            rows.extend(silent.map(|name| row(Some(name), &Entry::default())));
        }
        if !table.other.count.is_empty() {
            rows.push(row(None, &table.other));
        }
        rows
    }

    pub(super) fn plans(&self) -> impl ExactSizeIterator<Item = &Plan> {
        self.tables.iter().map(|table| &table.plan)
    }

    pub(super) fn fields(&self, table: usize) -> Option<&Fields> {
        self.tables.get(table).map(|table| &table.plan.fields)
    }

    /// All flows, and how many there are per second.
    pub(super) fn total(&self, now: Instant) -> (&Count, f64) {
        (&self.total, self.total_window.rates(self.clock.at(now)).0)
    }

    /// Shows the flows of a row from now on, with those that are kept.
    pub(super) fn enter(&mut self, table: usize, row: &str) {
        let mut entered = Entered {
            table,
            key: row.into(),
            lines: VecDeque::new(),
        };
        let Some(plan) = self.tables.get(table).map(|table| &table.plan) else {
            return;
        };
        for response in &self.kept {
            if let Some(ResponseTypes::Flow(flow)) = &response.response_types {
                let observed = Observed::new(flow);
                key(&plan.fields, &observed, &mut self.key);
                if plan.view.counts(&observed, &self.key) && self.key == row {
                    entered.show(&mut *self.printer, response);
                }
            }
        }
        self.entered = Some(entered);
    }

    pub(super) fn leave(&mut self) {
        self.entered = None;
    }

    /// The lines of the row that was entered, the latest last.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        let entered = self.entered.iter();
        entered.flat_map(|entered| entered.lines.iter().map(String::as_str))
    }

    /// Begins to count anew.
    pub(super) fn clear(&mut self, now: Instant) {
        self.clock = self.clock.begun(now);
        for table in &mut self.tables {
            table.groups.clear();
            table.other = Entry::default();
        }
        self.total = Count::default();
        self.total_window = Window::default();
        self.nodes.forget_losses();
    }
}

impl Table {
    fn entry(&mut self, key: &str) -> &mut Entry {
        // Asked twice, since the answer to the first question cannot be kept while a group is added.
        if !self.groups.contains_key(key) {
            if self.groups.len() >= self.limit {
                return &mut self.other;
            }
            self.groups.insert(key.into(), Entry::default());
        }
        self.groups.get_mut(key).unwrap_or(&mut self.other)
    }
}

impl Entered {
    fn show(&mut self, printer: &mut dyn Printer, response: &GetFlowsResponse) {
        let mut page = Page::default();
        printer.flows(response, &mut page);
        if self.lines.len() >= KEPT_LINES {
            self.lines.pop_front();
        }
        let line = String::from_utf8_lossy(&page.out);
        self.lines.push_back(line.trim_end().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::print::{self, Format, Style};
    use flow_api::flow::Flow;

    const WINDOW: Duration = Duration::from_secs(10);

    fn tally(limit: usize) -> Tally {
        let plan = Plan {
            view: View::Nodes,
            fields: Fields::parse("node").unwrap(),
        };
        let printer = print::printer(Format::Compact, Style::PLAIN);
        Tally::new(vec![plan], limit, WINDOW, printer)
    }

    fn flow(node: &str) -> GetFlowsResponse {
        let flow = Flow {
            node_name: node.to_owned(),
            ..Flow::default()
        };
        GetFlowsResponse {
            response_types: Some(ResponseTypes::Flow(flow)),
            ..GetFlowsResponse::default()
        }
    }

    fn rows(tally: &Tally, now: Instant) -> Vec<(String, u64)> {
        let mut rows: Vec<_> = tally
            .rows(0, now)
            .into_iter()
            .map(|row| {
                (
                    row.key.map_or("(other)".into(), String::from),
                    row.count.flows,
                )
            })
            .collect();
        rows.sort();
        rows
    }

    #[test]
    fn groups_beyond_the_limit_are_counted_together_until_silent_ones_make_room() {
        let mut tally = tally(2);
        let begin = Instant::now();
        for node in ["a", "b", "c", "a"] {
            tally.add(flow(node), begin);
        }
        let counted = |rows: &[(&str, u64)]| -> Vec<(String, u64)> {
            rows.iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect()
        };
        assert_eq!(
            rows(&tally, begin),
            counted(&[("(other)", 1), ("a", 2), ("b", 1)])
        );
        let later = begin + 2 * WINDOW;
        tally.add(flow("a"), later);
        tally.sweep(later);
        tally.add(flow("c"), later);
        // Nothing is forgotten: what was counted of b is with the others.
        assert_eq!(
            rows(&tally, later),
            counted(&[("(other)", 2), ("a", 3), ("c", 1)])
        );
        assert_eq!(tally.total(later).0.flows, 6);
    }

    #[test]
    fn what_is_kept_of_flows_is_bounded_and_shown_when_a_row_is_entered() {
        let mut tally = tally(10);
        let now = Instant::now();
        for _ in 0..2 * KEPT_FLOWS {
            tally.add(flow("a"), now);
        }
        tally.add(flow("b"), now);
        assert_eq!(tally.kept.len(), KEPT_FLOWS);
        tally.enter(0, "b");
        assert_eq!(tally.lines().count(), 1);
        tally.add(flow("b"), now);
        tally.add(flow("a"), now);
        assert_eq!(tally.lines().count(), 2);
        tally.enter(0, "a");
        assert_eq!(tally.lines().count(), KEPT_LINES);
        tally.leave();
        assert_eq!(tally.lines().count(), 0);
    }
}
