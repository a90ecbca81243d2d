//! Where lines stand: for messages about them.

use std::sync::Arc;

use super::blocks::Block;

/// Where the lines of a block stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    input: usize,
    begins: bool,
    /// How many there are.
    lines: u64,
}

impl Place {
    pub(super) fn new(block: &Block, lines: u64) -> Self {
        Self {
            input: block.input,
            begins: block.begins,
            lines,
        }
    }
}

/// Counts the lines of all inputs, block by block.
pub(super) struct Places {
    /// Names, and how many lines were counted.
    inputs: Vec<(Arc<str>, u64)>,
}

impl Places {
    pub(super) fn new(names: Vec<Arc<str>>) -> Self {
        Self {
            inputs: names.into_iter().map(|name| (name, 0)).collect(),
        }
    }

    /// The name of the input, and how many lines stand before those of a block, which comes next.
    pub(super) fn count(&mut self, place: Place) -> (Arc<str>, u64) {
        let (name, lines) = &mut self.inputs[place.input];
        if place.begins {
            *lines = 0;
        }
        let before = *lines;
        *lines += place.lines;
        (Arc::clone(name), before)
    }
}
