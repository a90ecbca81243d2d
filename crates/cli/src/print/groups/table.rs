//! Groups in aligned columns.

use super::{Count, GroupPrinter, Row, append, grouped};
use crate::print::{Align, Grid, Page, Style};

/// What stands for the groups beyond the limit, and for a value that is not there.
const OTHER: &str = "(other)";
const NOTHING: &str = "-";

/// Appends the table, and returns how many lines it takes on the terminal if the next one is to take
/// its place. The last one is complete whatever the terminal's size.
pub(super) fn write(
    printer: &GroupPrinter,
    rows: &[Row<'_>],
    page: &mut Page,
    is_last: bool,
) -> usize {
    let mut erased = printer.drawn;
    erase(&mut erased, page);
    let screen = if printer.in_place && !is_last {
        crossterm::terminal::size().ok()
    } else {
        None
    };
    if printer.tables > 0 && !printer.in_place {
        append!(&mut page.out, "\n");
    }
    // The heading, the line below and the cursor's line take one each.
    let most = screen.map_or(usize::MAX, |(_, height)| {
        usize::from(height).saturating_sub(4).max(1)
    });
    let has_traffic = printer.groups.total().has_traffic;
    let numbers: &[&str] = match has_traffic {
        true => &["FLOWS", "PACKETS", "BYTES"],
        false => &["FLOWS"],
    };
    let fields = printer.groups.fields();
    let text = fields
        .iter()
        .map(|field| (heading(field.name()), Align::Left));
    let numbers = numbers.iter().map(|&name| (name.to_owned(), Align::Right));
    let times = ["FIRST SEEN", "LAST SEEN"].map(|name| (name.to_owned(), Align::Left));
    let mut grid = Grid::new(text.chain(numbers).chain(times));
    let style = &printer.style;
    for row in rows.iter().take(most) {
        let values = row.values.iter().map(|value| cell(style, value)).collect();
        grid.row(cells(style, values, row.count, has_traffic));
    }
    let other = printer.groups.other();
    if !other.is_empty() {
        let mut values = vec![OTHER.to_owned()];
        values.resize(fields.len(), NOTHING.to_owned());
        grid.row(cells(style, values, other, has_traffic));
    }
    let before = page.out.len();
    grid.write(page, screen.map(|(width, _)| usize::from(width)));
    if printer.in_place && !is_last {
        let hidden = rows.len().saturating_sub(most);
        if hidden > 0 {
            append!(
                &mut page.out,
                "{} more; all of them at the end\n",
                grouped(hidden as u64)
            );
        }
        let lost = printer.lost.total();
        if lost > 0 {
            append!(&mut page.out, "{} events lost\n", grouped(lost));
        }
        return page.out[before..]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
    }
    0
}

/// Takes lines off the terminal, with what was typed behind them.
pub(super) fn erase(drawn: &mut usize, page: &mut Page) {
    if *drawn > 0 {
        append!(&mut page.out, "\r\x1b[{drawn}A\x1b[J");
        *drawn = 0;
    }
}

fn cells(style: &Style, mut cells: Vec<String>, count: &Count, has_traffic: bool) -> Vec<String> {
    cells.push(grouped(count.flows));
    if has_traffic {
        let number = |number| match count.has_traffic {
            true => grouped(number),
            // Nobody said.
            false => NOTHING.to_owned(),
        };
        cells.extend([number(count.packets), number(count.bytes)]);
    }
    for time in [&count.first, &count.last] {
        let mut text = Vec::new();
        style.time.write(&mut text, time.as_ref());
        cells.push(String::from_utf8_lossy(&text).into_owned());
    }
    cells
}

fn cell(style: &Style, value: &str) -> String {
    if value.is_empty() {
        return NOTHING.to_owned();
    }
    let mut text = Vec::new();
    // Line ends and tabs would break the rows.
    style
        .escape
        .write(&mut text, &value.replace(['\n', '\t'], " "));
    String::from_utf8_lossy(&text).into_owned()
}

/// `http.status` as `HTTP STATUS`.
fn heading(name: &str) -> String {
    name.replace(['.', '-', '_'], " ").to_uppercase()
}
