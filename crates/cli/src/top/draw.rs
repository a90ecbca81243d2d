//! Makes a screen of what was counted and what is looked at.

mod help;
mod rows;

use std::time::Instant;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color as Paint, Modifier, Style},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{app::App, numbers, tally::Tally};
use crate::print::{Color, Escape, grouped};

pub(super) use rows::cell;

/// How text is told apart: by colours where they are wanted, else by weight alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    has_colors: bool,
}

impl Look {
    pub(super) fn new(color: Color) -> Self {
        Self {
            has_colors: color.is_on(),
        }
    }

    fn paint(self, paint: Paint) -> Style {
        match self.has_colors {
            true => Style::new().fg(paint),
            false => Style::new(),
        }
    }

    fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn marked(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Something is wrong.
    fn alarm(self) -> Style {
        self.paint(Paint::Red).add_modifier(Modifier::BOLD)
    }
}

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, app: &mut App, tally: &Tally, look: Look, now: Instant) {
    let areas = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ]);
    let [status, views, main, keys] = areas.areas(frame.area());
    frame.render_widget(Paragraph::new(status_line(app, tally, look, now)), status);
    frame.render_widget(Paragraph::new(view_line(app, tally, look)), views);
    if app.has_help {
        help::draw(frame, main, look);
    } else if app.entered.is_some() {
        flows(frame, main, app, look);
    } else {
        rows::draw(frame, main, app, tally, look);
    }
    frame.render_widget(Paragraph::new(key_line(app, look)), keys);
}

/// Whom we ask, how it is, how much there is, and what was lost.
fn status_line(app: &App, tally: &Tally, look: Look, now: Instant) -> Line<'static> {
    let (total, rate) = tally.total(now);
    let plain = Style::new();
    let mut parts = vec![Span::styled("palomar top", look.bold())];
    // What matters most stands where narrow terminals still show it.
    if !app.trouble.is_empty() {
        let trouble = format!("NO CONNECTION: {}", harmless(&app.trouble));
        parts.push(Span::styled(trouble, look.alarm()));
    }
    let rate = format!("{} flows/s", numbers::rate(rate));
    parts.push(Span::styled(rate, look.bold()));
    parts.push(Span::styled(
        format!("{} flows", grouped(total.flows)),
        plain,
    ));
    let lost = tally.nodes.lost();
    let style = if lost > 0 { look.alarm() } else { plain };
    parts.push(Span::styled(format!("{} lost", grouped(lost)), style));
    if app.has_ended {
        parts.push(Span::styled("that is all", plain));
    }
    if let Some((nodes, has_trouble)) = tally.nodes.summary() {
        let style = if has_trouble { look.alarm() } else { plain };
        parts.push(Span::styled(harmless(&nodes), style));
    }
    parts.push(Span::styled(harmless(&app.server), look.paint(Paint::Cyan)));
    let separated = parts
        .into_iter()
        .flat_map(|part| [Span::raw("  "), part])
        .skip(1);
    Line::from_iter(separated)
}

/// Which views there are, and what is done to the one at hand.
fn view_line(app: &App, tally: &Tally, look: Look) -> Line<'static> {
    let mut parts = Vec::new();
    for (index, plan) in tally.plans().enumerate() {
        let style = if index == app.table {
            look.marked()
        } else {
            Style::new()
        };
        let name = format!(" {} {} ", index + 1, plan.view.name());
        parts.push(Span::styled(name, style));
    }
    if app.is_paused {
        parts.push(Span::raw("  "));
        parts.push(Span::styled(
            " PAUSED ",
            look.marked().patch(look.paint(Paint::Yellow)),
        ));
    }
    if app.is_typing || !app.filter.is_empty() {
        let cursor = if app.is_typing { "_" } else { "" };
        let filter = format!("  filter: {}{cursor}", harmless(&app.filter));
        parts.push(Span::styled(filter, look.paint(Paint::Yellow)));
    }
    Line::from(parts)
}

/// What one can do now.
fn key_line(app: &App, look: Look) -> Line<'static> {
    let keys: &[(&str, &str)] = if app.is_typing {
        &[("Enter", "keep the filter"), ("Esc", "drop it")]
    } else if app.has_help {
        &[("any key", "back")]
    } else if app.entered.is_some() {
        &[
            ("Esc", "back"),
            ("↑↓", "scroll"),
            ("/", "filter"),
            ("p", "pause"),
            ("q", "quit"),
        ]
    } else {
        &[
            ("Enter", "flows"),
            ("1-5 Tab", "view"),
            ("s r", "sort"),
            ("/", "filter"),
            ("p", "pause"),
            ("c", "clear"),
            ("?", "help"),
            ("q", "quit"),
        ]
    };
    let parts = keys.iter().flat_map(|(key, what)| {
        [
            Span::styled(*key, look.bold()),
            Span::raw(format!(" {what}  ")),
        ]
    });
    Line::from_iter(parts)
}

/// The flows of the row that was entered, the newest below.
fn flows(frame: &mut Frame<'_>, area: Rect, app: &mut App, look: Look) {
    let [title, list] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let values = app
        .entered
        .iter()
        .flatten()
        .filter(|value| !value.is_empty());
    let name: Vec<String> = values.map(|value| harmless(value)).collect();
    let name = format!("Latest flows of {}", name.join("  "));
    frame.render_widget(Paragraph::new(name).style(look.bold()), title);
    let height = usize::from(list.height);
    app.height = height;
    let end = app.lines.len().saturating_sub(app.scrolled);
    let start = end.saturating_sub(height);
    let lines = app.lines[start..end].iter().map(|line| {
        let style = if line.contains(" DROPPED (") || line.contains(" DENIED (") {
            look.paint(Paint::Red)
        } else {
            Style::new()
        };
        Line::styled(harmless(line), style)
    });
    frame.render_widget(Paragraph::new(Vec::from_iter(lines)), list);
}

/// Text from the wire, for a terminal.
fn harmless(text: &str) -> String {
    let mut out = Vec::new();
    // A line end would be cut off with what follows.
    Escape::Terminal.write(&mut out, &text.replace(['\n', '\t'], " "));
    String::from_utf8_lossy(&out).into_owned()
}
