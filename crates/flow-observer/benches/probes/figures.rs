//! Figures of several rounds.

use std::fmt;

/// What the rounds of one thing gave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn add(&mut self, figure: f64) {
        self.0.push(figure);
        self.0.sort_unstable_by(f64::total_cmp);
    }

    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        match self.0.get(middle) {
            None => f64::NAN,
            Some(&figure) if self.0.len() % 2 == 1 => figure,
            Some(&figure) => (figure + self.0[middle - 1]) / 2.0,
        }
    }
}

/// Median, smallest and largest.
impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, .., last] = self.0[..] else {
            return write!(out, "{:8.1}", self.median());
        };
        write!(out, "{:8.1} ({first:.1} to {last:.1})", self.median())
    }
}
