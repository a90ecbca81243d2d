//! Rows of cells in columns, each as wide as its widest cell: numbers to the right, text to the left.

use super::{Page, append};

/// Blanks between columns.
const GAP: usize = 3;

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table in the making. Cells are harmless to terminals already, and have no line ends.
#[derive(Debug)]
pub(crate) struct Grid {
    columns: Vec<Align>,
    /// The heading first.
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// A table with these columns and headings.
    pub(crate) fn new(columns: impl IntoIterator<Item = (String, Align)>) -> Self {
        let (heading, columns) = columns.into_iter().unzip();
        Self {
            columns,
            rows: vec![heading],
        }
    }

    /// Adds a row, of as many cells as there are columns.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// Appends a line for each row. With a `width`, lines are cut there.
    pub(crate) fn write(&self, page: &mut Page, width: Option<usize>) {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let mut line = String::new();
        for row in &self.rows {
            line.clear();
            let last = row.len().saturating_sub(1);
            for (index, cell) in row.iter().enumerate() {
                let width = widths.get(index).copied().unwrap_or(0);
                let blanks = width.saturating_sub(cell.chars().count());
                let is_right = self.columns.get(index) == Some(&Align::Right);
                if is_right {
                    line.extend(std::iter::repeat_n(' ', blanks));
                }
                line.push_str(cell);
                if index < last {
                    let blanks = GAP + if is_right { 0 } else { blanks };
                    line.extend(std::iter::repeat_n(' ', blanks));
                }
            }
            let cut = width
                .and_then(|width| line.char_indices().nth(width))
                .map_or(line.len(), |(index, _)| index);
            append!(&mut page.out, "{}\n", &line[..cut]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_on_the_right_and_long_lines_are_cut() {
        let mut grid = Grid::new([
            ("NAME".to_owned(), Align::Left),
            ("COUNT".to_owned(), Align::Right),
        ]);
        grid.row(vec!["smørrebrød".to_owned(), "7".to_owned()]);
        grid.row(vec!["a".to_owned(), "1,234,567".to_owned()]);
        let shown = |width| {
            let mut page = Page::default();
            grid.write(&mut page, width);
            String::from_utf8(page.out).unwrap()
        };
        assert_eq!(
            shown(None),
            "NAME             COUNT\nsmørrebrød           7\na            1,234,567\n"
        );
        assert_eq!(shown(Some(4)), "NAME\nsmør\na   \n");
    }
}
