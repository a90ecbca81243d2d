//! Columns, and the order of rows by one of them.

use std::cmp::Ordering;

use anyhow::bail;

use super::{nodes::Nodes, tally::Row, view::View};
use crate::group::{Fields, SEPARATOR};
use crate::hint;

/// A column of a view.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Column {
    Bytes,
    ByteRate,
    /// A field, by its index.
    Field(usize),
    Flows,
    Lost,
    Rate,
    State,
}

impl Column {
    /// The columns of a view, from left to right.
    pub(super) fn all(view: View, fields: usize, has_traffic: bool) -> Vec<Self> {
        let mut columns: Vec<Self> = (0..fields).map(Self::Field).collect();
        if view == View::Nodes {
            columns.extend([Self::State, Self::Lost]);
        }
        columns.extend([Self::Rate, Self::Flows]);
        if has_traffic {
            columns.extend([Self::ByteRate, Self::Bytes]);
        }
        columns
    }

    pub(super) fn heading(self, fields: &Fields) -> String {
        match self {
            Self::Bytes => "BYTES".to_owned(),
            Self::ByteRate => "BYTES/S".to_owned(),
            Self::Field(index) => fields.iter().nth(index).map_or(String::new(), |field| {
                field.name().replace(['.', '-', '_'], " ").to_uppercase()
            }),
            Self::Flows => "FLOWS".to_owned(),
            Self::Lost => "LOST".to_owned(),
            Self::Rate => "FLOWS/S".to_owned(),
            Self::State => "STATE".to_owned(),
        }
    }

    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Field(_) | Self::State)
    }

    /// The column of this name, as `--sort-by` has it.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn find(name: &str, fields: &Fields) -> anyhow::Result<Self> {
        const NAMES: [(&str, Column); 4] = [
            ("bytes", Column::Bytes),
            ("bytes/s", Column::ByteRate),
            ("flows", Column::Flows),
            ("flows/s", Column::Rate),
        ];
        if let Some((_, column)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(*column);
        }
        if let Some(index) = fields.position(name) {
            return Ok(Self::Field(index));
        }
        let names = NAMES.iter().map(|(name, _)| *name);
        let names = names.chain(fields.iter().map(crate::group::Field::name));
        bail!(
            "invalid argument for --sort-by: no column \"{name}\", {}",
            hint::expected(name, names)
        )
    }
}

/// Sorts rows: the most first, text in the order of the alphabet, or the other way around.
pub(super) fn sort(rows: &mut [Row], by: Column, is_reverse: bool, nodes: &Nodes) {
    rows.sort_by(|a, b| {
        // What is in no group stands below all groups.
        let other = a.key.is_none().cmp(&b.key.is_none());
        let ordered = match by {
            Column::Bytes => b.count.bytes.cmp(&a.count.bytes),
            Column::ByteRate => descending(a.byte_rate, b.byte_rate),
            Column::Field(index) => value(a, index).cmp(value(b, index)),
            Column::Flows => b.count.flows.cmp(&a.count.flows),
            Column::Lost => nodes.lost_of(value(b, 0)).cmp(&nodes.lost_of(value(a, 0))),
            Column::Rate => descending(a.rate, b.rate),
            Column::State => nodes.state_of(value(b, 0)).cmp(nodes.state_of(value(a, 0))),
        };
        let ordered = if is_reverse {
            ordered.reverse()
        } else {
            ordered
        };
        // Rows that are equal do not change places from one moment to the next.
        other
            .then(ordered)
            .then_with(|| b.count.flows.cmp(&a.count.flows))
            .then_with(|| a.key.cmp(&b.key))
    });
}

fn descending(a: f64, b: f64) -> Ordering {
    b.total_cmp(&a)
}

/// The value of a field.
pub(super) fn value(row: &Row, index: usize) -> &str {
    let key = row.key.as_deref().unwrap_or_default();
    key.split(SEPARATOR).nth(index).unwrap_or_default()
}
