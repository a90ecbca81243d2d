//! Groups of flows, once all flows are known, or every now and then.

mod machine;
mod table;

use std::{collections::BTreeMap, time::Duration};

use flow_api::flow::LostEventSource;
use flow_api::observer::{GetFlowsResponse, get_flows_response::ResponseTypes};

use super::{Page, Printer, Style, append, enum_name, grouped};
use crate::group::{Count, Form, Grouping, Groups, Observed, Order, SEPARATOR, order};

/// See the module.
#[derive(Debug)]
pub(super) struct GroupPrinter {
    style: Style,
    groups: Groups,
    lost: Lost,
    order: Order,
    form: Form,
    interval: Option<Duration>,
    in_place: bool,
    /// Lines on the terminal that the next table takes the place of.
    drawn: usize,
    /// How often groups were printed.
    tables: u64,
}

/// Events that nobody will see, by where they were lost.
#[derive(Debug, Default)]
struct Lost(BTreeMap<String, u64>);

impl Lost {
    fn total(&self) -> u64 {
        self.0
            .values()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// A group as it is printed: its values, and what was counted.
struct Row<'g> {
    values: Vec<&'g str>,
    count: &'g Count,
}

impl GroupPrinter {
    pub(super) fn new(grouping: &Grouping, style: Style) -> Self {
        Self {
            style,
            groups: Groups::new(grouping.fields.clone(), grouping.limit),
            lost: Lost::default(),
            order: grouping.order,
            form: grouping.form,
            interval: grouping.interval,
            in_place: grouping.in_place,
            drawn: 0,
            tables: 0,
        }
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let mut rows: Vec<Row<'_>> = self
            .groups
            .iter()
            .map(|(key, count)| Row {
                values: key.split(SEPARATOR).collect(),
                count,
            })
            .collect();
        rows.sort_unstable_by(|a, b| {
            let (x, y) = (a.count, b.count);
            let by_order = match self.order {
                Order::Bytes => y.bytes.cmp(&x.bytes),
                Order::Field(index) => a.values.get(index).cmp(&b.values.get(index)),
                Order::First => order(x.first).cmp(&order(y.first)),
                Order::Flows => y.flows.cmp(&x.flows),
                Order::Last => order(y.last).cmp(&order(x.last)),
                Order::Packets => y.packets.cmp(&x.packets),
            };
            // The same input gives the same table.
            by_order.then_with(|| a.values.cmp(&b.values))
        });
        rows
    }

    fn print(&mut self, page: &mut Page, is_last: bool) {
        let rows = self.rows();
        let drawn = match self.form {
            Form::Csv => {
                machine::csv(self, &rows, page);
                0
            }
            Form::Json => {
                machine::json(self, &rows, page);
                0
            }
            Form::Table => table::write(self, &rows, page, is_last),
        };
        self.drawn = drawn;
        self.tables += 1;
    }

    /// What a table has no place for.
    fn say_what_is_missing(&self, page: &mut Page) {
        let other = self.groups.other();
        if !other.is_empty() {
            append!(
                page.err,
                "more than {} group{}: {} flows are counted together as (other); --group-limit \
                 raises that\n",
                grouped(self.groups.len() as u64),
                if self.groups.len() == 1 { "" } else { "s" },
                grouped(other.flows)
            );
        }
        if self.lost.total() > 0 {
            let places: Vec<String> = self
                .lost
                .0
                .iter()
                .map(|(source, count)| format!("{} {source}", grouped(*count)))
                .collect();
            let total = grouped(self.lost.total());
            append!(
                page.err,
                "{total} events lost, and in no group: {}\n",
                places.join(", ")
            );
        }
    }
}

impl Printer for GroupPrinter {
    fn flows(&mut self, response: &GetFlowsResponse, page: &mut Page) {
        match &response.response_types {
            Some(ResponseTypes::Flow(flow)) => self.groups.add(&Observed::new(flow)),
            Some(ResponseTypes::LostEvents(lost)) => {
                let source =
                    enum_name::<LostEventSource>(lost.source, LostEventSource::as_str_name);
                let count = self.lost.0.entry(source.into_owned()).or_default();
                *count = count.saturating_add(lost.num_events_lost);
            }
            Some(ResponseTypes::NodeStatus(status)) => {
                let before = page.err.len();
                self.style.node_status_line(&mut page.err, response, status);
                if page.err.len() > before {
                    // It takes the table's place; the next one comes below.
                    table::erase(&mut self.drawn, page);
                }
            }
            None => {}
        }
    }

    fn finish(&mut self, page: &mut Page) {
        self.print(page, true);
        self.say_what_is_missing(page);
    }

    fn interval(&self) -> Option<Duration> {
        self.interval
    }

    fn tick(&mut self, page: &mut Page) {
        self.print(page, false);
    }
}
