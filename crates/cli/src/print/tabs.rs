//! Aligns columns of text.
//!
//! A cell is the text up to a tab; what follows the last tab of a line is not aligned. A column is
//! a run of consecutive lines that have a cell at the same index, and is as wide as its widest cell
//! plus a gap. So a line with fewer cells ends the columns above it, and those below find widths
//! of their own.

/// Blanks between a column's widest cell and the next column.
const GAP: usize = 3;

/// No column is narrower.
const LEAST_WIDTH: usize = 2;

/// A line: its cells, of which the last is not part of a column.
type Line<'a> = Vec<Cell<'a>>;

#[derive(Debug)]
struct Cell<'a> {
    text: &'a [u8],
    /// In characters.
    width: usize,
}

/// Appends `text` to `out` with blanks in the place of tabs. A vertical tab is a tab, and a form
/// feed ends all columns.
pub(crate) fn align(text: &[u8], out: &mut Vec<u8>) {
    for block in text.split_inclusive(|byte| *byte == b'\x0c') {
        let (block, line_end): (_, &[u8]) = match block.strip_suffix(b"\x0c") {
            Some(block) => (block, b"\n"),
            None => (block, b""),
        };
        let lines: Vec<Line<'_>> = block.split(|byte| *byte == b'\n').map(cells).collect();
        let mut writer = Writer {
            lines: &lines,
            widths: Vec::new(),
            out,
        };
        writer.columns(0, lines.len());
        out.extend_from_slice(line_end);
    }
}

fn cells(line: &[u8]) -> Line<'_> {
    line.split(|byte| matches!(byte, b'\t' | b'\x0b'))
        .map(|text| Cell {
            text,
            // Bytes that do not begin a character continue one.
            width: text.iter().filter(|byte| **byte & 0xc0 != 0x80).count(),
        })
        .collect()
}

struct Writer<'a> {
    lines: &'a [Line<'a>],
    /// Widths of the columns that the lines at hand have in common.
    widths: Vec<usize>,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    /// Writes the lines from `start` up to `end`, which have the columns in `widths` in common.
    fn columns(&mut self, start: usize, end: usize) {
        let index = self.widths.len();
        let has_column = |line: &Line<'_>| line.len() > index + 1;
        let mut line = start;
        while line < end {
            if !has_column(&self.lines[line]) {
                self.line(line);
                line += 1;
                continue;
            }
            let length = self.lines[line..end]
                .iter()
                .take_while(|line| has_column(line))
                .count();
            let width = self.lines[line..line + length]
                .iter()
                .map(|line| line[index].width + GAP)
                .fold(LEAST_WIDTH, usize::max);
            self.widths.push(width);
            self.columns(line, line + length);
            self.widths.pop();
            line += length;
        }
    }

    fn line(&mut self, line: usize) {
        for (index, cell) in self.lines[line].iter().enumerate() {
            self.out.extend_from_slice(cell.text);
            if let Some(width) = self.widths.get(index) {
                let blanks = width.saturating_sub(cell.width);
                self.out.resize(self.out.len() + blanks, b' ');
            }
        }
        if line + 1 < self.lines.len() {
            self.out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aligned(text: &str) -> String {
        let mut out = Vec::new();
        align(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        assert_eq!(
            aligned("NAME\tX\na-long-name\ty\n"),
            "NAME          X\na-long-name   y\n"
        );
    }

    #[test]
    fn width_counts_characters_not_bytes() {
        assert_eq!(aligned("brød\tx\nab\ty\n"), "brød   x\nab     y\n");
    }

    #[test]
    fn a_line_without_a_column_ends_it() {
        assert_eq!(
            aligned("long-cell\tx\nplain\nb\tx\n"),
            "long-cell   x\nplain\nb   x\n"
        );
    }

    #[test]
    fn a_form_feed_ends_all_columns() {
        assert_eq!(aligned("aaaa\tb\x0cc\td"), "aaaa   b\nc   d");
    }

    #[test]
    fn the_last_line_needs_no_end() {
        assert_eq!(aligned("a\tb"), "a   b");
        assert_eq!(aligned(""), "");
    }
}
