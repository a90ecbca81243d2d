//! What the keys change: which view, in which order, which row, and what is hidden.

use std::time::Instant;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    args::Wanted,
    sorting::{self, Column},
    tally::{Row, Tally},
    view::View,
};
use crate::group::SEPARATOR;

/// A filter longer than a line is of no use.
const MOST_FILTER: usize = 200;

/// What is looked at, and how.
#[derive(Debug)]
pub(super) struct App {
    /// The server, as the user calls it.
    pub(super) server: String,
    pub(super) table: usize,
    pub(super) order: Column,
    pub(super) is_reverse: bool,
    /// Text that rows must have, in lower case or not.
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) is_typing: bool,
    pub(super) is_paused: bool,
    pub(super) has_help: bool,
    /// The values of the row whose flows are shown.
    pub(super) entered: Option<Vec<String>>,
    /// Rows as they were at the last refresh.
    pub(super) rows: Vec<Row>,
    /// Lines of the row that was entered, likewise.
    pub(super) lines: Vec<String>,
    /// The row that is marked, or how many lines the flows are scrolled back.
    pub(super) selected: usize,
    pub(super) scrolled: usize,
    /// Rows that fit on the screen.
    pub(super) height: usize,
    /// Why nothing comes; empty while something may.
    pub(super) trouble: String,
    /// Flows came without end, and ended.
    pub(super) has_ended: bool,
}

/// What a key asks for beyond that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wish {
    Nothing,
    Quit,
}

impl App {
    pub(super) fn new(server: String, wanted: &Wanted) -> Self {
        Self {
            server,
            table: wanted.first,
            order: wanted.order,
            is_reverse: false,
            filter: String::new(),
            is_typing: false,
            is_paused: false,
            has_help: false,
            entered: None,
            rows: Vec::new(),
            lines: Vec::new(),
            selected: 0,
            scrolled: 0,
            height: 1,
            trouble: String::new(),
            has_ended: false,
        }
    }

    /// Takes over what was counted, unless the screen is to stand still.
    pub(super) fn refresh(&mut self, tally: &Tally, now: Instant) {
        if !self.is_paused {
            self.look(tally, now);
        }
    }

    /// The same in any case, as for a view that was not there before.
    fn look(&mut self, tally: &Tally, now: Instant) {
        self.rows = tally.rows(self.table, now);
        let filter = self.filter.to_lowercase();
        if !filter.is_empty() {
            self.rows.retain(|row| {
                let key = row.key.as_deref().unwrap_or_default();
                let mut values = key.split(SEPARATOR);
                values.any(|value| value.to_lowercase().contains(&filter))
            });
        }
        sorting::sort(&mut self.rows, self.order, self.is_reverse, &tally.nodes);
        let lines = tally.lines();
        let has_filter = |line: &&str| filter.is_empty() || line.to_lowercase().contains(&filter);
        self.lines = lines.filter(has_filter).map(str::to_owned).collect();
        self.selected = self.selected.min(self.rows.len().saturating_sub(1));
        self.scrolled = self.scrolled.min(self.lines.len().saturating_sub(1));
    }

    /// A key was pressed.
    pub(super) fn press(&mut self, key: KeyEvent, tally: &mut Tally, now: Instant) -> Wish {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control && matches!(key.code, KeyCode::Char('c' | 'd')) {
            return Wish::Quit;
        }
        if self.is_typing {
            self.type_filter(key.code);
            self.look(tally, now);
            return Wish::Nothing;
        }
        if self.has_help {
            self.has_help = false;
            return Wish::Nothing;
        }
        match key.code {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Char('?' | 'h') => self.has_help = true,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('c') => tally.clear(now),
            KeyCode::Char('r') => self.is_reverse = !self.is_reverse,
            KeyCode::Char('s' | '>') => self.sort_by_next(tally, 1),
            KeyCode::Char('S' | '<') => self.sort_by_next(tally, -1),
            KeyCode::Tab | KeyCode::Right => self.turn_to_next(tally, 1),
            KeyCode::BackTab | KeyCode::Left => self.turn_to_next(tally, -1),
            KeyCode::Char(digit @ '1'..='9') => {
                let index = digit.to_digit(10).map_or(0, |digit| digit as usize - 1);
                self.turn_to(tally, index);
            }
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::PageDown => self.step(self.page()),
            KeyCode::PageUp => self.step(-self.page()),
            KeyCode::Home => self.step(isize::MIN),
            KeyCode::End => self.step(isize::MAX),
            KeyCode::Enter => self.enter(tally),
            KeyCode::Esc if self.entered.is_some() => self.leave(tally),
            KeyCode::Backspace => self.leave(tally),
            KeyCode::Esc => self.filter.clear(),
            _ => return Wish::Nothing,
        }
        // What was asked for is shown even if the screen stands still.
        let stands_still = matches!(key.code, KeyCode::Char('p' | ' ')) && self.is_paused;
        if !stands_still {
            self.look(tally, now);
        }
        Wish::Nothing
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char(letter) if self.filter.len() < MOST_FILTER => self.filter.push(letter),
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            _ => {}
        }
    }

    fn page(&self) -> isize {
        isize::try_from(self.height).unwrap_or(1)
    }

    fn step(&mut self, by: isize) {
        // Flows are read from below, where the newest stands.
        let (position, by, last) = match self.entered {
            Some(_) => (&mut self.scrolled, by.saturating_neg(), self.lines.len()),
            None => (&mut self.selected, by, self.rows.len()),
        };
        *position = position
            .saturating_add_signed(by)
            .min(last.saturating_sub(1));
    }

    fn turn_to_next(&mut self, tally: &mut Tally, by: isize) {
        let views = tally.plans().len();
        let next = (self.table + views).saturating_add_signed(by) % views.max(1);
        self.turn_to(tally, next);
    }

    fn turn_to(&mut self, tally: &mut Tally, table: usize) {
        if table >= tally.plans().len() {
            return;
        }
        self.leave(tally);
        if table != self.table {
            self.table = table;
            self.selected = 0;
            // Other views have other fields.
            if matches!(self.order, Column::Field(_) | Column::Lost | Column::State) {
                self.order = Column::Rate;
            }
        }
    }

    fn sort_by_next(&mut self, tally: &Tally, by: isize) {
        let columns = self.columns(tally);
        let now = columns.iter().position(|column| *column == self.order);
        let next = match now {
            Some(index) => (index + columns.len()).saturating_add_signed(by) % columns.len().max(1),
            None => 0,
        };
        self.order = columns.get(next).copied().unwrap_or(Column::Rate);
    }

    /// The columns of the view at hand.
    pub(super) fn columns(&self, tally: &Tally) -> Vec<Column> {
        let view = self.view(tally);
        let fields = tally
            .fields(self.table)
            .map_or(0, crate::group::Fields::len);
        Column::all(view, fields, tally.total(Instant::now()).0.has_traffic)
    }

    pub(super) fn view(&self, tally: &Tally) -> View {
        let plan = tally.plans().nth(self.table);
        plan.map_or(View::Edges, |plan| plan.view)
    }

    fn enter(&mut self, tally: &mut Tally) {
        let row = self.rows.get(self.selected);
        if let (None, Some(key)) = (&self.entered, row.and_then(|row| row.key.as_deref())) {
            tally.enter(self.table, key);
            self.entered = Some(key.split(SEPARATOR).map(str::to_owned).collect());
            self.scrolled = 0;
        }
    }

    fn leave(&mut self, tally: &mut Tally) {
        tally.leave();
        self.entered = None;
        self.scrolled = 0;
    }
}
