//! The rows of a view, in columns.

use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    style::{Color as Paint, Style},
    text::{Line, Span},
    widgets::{Cell, Row as Cells, Table},
};

use super::{Look, harmless};
use crate::group::Fields;
use crate::print::grouped;
use crate::top::{
    app::App,
    numbers,
    sorting::{Column, value},
    tally::{Row, Tally},
};

/// Blanks between columns.
const GAP: u16 = 2;

/// A column of text is not made narrower than this as long as others are wider.
const LEAST_WIDTH: u16 = 4;

/// Draws as many rows as fit, with the marked one among them.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App, tally: &Tally, look: Look) {
    let Some(fields) = tally.fields(app.table) else {
        return;
    };
    let columns = app.columns(tally);
    // The heading takes a line.
    let height = usize::from(area.height.saturating_sub(1)).max(1);
    app.height = height;
    let first = (app.selected + 1).saturating_sub(height);
    let shown: Vec<Vec<String>> = app
        .rows
        .iter()
        .skip(first)
        .take(height)
        .map(|row| {
            columns
                .iter()
                .map(|&column| cell(row, column, tally))
                .collect()
        })
        .collect();
    let headings: Vec<String> = columns
        .iter()
        .map(|&column| heading(app, column, fields))
        .collect();
    let widths = widths(&columns, &headings, &shown, area.width);
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&columns).zip(&widths);
        let cells = cells.map(|((text, column), width)| {
            let text = fitted(text, *width);
            match column.is_text() {
                true => Cell::new(text),
                false => Cell::new(Line::from(Span::raw(text)).right_aligned()),
            }
        });
        Cells::new(Vec::from_iter(cells))
    };
    let rows = shown.iter().enumerate().map(|(index, cells)| {
        let is_marked = first + index == app.selected;
        let style = match is_marked {
            true => look.marked(),
            false => style(cells, look),
        };
        line(cells).style(style)
    });
    let table = Table::new(
        Vec::from_iter(rows),
        widths.iter().map(|&width| Constraint::Length(width)),
    )
    .header(line(&headings).style(look.bold()))
    .column_spacing(GAP);
    frame.render_widget(table, area);
    if app.rows.is_empty() && area.height > 2 {
        let nothing = match app.filter.is_empty() {
            true => "nothing yet",
            false => "nothing has that in it",
        };
        let below = Rect {
            y: area.y + 2,
            height: 1,
            ..area
        };
        frame.render_widget(ratatui::widgets::Paragraph::new(nothing), below);
    }
}

fn style(cells: &[String], look: Look) -> Style {
    let has = |word: &str| cells.iter().any(|cell| cell == word);
    if has("unavailable") || has("error") || has("DROPPED") {
        look.paint(Paint::Red)
    } else {
        Style::new()
    }
}

/// The heading of a column, with a mark at the one that rows are sorted by.
fn heading(app: &App, column: Column, fields: &Fields) -> String {
    let name = column.heading(fields);
    match (column == app.order, app.is_reverse) {
        (false, _) => name,
        (true, false) => format!("{name}▼"),
        (true, true) => format!("{name}▲"),
    }
}

/// What a column says of a row.
pub(in crate::top) fn cell(row: &Row, column: Column, tally: &Tally) -> String {
    let count = &row.count;
    match column {
        Column::Bytes => numbers::bytes(count.bytes as f64),
        Column::ByteRate => numbers::bytes(row.byte_rate),
        Column::Field(index) => match (&row.key, value(row, index)) {
            (None, _) if index == 0 => "(other)".to_owned(),
            (_, "") => "-".to_owned(),
            (_, value) => harmless(value),
        },
        Column::Flows => grouped(count.flows),
        Column::Lost => grouped(tally.nodes.lost_of(value(row, 0))),
        Column::Rate => numbers::rate(row.rate),
        Column::State => match tally.nodes.state_of(value(row, 0)) {
            "" => "-".to_owned(),
            state => state.to_owned(),
        },
    }
}

/// As wide as what is in them; where that is too much, the widest columns of text are cut.
fn widths(columns: &[Column], headings: &[String], rows: &[Vec<String>], room: u16) -> Vec<u16> {
    let width = |text: &String| u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
    let mut widths: Vec<u16> = headings
        .iter()
        .enumerate()
        .map(|(index, heading)| {
            let cells = rows.iter().filter_map(|row| row.get(index));
            cells.chain([heading]).map(width).max().unwrap_or(0)
        })
        .collect();
    let gaps = GAP.saturating_mul(u16::try_from(columns.len()).unwrap_or(1).saturating_sub(1));
    let needed = |widths: &[u16]| {
        widths
            .iter()
            .fold(gaps, |sum, width| sum.saturating_add(*width))
    };
    while needed(&widths) > room {
        let of_text = widths
            .iter_mut()
            .zip(columns)
            .filter(|(_, column)| column.is_text());
        match of_text.map(|(width, _)| width).max() {
            Some(widest) if *widest > LEAST_WIDTH => *widest -= 1,
            _ => break,
        }
    }
    widths
}

/// Text that is cut says so.
fn fitted(text: &str, width: u16) -> String {
    let width = usize::from(width);
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}
