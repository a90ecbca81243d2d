//! The same as text: a table now, and one each interval.

use std::time::Instant;

use super::{app::App, draw, numbers, tally::Tally};
use crate::print::{Align, Escape, Grid, Page, append, grouped};

/// Rows of a table. What is below them is small, and --group-by of observe prints all.
const ROWS: usize = 50;

/// Appends a line about the server, and a table of the view.
pub(super) fn write(page: &mut Page, app: &App, tally: &Tally, now: Instant) {
    let Some(fields) = tally.fields(app.table) else {
        return;
    };
    let (total, rate) = tally.total(now);
    let nodes = tally.nodes.summary().map(|(nodes, _)| format!(", {nodes}"));
    let trouble = match app.trouble.as_str() {
        "" => String::new(),
        trouble => format!(", no connection: {trouble}"),
    };
    let line = format!(
        "{} of {}{}: {} flows/s, {} flows, {} lost{trouble}",
        app.view(tally).name(),
        app.server,
        nodes.unwrap_or_default(),
        numbers::rate(rate),
        grouped(total.flows),
        grouped(tally.nodes.lost()),
    );
    Escape::for_stdout().write(&mut page.out, &line.replace('\n', " "));
    append!(&mut page.out, "\n");
    let columns = app.columns(tally);
    let mut grid = Grid::new(columns.iter().map(|column| {
        let align = match column.is_text() {
            true => Align::Left,
            false => Align::Right,
        };
        (column.heading(fields), align)
    }));
    for row in app.rows.iter().take(ROWS) {
        let cells = columns.iter().map(|&column| draw::cell(row, column, tally));
        grid.row(cells.collect());
    }
    grid.write(page, None);
    let hidden = app.rows.len().saturating_sub(ROWS);
    if hidden > 0 {
        append!(&mut page.out, "{} more rows\n", grouped(hidden as u64));
    }
}
