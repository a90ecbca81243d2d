//! What the keys do.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::Look;

const KEYS: &[(&str, &str)] = &[
    (
        "1 to 5, Tab, ←, →",
        "another view: edges, drops by reason, names, nodes, verdicts",
    ),
    (
        "↑, ↓, PgUp, PgDn",
        "another row; k and j, Home and End, too",
    ),
    ("Enter", "the latest flows of the row; Esc leads back"),
    ("s, S", "sort by the next column, or the one before"),
    ("r", "turn the order around"),
    ("/", "show rows with this text only; Esc drops the filter"),
    ("p, Space", "let the screen stand still; counting goes on"),
    ("c", "count from zero"),
    ("q, Ctrl-C", "leave"),
];

const NOTES: &[&str] = &[
    "A client is who opened the connection, a server who was asked, whoever sent the packet.",
    "Rates are those of the last 10 seconds, or of --window. Flows are reports: with aggregation,",
    "a connection has a few however much passes. Bytes stand there where the server tells them.",
    "Lost events are in no row. Rows beyond --group-limit are counted together as (other).",
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: Look) {
    let keys = KEYS.iter().map(|(key, what)| {
        Line::from(vec![
            Span::styled(format!("  {key:<20}"), look.bold()),
            Span::raw(*what),
        ])
    });
    let notes = NOTES.iter().map(|note| Line::raw(format!("  {note}")));
    let lines = keys.chain([Line::raw("")]).chain(notes);
    frame.render_widget(Paragraph::new(Vec::from_iter(lines)), area);
}
